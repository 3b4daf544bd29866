"""Which contract each queue or function has, and where the contract is.

Used when a run is planned, sampled, and moved. A contract is imported or loaded only when a message needs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, Self

from redrive.contracts.contract import Contract
from redrive.contracts.wildcards import matches

# A pydantic contract in the package: python:MODULE:NAME.
PYTHON = "python:"
# A JSON document in an SSM parameter (SSM API reference, PutParameter: characters of names; GetParameter: a version or
# a label after a colon) or in an S3 object (S3 user guide, "General purpose bucket naming rules").
_LOCATION = re.compile(r"ssm:[A-Za-z0-9_.:/-]*[A-Za-z0-9_.-]|s3://[a-z0-9.-]{3,63}/[^\x00-\x1f\x7f]+")
# Before the location of a JSON document with more of the mapping: @ssm:PARAMETER or @s3://BUCKET/KEY.
_DOCUMENT = "@"
# SQS API reference, CreateQueue; names of functions are shorter, and the stack delivers to no state machine whose name
# has other characters (template.yaml, DestinationStateMachineArns).
_NAME_CHARACTERS = re.compile(r"[A-Za-z0-9_.*-]")
_MAX_NAME = 80
_NAMES = (
    "the name of a queue or function: up to 80 letters, digits, hyphens, underscores, and wildcards *, with .fifo at "
    "the end of a FIFO queue's"
)
# As much of the parameter as an error repeats.
_MAX_EXCERPT = 40
_EXAMPLE = '{"orders-*": "ssm:/sqs-redrive/contracts/order"}'


class _Object(NamedTuple):
    """A JSON object with its members in order, also those of the same name."""

    members: list[tuple[str, Any]]


class UnknownContractError(Exception):
    """The mapping is malformed or names a contract that doesn't exist."""


@dataclass(frozen=True, slots=True)
class ContractMapping:
    """Which contract each queue or function has."""

    #: Name, which may hold the wildcard `*`, and location: `python:MODULE:NAME`, `ssm:PARAMETER`, or
    #: `s3://BUCKET/KEY`. Each name can be one of a queue or a function.
    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str, read: Callable[[str], bytes]) -> Self:
        """Return the mapping in the `QUEUE_CONTRACTS` setting: `NAME=LOCATION` or `@LOCATION`, separated by commas.

        Parameters
        ----------
        text : str
            The setting.
        read : Callable[[str], bytes]
            Returns the document at a location, whose pairs take its place in the setting.

        Raises
        ------
        UnknownContractError
            If a pair, its location, or a document is malformed.
        """
        pairs: list[tuple[str, str]] = []
        for pair in filter(None, (part.strip() for part in text.split(","))):
            if pair.startswith(_DOCUMENT):
                pairs += _pairs_at(pair.removeprefix(_DOCUMENT), read)
                continue
            name, sign, location = pair.partition("=")
            if not (name and sign and location):
                raise UnknownContractError(
                    f"QueueContracts holds {_excerpt(pair)}. Expected NAME=LOCATION, such as "
                    "orders-*=ssm:/sqs-redrive/contracts/order, separated by commas. Correct the parameter and deploy "
                    "again."
                )
            if problem := _problem_of(name):
                raise UnknownContractError(
                    f"QueueContracts holds the name {_excerpt(name)}, which {problem}. Expected {_NAMES}. Correct the "
                    "parameter and deploy again."
                )
            if not (location.startswith(PYTHON) or _LOCATION.fullmatch(location)):
                raise UnknownContractError(
                    f"QueueContracts gives {name} the contract {_excerpt(location)}. Expected ssm:PARAMETER, "
                    "s3://BUCKET/KEY, or python:MODULE:NAME for a contract in this app's package. Correct the "
                    "parameter and deploy again."
                )
            pairs.append((name, location))
        return cls(tuple(pairs))

    def location(self, name: str) -> str | None:
        """Return where the contract of a queue or function is; an exact name takes precedence over a pattern."""
        pair = self.pair(name)
        return None if pair is None else pair[1]

    def pair(self, name: str) -> tuple[str, str] | None:
        """Return the pair that counts for a queue or function."""
        exact = (pair for pair in self.pairs if pair[0] == name)
        matching = (pair for pair in self.pairs if matches(pair[0], name))
        return next(exact, None) or next(matching, None)


def _pairs_at(location: str, read: Callable[[str], bytes]) -> Iterator[tuple[str, str]]:
    """Yield the pairs in a JSON document.

    It can't name contracts in Python: whoever may write it should not choose which module is imported.
    """
    if not _LOCATION.fullmatch(location):
        raise UnknownContractError(
            f"QueueContracts names the mapping {_excerpt(location)}. Expected @ssm:PARAMETER or @s3://BUCKET/KEY. "
            "Correct the parameter and deploy again."
        )
    try:
        document = json.loads(read(location), object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, _Object):
        raise _wrong(location, "it isn't a JSON object")
    names: set[str] = set()
    for place, (name, contract) in enumerate(document.members, 1):
        if problem := "is there twice" if name in names else _problem_of(name):
            raise _wrong(location, f"the name of its member {place} {problem}")
        if not isinstance(contract, str) or not _LOCATION.fullmatch(contract):
            raise _wrong(location, f"the value of its member {place} isn't ssm:PARAMETER or s3://BUCKET/KEY")
        names.add(name)
        yield name, contract


def _wrong(location: str, problem: str) -> UnknownContractError:
    return UnknownContractError(
        f"The mapping of contracts at {location} is invalid: {problem}. Expected locations of JSON Schemas, "
        f"such as {_EXAMPLE}, each by {_NAMES}. Correct the document and start the run again."
    )


def _problem_of(name: str) -> str | None:
    """Return why a name with wildcards can't match that of any queue or function, or None if it can."""
    if not name:
        return "is empty"
    for place, character in enumerate(name[: _MAX_NAME + 1], 1):
        if not _NAME_CHARACTERS.fullmatch(character):
            return f"has the character {character!a} at place {place}"
    if len(name) > _MAX_NAME:
        return f"has {len(name)} characters"
    before, dot, suffix = name.partition(".")
    if dot and not (before and matches(suffix, "fifo")):
        return "has a dot that can't be that of .fifo"
    return None


def _excerpt(text: str) -> str:
    """Return the beginning of a text in quotation marks, with escapes for what can't be seen."""
    return ascii(text[:_MAX_EXCERPT]) + ("..." if len(text) > _MAX_EXCERPT else "")


def python_contract(location: str) -> Contract[Any, Any]:
    """Return the pydantic contract at `python:MODULE:NAME`.

    Raises
    ------
    UnknownContractError
        If there is no such module, or it has no contract of that name.
    """
    module, _, name = location.removeprefix(PYTHON).partition(":")
    try:
        contract = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError):
        contract = None
    if not isinstance(contract, Contract):
        raise UnknownContractError(
            f"QueueContracts names the contract '{location}', which doesn't exist. Expected python:MODULE:NAME of a "
            "Contract, such as python:examples.store_events.contract:STORE_EVENT. Correct the parameter and deploy "
            "again."
        )
    return contract
