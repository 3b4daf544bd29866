"""The contract of e-mail tasks: what the producer puts into the queue, and what it takes from its callers.

Used by the producer and the consumer of e-mail tasks and, for the queue's dead letters, by the redrive.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from contracts.contract import PERSONAL, SAFE, Contract, ContractModel

# The form that browsers accept (HTML Standard, "Valid e-mail address"), with a dot in the domain. SES takes
# ASCII only, domains in Punycode (SES API v2 Reference, "Destination").
_ADDRESS = (
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$"
)
# In ASCII JSON a character takes 12 bytes at most, so that a task always fits in the 1 MiB of a message.
_MAX_BODY = 50_000


class EmailRequest(ContractModel):
    """What a caller asks for. A key that is not known is a mistake of the caller's, so it is refused."""

    model_config = ConfigDict(extra="forbid")

    recipient_email: str = Field(max_length=320, pattern=_ADDRESS, json_schema_extra=PERSONAL)
    # A line break would begin another header.
    subject: str = Field(min_length=1, max_length=200, pattern=r"^[^\r\n]*$", json_schema_extra=PERSONAL)
    body: str = Field(min_length=1, max_length=_MAX_BODY, json_schema_extra=PERSONAL)


class EmailTask(EmailRequest):
    """The body of a message: the request, and the id by which the task is sent once and accounted for.

    A key that is not known comes from a newer producer, so it is ignored.
    """

    model_config = ConfigDict(extra="ignore")

    task_id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", json_schema_extra=SAFE)


class NoAttributes(ContractModel):
    """A request over HTTP has no message attributes."""


class EmailTaskAttributes(ContractModel):
    """The message attributes of a task."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["email"] = Field(json_schema_extra=SAFE)


EMAIL_REQUEST = Contract("email-request", EmailRequest, NoAttributes)
EMAIL_TASK = Contract("email-task", EmailTask, EmailTaskAttributes)
