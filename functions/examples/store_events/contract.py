"""The contract of store events: what a store sends when something happens at its counter.

Used by the producer and the consumer of store events, and by the redrive for their dead-letter queue.
"""

from datetime import date, datetime
from typing import Literal

from pydantic import ConfigDict, Field

from redrive.contracts.contract import PERSONAL, SAFE, Contract, ContractModel


class StoreEvent(ContractModel):
    """The body of a store event."""

    model_config = ConfigDict(extra="ignore")

    event_id: str = Field(min_length=1, max_length=64, json_schema_extra=SAFE)
    name: str = Field(min_length=1, max_length=200, json_schema_extra=PERSONAL)
    dob: date = Field(json_schema_extra=PERSONAL)
    gender: Literal["F", "M", "X"]
    ssn_no: str = Field(pattern=r"^\d{9}$", json_schema_extra=PERSONAL)
    data_share_consent: bool
    evnt_time: datetime = Field(json_schema_extra=SAFE)


class StoreEventAttributes(ContractModel):
    """The message attributes of a store event. An event without `store_id` can't be processed."""

    model_config = ConfigDict(extra="ignore")

    store_id: int = Field(ge=1, le=5, json_schema_extra=SAFE)


STORE_EVENT = Contract("store-event", StoreEvent, StoreEventAttributes)
