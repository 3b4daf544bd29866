"""Which contract each queue or function has, and where the contract is.

Used when a run is planned, sampled, and moved. A contract is imported or loaded only when a message needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, Self

from redrive.contracts.contract import Contract
from redrive.contracts.wildcards import matches

# A pydantic contract in the package: python:MODULE:NAME.
PYTHON = "python:"
# A JSON Schema in an SSM parameter or an S3 object.
JSON_SCHEMA = ("ssm:", "s3://")
# Before the location of a JSON document with more of the mapping: @ssm:PARAMETER or @s3://BUCKET/KEY.
_DOCUMENT = "@"
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
    #: `s3://BUCKET/KEY`.
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
                    f"QueueContracts holds '{pair}'. Expected NAME=LOCATION, such as "
                    "orders-*=ssm:/sqs-redrive/contracts/order, separated by commas. Correct the parameter and deploy "
                    "again."
                )
            if not location.startswith((PYTHON, *JSON_SCHEMA)):
                raise UnknownContractError(
                    f"QueueContracts gives {name} the contract '{location}'. Expected ssm:PARAMETER, s3://BUCKET/KEY, "
                    "or python:MODULE:NAME for a contract in this app's package. Correct the parameter and deploy "
                    "again."
                )
            pairs.append((name, location))
        return cls(tuple(pairs))

    def location(self, name: str) -> str | None:
        """Return where the contract of a queue or function is; an exact name takes precedence over a pattern."""
        exact = (location for pattern, location in self.pairs if pattern == name)
        matching = (location for pattern, location in self.pairs if matches(pattern, name))
        return next(exact, None) or next(matching, None)


def _pairs_at(location: str, read: Callable[[str], bytes]) -> Iterator[tuple[str, str]]:
    """Yield the pairs in a JSON document.

    It can't name contracts in Python: whoever may write it should not choose which module is imported.
    """
    if not location.startswith(JSON_SCHEMA):
        raise UnknownContractError(
            f"QueueContracts names the mapping '{location}'. Expected @ssm:PARAMETER or @s3://BUCKET/KEY. Correct the "
            "parameter and deploy again."
        )
    try:
        document = json.loads(read(location), object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, _Object):
        raise _wrong(location, "it isn't a JSON object")
    names: set[str] = set()
    for place, (name, contract) in enumerate(document.members, 1):
        if not name.strip() or name in names:
            raise _wrong(location, f"the name of its member {place} is {'there twice' if name in names else 'empty'}")
        if not isinstance(contract, str) or not contract.startswith(JSON_SCHEMA):
            raise _wrong(location, f"the value of its member {place} isn't ssm:PARAMETER or s3://BUCKET/KEY")
        names.add(name)
        yield name, contract


def _wrong(location: str, problem: str) -> UnknownContractError:
    return UnknownContractError(
        f"The mapping of contracts at {location} is invalid: {problem}. Expected the locations of JSON Schemas by the "
        f"names of queues and functions, such as {_EXAMPLE}. Correct the document and start the run again."
    )


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
