"""Removes personal data from a message: keeps the fields of its contract and masks those that aren't marked as safe.

Called by the store events notice for each store's example.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from aws_lambda_powertools.utilities.data_masking import DataMasking
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from redrive.contracts.contract import SAFE, ContractModel

_masking = DataMasking()


def erased(payload: str, model: type[ContractModel]) -> dict[str, Any] | None:
    """Return the payload without personal data, or None if nothing remains.

    A value is kept only if the contract marks its field as safe and the value is valid: an invalid value can be
    anything. All other fields of the contract are masked. Keys that the contract doesn't define are dropped, because
    even a name can be personal.

    Parameters
    ----------
    payload : str
        The innermost body of a message, valid or not.
    model : type[ContractModel]
        The body's model in the contract.
    """
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    known = {name: content[name] for name in model.model_fields if name in content}
    unsafe = [name for name, value in known.items() if not _is_safe(model.model_fields[name], value)]
    # Powertools masks a list item by item, which would reveal its length and could exceed the size of a notice.
    without_lists = {name: "" if isinstance(value, list) else value for name, value in known.items()}
    masked: dict[str, Any] = _masking.erase(without_lists, fields=unsafe) if unsafe else without_lists
    return masked or None


def _is_safe(field: FieldInfo, value: Any) -> bool:
    marks = field.json_schema_extra
    if not isinstance(marks, dict) or not SAFE.items() <= marks.items():
        return False
    annotated: Any = Annotated[field.annotation, field]
    try:
        TypeAdapter(annotated).validate_python(value)
    except ValidationError:
        return False
    return True
