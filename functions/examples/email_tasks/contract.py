"""The contract of email tasks: the requests that the producer accepts and the tasks that it enqueues.

Used by the producer and the consumer of email tasks, and by the redrive for their dead-letter queue.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from redrive.contracts.contract import PERSONAL, SAFE, Contract, ContractModel

# The format that browsers accept (HTML Standard, "Valid e-mail address"), with a dot in the domain. SES accepts only
# ASCII; domains must be in Punycode (SES API v2 Reference, "Destination").
_ADDRESS = (
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$"
)
# A character takes at most 12 bytes in ASCII JSON, so a task always fits in a 1 MiB message.
_MAX_BODY = 50_000


class EmailRequest(ContractModel):
    """A caller's request. Unknown keys are rejected, because they are the caller's mistake."""

    model_config = ConfigDict(extra="forbid")

    recipient_email: str = Field(max_length=320, pattern=_ADDRESS, json_schema_extra=PERSONAL)
    # A line break would start another header.
    subject: str = Field(min_length=1, max_length=200, pattern=r"^[^\r\n]*$", json_schema_extra=PERSONAL)
    body: str = Field(min_length=1, max_length=_MAX_BODY, json_schema_extra=PERSONAL)


class EmailTask(EmailRequest):
    """The body of a message: the request and the id that makes sending it idempotent.

    Unknown keys are ignored, because they come from a newer producer.
    """

    model_config = ConfigDict(extra="ignore")

    task_id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", json_schema_extra=SAFE)


class NoAttributes(ContractModel):
    """An HTTP request has no message attributes."""


class EmailTaskAttributes(ContractModel):
    """The message attributes of a task."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["email"] = Field(json_schema_extra=SAFE)


EMAIL_REQUEST = Contract("email-request", EmailRequest, NoAttributes)
EMAIL_TASK = Contract("email-task", EmailTask, EmailTaskAttributes)
