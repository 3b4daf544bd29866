"""The contract of shipment notices: the event that says a parcel is on its way.

Used by the shipment notices function, and by the redrive for the events that the function failed on.
"""

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from redrive.contracts.contract import PERSONAL, SAFE, Contract, ContractModel


class ShipmentNotice(ContractModel):
    """The event of an asynchronous invocation."""

    model_config = ConfigDict(extra="ignore")

    shipment_id: str = Field(min_length=1, max_length=64, json_schema_extra=SAFE)
    order_id: str = Field(min_length=1, max_length=64, json_schema_extra=SAFE)
    carrier: Literal["post", "courier", "pickup"] = Field(json_schema_extra=SAFE)
    recipient_name: str = Field(min_length=1, max_length=200, json_schema_extra=PERSONAL)
    shipped_at: datetime = Field(json_schema_extra=SAFE)


class ShipmentNoticeAttributes(ContractModel):
    """A function's event has no message attributes; those of the message that carries it don't matter."""

    model_config = ConfigDict(extra="ignore")


SHIPMENT_NOTICE = Contract("shipment-notice", ShipmentNotice, ShipmentNoticeAttributes)
