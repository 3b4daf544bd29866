"""All contracts by name, and which queue has which.

The redrive reads it when a slice or a sample begins; a new contract is added to `CONTRACTS` here.
"""

from collections.abc import Mapping
from typing import Any

from contracts.contract import Contract
from contracts.store_event import STORE_EVENT

CONTRACTS: dict[str, Contract[Any, Any]] = {contract.name: contract for contract in (STORE_EVENT,)}


class UnknownContractError(Exception):
    """A queue is mapped to a contract that this deployment does not have."""


def contracts_by_queue(mapping: Mapping[str, str]) -> dict[str, Contract[Any, Any]]:
    """Return the contract of each queue that has one.

    Parameters
    ----------
    mapping : Mapping[str, str]
        Queue name to contract name, as the `QUEUE_CONTRACTS` setting holds it.

    Raises
    ------
    UnknownContractError
        Where the mapping names a contract that does not exist.
    """
    unknown = sorted(set(mapping.values()) - CONTRACTS.keys())
    if unknown:
        raise UnknownContractError(
            f"QUEUE_CONTRACTS names the contracts {', '.join(unknown)}, but there are only "
            f"{', '.join(sorted(CONTRACTS))}. Correct the setting or add the contract to "
            "contracts/registry.py."
        )
    return {queue: CONTRACTS[name] for queue, name in mapping.items()}
