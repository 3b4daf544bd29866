"""Removes personal data from a message: keeps the fields of its contract and masks those that aren't marked as safe.

Called by the store events notice for each store's example.
"""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools.utilities.data_masking import DataMasking

from redrive.contracts.contract import ContractModel
from redrive.contracts.marks import Marks

_masking = DataMasking()


def erased(payload: str, model: type[ContractModel], marks: Marks | None = None) -> dict[str, Any] | None:
    """Return the payload without personal data, or None if nothing remains.

    A value is kept only if the message is valid and the contract marks the value as safe: in an invalid message, any
    value can be anything. All other fields of the contract are masked. Keys that the contract doesn't define are
    dropped, because even a name can be personal.

    Parameters
    ----------
    payload : str
        The innermost body of a message, valid or not.
    model : type[ContractModel]
        The body's model in the contract.
    marks : Marks | None
        Which of its values may be shown; None if the message is invalid.
    """
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    known = {name: content[name] for name in model.model_fields if name in content}
    unsafe = [name for name, value in known.items() if not _may_be_kept(marks, name, value)]
    # Powertools masks a list item by item, which would reveal its length and could exceed the size of a notice.
    without_lists = {name: "" if isinstance(value, list) else value for name, value in known.items()}
    masked: dict[str, Any] = _masking.erase(without_lists, fields=unsafe) if unsafe else without_lists
    return masked or None


def _may_be_kept(marks: Marks | None, name: str, value: Any) -> bool:
    below = None if marks is None or isinstance(value, (dict, list)) else marks.below(name)
    return below is not None and below.allow(value)
