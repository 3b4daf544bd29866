"""The contract of shipment notices: the event that tells a customer that a parcel is on its way.

Used by the shipment notices function and, for the events that it failed with, by the redrive.
"""

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from contracts.contract import PERSONAL, SAFE, Contract, ContractModel


class ShipmentNotice(ContractModel):
    """The event of an asynchronous invocation."""

    model_config = ConfigDict(extra="ignore")

    shipment_id: str = Field(min_length=1, max_length=64, json_schema_extra=SAFE)
    order_id: str = Field(min_length=1, max_length=64, json_schema_extra=SAFE)
    carrier: Literal["post", "courier", "pickup"] = Field(json_schema_extra=SAFE)
    recipient_name: str = Field(min_length=1, max_length=200, json_schema_extra=PERSONAL)
    shipped_at: datetime = Field(json_schema_extra=SAFE)


class ShipmentNoticeAttributes(ContractModel):
    """An event of a function has no message attributes; those of the letter that holds it do not matter."""

    model_config = ConfigDict(extra="ignore")


SHIPMENT_NOTICE = Contract("shipment-notice", ShipmentNotice, ShipmentNoticeAttributes)
