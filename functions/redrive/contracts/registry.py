"""Which contract each queue or function has, and where the contract is.

Used when a run is planned, sampled, and moved. A contract is imported or loaded only when a message needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Self

from redrive.contracts.contract import Contract
from redrive.contracts.wildcards import matches

# A pydantic contract in the package: python:MODULE:NAME.
PYTHON = "python:"
# A JSON Schema in an SSM parameter or an S3 object.
JSON_SCHEMA = ("ssm:", "s3://")


class UnknownContractError(Exception):
    """The mapping is malformed or names a contract that doesn't exist."""


@dataclass(frozen=True, slots=True)
class ContractMapping:
    """Which contract each queue or function has."""

    #: Name, which may hold the wildcard `*`, and location: `python:MODULE:NAME`, `ssm:PARAMETER`, or
    #: `s3://BUCKET/KEY`.
    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the mapping in the `QUEUE_CONTRACTS` setting: `NAME=LOCATION`, separated by commas.

        Raises
        ------
        UnknownContractError
            If a pair or its location is malformed.
        """
        pairs = []
        for pair in filter(None, (part.strip() for part in text.split(","))):
            name, sign, location = pair.partition("=")
            if not (name and sign and location):
                raise UnknownContractError(
                    f"QueueContracts holds '{pair}'. Expected NAME=LOCATION, such as "
                    "orders-*=ssm:/sqs-redrive/contracts/order, separated by commas."
                )
            if not location.startswith((PYTHON, *JSON_SCHEMA)):
                raise UnknownContractError(
                    f"QueueContracts gives {name} the contract '{location}'. Expected ssm:PARAMETER, s3://BUCKET/KEY, "
                    "or python:MODULE:NAME for a contract in this app's package."
                )
            pairs.append((name, location))
        return cls(tuple(pairs))

    def location(self, name: str) -> str | None:
        """Return where the contract of a queue or function is; an exact name takes precedence over a pattern."""
        exact = (location for pattern, location in self.pairs if pattern == name)
        matching = (location for pattern, location in self.pairs if matches(pattern, name))
        return next(exact, None) or next(matching, None)


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
            "Contract, such as python:examples.store_events.contract:STORE_EVENT."
        )
    return contract
