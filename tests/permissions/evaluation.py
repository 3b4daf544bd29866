"""What a role may do, compared with the requests that it made.

A request is denied as IAM would deny it. An action, a resource, or a value of a condition is needed if a request would
be denied without it. The evaluation of policies itself is that of ministack, which the embedded cloud runs on. Called
by `tests.permissions.findings`.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from local.workspace import cloud_python
from tests.permissions.requests import ACCOUNT, PARTITION, REGION, Request
from tests.support.definitions import listed

Statement = dict[str, Any]
_HOME = f":{REGION}:{ACCOUNT}:"
_MULTIVALUED = {"dynamodb:LeadingKeys"}
# What a statement on these actions can be limited to besides resources.
_CONDITION_KEYS = {"dynamodb:": "dynamodb:LeadingKeys", "ses:": "ses:FromAddress"}


class _Fixed(Statement):
    """A statement that nobody changes. It's hashed by identity, so what follows from it is worked out once."""

    __hash__ = object.__hash__  # type: ignore[assignment]


EVERYTHING: Statement = _Fixed(Effect="Allow", Action="*", Resource="*")


@dataclass
class Role:
    """A role of a deployed stack, by its logical ID: what it may do, and what it did.

    Its elements are in the words of the template, so they compare with those of the same role in other stacks.
    """

    name: str
    statements: list[Statement]
    #: Names of the managed policies that it has.
    managed: Sequence[str] = ()
    #: What stands for names of this stack, such as `${RunTable}`.
    words: dict[str, str] = field(default_factory=dict)
    requests: set[Request] = field(default_factory=set)
    #: What it must not do even if another statement allows it.
    forbidden: set[Request] = field(default_factory=set)
    #: Texts by what they are in the words of the template, which takes long to find out.
    _in_words: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.statements = [_fixed(each) for each in self.statements]

    def in_words(self, text: str) -> str:
        """Return a text about this role in the words of the template."""
        if text not in self._in_words:
            found = text
            for name in sorted(self.words, key=len, reverse=True):
                found = found.replace(name, self.words[name])
            self._in_words[text] = f"{self.name}: {found.replace(_HOME, ':')}"
        return self._in_words[text]

    def allows(self, request: Request, statements: Sequence[Statement] | None = None) -> bool:
        """Return whether its policies, or others, allow a request."""
        found = self.statements if statements is None else statements
        action = request.action.lower()
        about = [_fixed(each) for each in found]
        about = [each for each in about if (actions := _actions(each)) is None or action in actions]
        return _allowed(self.name, request, tuple(about))

    def denied(self) -> Iterator[str]:
        """Yield each request that its policies deny."""
        yield from (self.in_words(str(request)) for request in self.requests if not self.allows(request))

    def unprotected(self, statements: Sequence[Statement] | None = None) -> Iterator[str]:
        """Yield each forbidden request that only the absence of a permission denies."""
        found = [*(self.statements if statements is None else statements), EVERYTHING]
        yield from (self.in_words(str(request)) for request in self.forbidden if self.allows(request, found))

    def needed(self) -> Iterator[str]:
        """Yield each element without which a request would be denied, or a forbidden one might be allowed."""
        allowed = [request for request in self.requests if self.allows(request)]
        for place, statement in enumerate(self.statements):
            about = [request for request in allowed if self.allows(request, [statement])]
            for element, rest in _without_each(_fixed(statement)):
                changed = [*self.statements[:place], *rest, *self.statements[place + 1 :]]
                if any(not self.allows(request, changed) for request in about) or (
                    statement["Effect"] == "Deny" and any(self.unprotected(changed))
                ):
                    yield self.in_words(element)

    def elements(self) -> Iterator[str]:
        """Yield each action, resource, and value of a condition in its policies."""
        for statement in self.statements:
            yield from (self.in_words(element) for element, _ in _without_each(_fixed(statement)))

    def wildcards(self) -> Iterator[str]:
        """Yield what its policies leave open: patterns, and keys that no condition limits."""
        for statement in self.statements:
            if statement["Effect"] == "Deny":
                continue
            actions, resources = listed(statement["Action"]), listed(statement["Resource"])
            conditions = dict(_conditions(statement))
            for value in (*actions, *resources, *(value for values in conditions.values() for value in values)):
                if "*" in value or "?" in value:
                    yield self.in_words(f"{value} for {', '.join(sorted(actions))}")
            for service, key in _CONDITION_KEYS.items():
                if any(action.startswith(service) for action in actions) and key not in conditions:
                    for resource in resources:
                        yield self.in_words(f"any {key} of {resource} for {', '.join(sorted(actions))}")


def _fixed(statement: Statement) -> _Fixed:
    return statement if isinstance(statement, _Fixed) else _Fixed(statement)


@cache
def _without_each(statement: _Fixed) -> tuple[tuple[str, list[Statement]], ...]:
    """Return each element of a statement in words, and the statement without it, or nothing if it was the last one."""
    return tuple(_each_left_out(statement))


def _each_left_out(statement: Statement) -> Iterator[tuple[str, list[Statement]]]:
    about = ("no " if statement["Effect"] == "Deny" else "") + ", ".join(sorted(listed(statement["Action"])))
    for kind in ("Action", "Resource"):
        for value in listed(statement[kind]):
            rest = [each for each in listed(statement[kind]) if each != value]
            words = f"{value} on {listed(statement['Resource'])[0]}" if kind == "Action" else f"{value} for {about}"
            yield words, [_Fixed(statement, **{kind: rest})] if rest else []
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            for value in listed(values):
                changed = _Fixed(copy.deepcopy(dict(statement)))
                changed["Condition"][operator][key] = rest = [each for each in listed(values) if each != value]
                yield f"{key} {value} for {about}", [changed] if rest else []


def _conditions(statement: Statement) -> Iterator[tuple[str, list[str]]]:
    for keys in statement.get("Condition", {}).values():
        yield from ((key, listed(values)) for key, values in keys.items())


@cache
def _actions(statement: _Fixed) -> frozenset[str] | None:
    """Return the actions of a statement in lowercase; None if it has patterns and may concern any action."""
    actions = frozenset(action.lower() for action in listed(statement["Action"]))
    return None if any("*" in action for action in actions) else actions


@cache
def _allowed(role: str, request: Request, statements: tuple[_Fixed, ...]) -> bool:
    """Return whether statements allow a role's request."""
    ministack = _evaluator()
    context = ministack.EvalContext(
        principal_arn=f"arn:{PARTITION}:sts::{ACCOUNT}:assumed-role/{role}/session",
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action=request.action,
        resource_arn=request.resource,
        region=REGION,
        service_context={
            key.lower(): list(values) if key in _MULTIVALUED else values[0] for key, values in request.keys
        },
    )
    parsed = ministack.parse_policy_document({"Statement": list(statements)})
    return bool(ministack.evaluate(context, [parsed]).decision == "Allow")


@cache
def _evaluator() -> Any:
    """Return ministack's evaluation of policies, which needs nothing else of ministack.

    It's the embedded cloud's, with an environment of its own.
    """
    environment = Path(cloud_python()).parents[1]
    (path,) = environment.glob("lib/*/site-packages/ministack/core/iam_evaluator.py")
    spec = importlib.util.spec_from_file_location("iam_evaluator", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
