"""What is wrong with the permissions of the template, given what was recorded of a test run.

Called by `tests.permissions.plugin`. Some findings say something only about a run of all end-to-end tests: that nothing
needed a permission, that a role did nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tests.permissions.evaluation import Role, Statement
from tests.permissions.exceptions import MANAGED, NOT_DEPLOYED, OPEN, UNNEEDED
from tests.permissions.records import PARAMETERS, Stack
from tests.support.definitions import listed
from tests.support.rendering import transformed


def findings(stacks: Sequence[Stack], *, complete: bool) -> list[str]:
    """Return what is wrong, each with what to do about it.

    Parameters
    ----------
    stacks : Sequence[Stack]
        The stacks that were deployed.
    complete : bool
        Whether all end-to-end tests have run.
    """
    roles: dict[str, list[Role]] = {}
    for stack in stacks:
        for name, role in stack.roles.items():
            roles.setdefault(name, []).append(role)
    found = [finding for same in roles.values() for finding in findings_of(same, complete=complete)]
    if not complete:
        return found
    kinds = {"AWS::IAM::Role", "AWS::IAM::Policy"}
    in_template = {name for name, each in transformed()["Resources"].items() if each["Type"] in kinds}
    deployed = {name for stack in stacks for name in stack.description["types"]}
    found += [f"{name}: no test deploys it" for name in in_template - deployed - NOT_DEPLOYED.keys()]
    found += [
        f"{name}: no call was recorded; run what has this role in an end-to-end test"
        for name, same in roles.items()
        if not any(role.requests for role in same)
    ]
    elements = {element for same in roles.values() for role in same for element in role.elements()}
    found += [
        f"{name}: no test deploys with this parameter, so what it allows wasn't tried"
        for name in PARAMETERS
        if not any(f"${{{name}}}" in element for element in elements)
    ]
    if not found:
        found += [f"nothing notices: {change}" for same in roles.values() for change in unnoticed(same)]
    return sorted(found)


def findings_of(same: Sequence[Role], *, complete: bool) -> Iterator[str]:
    """Yield what is wrong with one role, as several stacks have it."""
    name = same[0].name
    for denied in sorted({request for role in same for request in role.denied()}):
        yield f"{denied}: IAM would deny this call; allow it in template.yaml, or don't make it"
    for request in sorted({request for role in same for request in role.unprotected()}):
        yield f"{request}: no Deny statement forbids this any more, though FORBIDDEN says so"
    for policy in sorted({policy for role in same for policy in role.managed} - MANAGED.keys()):
        yield f"{name}: has the managed policy {policy}; write its statements out, or add it to MANAGED with the reason"
    elements = {element for role in same for element in role.elements()}
    opened = {each for role in same for each in role.wildcards()}
    for each in sorted(opened - OPEN.keys()):
        yield f"{each}: allows more than one thing; name it in template.yaml, or add this to OPEN with the reason"
    if not complete:
        return
    needed = {element for role in same for element in role.needed()}
    for element in sorted(elements - needed - UNNEEDED.keys()):
        yield f"{element}: no call needed this; remove it from template.yaml, or add this to UNNEEDED with the reason"
    mine = f"{name}: "
    for entries, existing in ((UNNEEDED, elements), (OPEN, opened)):
        for entry in sorted(entry for entry in entries.keys() - existing if entry.startswith(mine)):
            yield f"{entry}: isn't in template.yaml any more; remove it from tests/permissions/exceptions.py"


def unnoticed(same: Sequence[Role]) -> Iterator[str]:
    """Yield each change of a role's statements that no finding would tell of: a statement removed or widened."""
    keys = dict.fromkeys(_key(role, statement) for role in same for statement in role.statements)
    for key in keys:
        for what, change in CHANGES.items():
            changed = [_changed(role, key, change) for role in same]
            if changed != list(same) and not any(findings_of(changed, complete=True)):
                yield f"{same[0].name}: {', '.join(key)}: {what}"


def _key(role: Role, statement: Statement) -> tuple[str, ...]:
    """Return what a statement has in common with itself in other stacks."""
    first = role.in_words(listed(statement["Resource"])[0])
    return (statement["Effect"], *sorted(listed(statement["Action"])), first)


def _changed(role: Role, key: tuple[str, ...], change: Callable[[Statement], Statement | None]) -> Role:
    statements = []
    for statement in role.statements:
        changed = change(statement) if _key(role, statement) == key else statement
        statements += [changed] if changed else []
    return replace(role, statements=statements)


def _with_condition(statement: Statement, value: str) -> Statement:
    condition = {operator: dict.fromkeys(keys, value) for operator, keys in statement.get("Condition", {}).items()}
    return {**statement, "Condition": condition} if condition else statement


def _allowing(statement: Statement, key: str, value: str) -> Statement:
    return {**statement, key: [*listed(statement[key]), value]} if statement["Effect"] == "Allow" else statement


def _with_instead(statement: Statement, key: str, value: str) -> Statement:
    return {**statement, key: value} if statement["Effect"] == "Allow" and statement[key] != value else statement


def _with_endings(statement: Statement) -> Statement:
    """Return a statement that also allows each resource whose name begins like one of its resources."""
    resources = [each if each == "*" else f"{each}*" for each in listed(statement["Resource"])]
    return {**statement, "Resource": resources} if statement["Effect"] == "Allow" and resources != ["*"] else statement


def _service(statement: Statement) -> str:
    return str(listed(statement["Action"])[0].partition(":")[0])


#: Ways to remove or widen a statement; a change of nothing means that it doesn't apply.
CHANGES: dict[str, Callable[[Statement], Statement | None]] = {
    "removed": lambda _: None,
    "one action more": lambda statement: _allowing(statement, "Action", f"{_service(statement)}:TagResource"),
    "all actions": lambda statement: _allowing(statement, "Action", f"{_service(statement)}:*"),
    "one resource more": lambda statement: _allowing(
        statement, "Resource", f"arn:aws:{_service(statement)}:us-east-1:000000000000:other"
    ),
    "all resources": lambda statement: (
        _allowing(statement, "Resource", "*") if statement["Resource"] != "*" else statement
    ),
    "all actions instead": lambda statement: _with_instead(statement, "Action", f"{_service(statement)}:*"),
    "all resources instead": lambda statement: _with_instead(statement, "Resource", "*"),
    "all resources of the service instead": lambda statement: (
        _with_instead(statement, "Resource", f"arn:aws:{_service(statement)}:us-east-1:000000000000:*")
        if statement["Resource"] != "*"
        else statement
    ),
    "any ending of its resources": _with_endings,
    "without its condition": lambda statement: {key: part for key, part in statement.items() if key != "Condition"},
    "with a condition that always holds": lambda statement: _with_condition(statement, "*"),
}
