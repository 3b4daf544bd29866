"""The contracts of this app by name, and which queue or function has which contract.

The redrive reads it when a run is planned, sampled and moved; a new contract is added to `CONTRACTS` here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Self

from contracts.contract import Contract
from contracts.email_task import EMAIL_TASK
from contracts.reward_payout import REWARD_PAYOUT
from contracts.shipment_notice import SHIPMENT_NOTICE
from contracts.store_event import STORE_EVENT

CONTRACTS: dict[str, Contract[Any, Any]] = {
    contract.name: contract for contract in (STORE_EVENT, EMAIL_TASK, SHIPMENT_NOTICE, REWARD_PAYOUT)
}
# Where JSON Schemas lie: an SSM parameter, an S3 object.
SCHEMES = ("ssm:", "s3://")


class UnknownContractError(Exception):
    """A queue is mapped to a contract that this deployment does not have, or the mapping cannot be read."""


@dataclass(frozen=True, slots=True)
class ContractMapping:
    """Which queue or function has which contract.

    Attributes
    ----------
    pairs : tuple[tuple[str, str], ...]
        Name, which may hold the wildcard `*`, and location: a name in `CONTRACTS`, `ssm:PARAMETER` or
        `s3://BUCKET/KEY`.
    """

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the mapping that the `QUEUE_CONTRACTS` setting holds: `NAME=LOCATION`, with commas between.

        Raises
        ------
        UnknownContractError
            Where a pair is none, or names a contract that does not exist.
        """
        pairs = []
        for pair in filter(None, (part.strip() for part in text.split(","))):
            name, sign, location = pair.partition("=")
            if not (name and sign and location):
                raise UnknownContractError(
                    f"QueueContracts holds '{pair}'. Expected NAME=LOCATION, such as "
                    "orders-*=ssm:/sqs-redrive/contracts/order, with commas between."
                )
            if location not in CONTRACTS and not location.startswith(SCHEMES):
                raise UnknownContractError(
                    f"QueueContracts gives {name} the contract '{location}'. Expected ssm:PARAMETER, "
                    f"s3://BUCKET/KEY, or a contract of this app ({', '.join(sorted(CONTRACTS))})."
                )
            pairs.append((name, location))
        return cls(tuple(pairs))

    def location(self, name: str) -> str | None:
        """Return where the contract of a queue or function lies: the whole name goes before a pattern."""
        exact = (location for pattern, location in self.pairs if pattern == name)
        matching = (location for pattern, location in self.pairs if fnmatchcase(name, pattern))
        return next(exact, None) or next(matching, None)
