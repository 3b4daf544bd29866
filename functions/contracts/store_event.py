"""The contract of store events: what a store sends when something happened at its counter.

Used by the store events consumer and, for its queue's dead letters, by the redrive.
"""

from datetime import date, datetime
from typing import Literal

from pydantic import ConfigDict, Field

from contracts.contract import Contract, ContractModel


class StoreEvent(ContractModel):
    """The body of a store event. `name`, `dob` and `ssn_no` are personal data."""

    model_config = ConfigDict(extra="ignore")

    event_id: str = Field(min_length=1, max_length=64)
    name: str = Field(min_length=1, max_length=200)
    dob: date
    gender: Literal["F", "M", "X"]
    ssn_no: str = Field(pattern=r"^\d{9}$")
    data_share_consent: bool
    evnt_time: datetime


class StoreEventAttributes(ContractModel):
    """The message attributes of a store event: without `store_id` nobody can process it."""

    model_config = ConfigDict(extra="ignore")

    store_id: int = Field(ge=1, le=5)


STORE_EVENT = Contract("store-event", StoreEvent, StoreEventAttributes)
