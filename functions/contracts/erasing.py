"""What may be shown of a message: the fields that its contract knows, those that are not safe masked.

Called by the store events notice for the example of each store.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from aws_lambda_powertools.utilities.data_masking import DataMasking
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from contracts.contract import SAFE, ContractModel

_masking = DataMasking()


def erased(payload: str, model: type[ContractModel]) -> dict[str, Any] | None:
    """Return what may be shown of a payload, or None where that is nothing.

    Values are kept only of fields that the contract marks as safe, and only where they are what the contract
    says of them: the wrong thing in the right field may be anything. All other fields of the contract are
    masked, and keys that it does not know are left out, since their names may tell something too.

    Parameters
    ----------
    payload : str
        The innermost body of a message, valid or not.
    model : type[ContractModel]
        The body's model in the contract.
    """
    try:
        told = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    known = {name: told[name] for name in model.model_fields if name in told}
    hidden = [name for name, value in known.items() if not _may_be_shown(model.model_fields[name], value)]
    # Powertools masks a list item by item: its length would be shown, and could be more than a notice takes.
    whole = {name: "" if isinstance(value, list) else value for name, value in known.items()}
    shown: dict[str, Any] = _masking.erase(whole, fields=hidden) if hidden else whole
    return shown or None


def _may_be_shown(field: FieldInfo, value: Any) -> bool:
    marks = field.json_schema_extra
    if not isinstance(marks, dict) or not SAFE.items() <= marks.items():
        return False
    kind: Any = Annotated[field.annotation, field]
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True
