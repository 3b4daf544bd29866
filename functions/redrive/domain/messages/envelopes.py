"""The formats of the envelopes that AWS services put around a message on its way to a dead-letter queue.

Used by `redrive.domain.messages.opening` for messages that look like they have one. Each model is a format from the
AWS documentation and names its source.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from redrive.domain.messages.message import AttributeMap

# The version of the records that Lambda, Pipes, and custom event buses write. Others aren't documented.
RECORD_VERSION = "1.0"
# SNS developer guide, "Parsing message formats": UnsubscribeURL. SNS API reference, CreateTopic: names of topics.
_SUBSCRIPTION = re.compile(
    r"[?&]SubscriptionArn=(?P<arn>(?P<topic>arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256}):[0-9a-f-]{36})$"
)
# More than any service counts.
_MAX_COUNT = 1_000_000_000


def _encodable(value: Any) -> Any:
    # A service may cut an error text in the middle of a surrogate pair, and pydantic refuses the rest.
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


type FreeText = Annotated[str, BeforeValidator(_encodable)]
# Strict, because 1e999999999 would become an integer that takes all memory.
type Count = Annotated[int, Field(strict=True, ge=0, le=_MAX_COUNT)]


class Form(BaseModel):
    """Base: ignores unknown fields, because services add fields over time."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True)

    @classmethod
    def of(cls, content: Any) -> Self | None:
        """Return the parsed content, or None if it doesn't have this form."""
        try:
            return cls.model_validate(content)
        except ValidationError:
            return None


class RequestContext(Form):
    """The invocation that failed."""

    request_id: str = Field(alias="requestId")
    function_arn: str = Field(alias="functionArn")
    condition: str
    attempts: Count = Field(alias="approximateInvokeCount")


class ResponsePayload(Form):
    """What the function returned or raised."""

    error_type: FreeText | None = Field(default=None, alias="errorType")
    error_message: FreeText | None = Field(default=None, alias="errorMessage")


class LambdaDestination(Form):
    """The record of an asynchronous invocation (Lambda developer guide, "Capturing records")."""

    version: str
    timestamp: str
    context: RequestContext = Field(alias="requestContext")
    response: Any = Field(default=None, alias="responsePayload")


class FailedInvocation(Form):
    """The failed function, in a record of any version."""

    function_arn: str = Field(alias="functionArn", pattern="^arn:")


class BatchPointer(Form):
    """A failed batch of a function: shards, ranges, or offsets, and no data.

    Lambda developer guide, "Retain discarded batch records" (Kinesis, DynamoDB), and "Capturing discarded batches for
    Amazon MSK and self-managed Apache Kafka".
    """

    timestamp: str
    context: RequestContext = Field(alias="requestContext")


class BatchSize(Form):
    """How many records a failed batch had (same sources as `BatchPointer`).

    Lambda and Pipes put at most 10,000 into a batch (Lambda API reference, CreateEventSourceMapping).
    """

    size: Annotated[int, Field(alias="batchSize", strict=True, ge=1, le=10_000)]


class PipeContext(Form):
    """The pipe whose batch failed (EventBridge user guide, "Pipes error handling and troubleshooting")."""

    pipe: str = Field(alias="partnerResourceArn", pattern="^arn:[a-z-]+:pipes:")
    condition: str


class FailedAction(Form):
    """An action of an IoT rule that failed."""

    action: str = Field(alias="failedAction")
    message: FreeText | None = Field(default=None, alias="errorMessage")


class IotErrorAction(Form):
    """What IoT sends to a rule's error action: the original message in base64, and which actions failed.

    IoT Core developer guide, "Error handling (error action)".
    """

    rule: str = Field(alias="ruleName")
    topic: str
    payload: str = Field(alias="base64OriginalPayload")
    failures: list[FailedAction] = Field(min_length=1)


class SubscriberRecord(Form):
    """Events that a custom event bus couldn't deliver to a subscriber's target: their ids, no data.

    EventBridge user guide, "Retry policies and dead-letter queues" (custom event buses). One record has the events that
    failed together in a batch. The message attributes repeat the fields.
    """

    bus: str = Field(alias="busArn", pattern="^arn:")
    subscriber: str = Field(alias="subscriberArn", pattern="^arn:")
    target: str = Field(alias="targetArn", pattern="^arn:")
    error_code: str | None = Field(default=None, alias="errorCode")
    error_message: FreeText | None = Field(default=None, alias="errorMessage")
    attempts: Count | None = Field(default=None, alias="retryAttempts")
    failed: list[dict[str, Any]] = Field(alias="failedMessages")


class ServiceAttributes(Form):
    """Base: message attributes that a service added."""

    #: Data types of the attributes that aren't a String, by name.
    types: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @classmethod
    def on(cls, attributes: AttributeMap) -> Self | None:
        """Return the service's attributes, or None if one is missing or has another data type."""
        values: dict[str, Any] = {}
        for name in cls.names() & attributes.keys():
            value = attributes[name]
            if value.get("DataType") not in cls.types.get(name, ("String",)):
                return None
            values[name] = value.get("StringValue")
        return cls.of(values)

    @classmethod
    @cache
    def names(cls) -> frozenset[str]:
        """Return the names of the attributes."""
        return frozenset(field.alias for field in cls.model_fields.values() if field.alias)

    @classmethod
    def stripped(cls, attributes: AttributeMap) -> AttributeMap:
        """Return the attributes without those that the service added."""
        added = cls.names()
        return {name: value for name, value in attributes.items() if name not in added}


class DeliveryAttributes(ServiceAttributes):
    """Message attributes of an event that EventBridge couldn't deliver. Some are optional."""

    types: ClassVar = {"RETRY_ATTEMPTS": ("String", "Number")}

    target: str = Field(alias="TARGET_ARN")
    error_code: str = Field(default="", alias="ERROR_CODE")
    error_message: str = Field(default="", alias="ERROR_MESSAGE")
    exhausted: str = Field(default="", alias="EXHAUSTED_RETRY_CONDITION")
    attempts: str = Field(default="", alias="RETRY_ATTEMPTS")


class RuleAttributes(DeliveryAttributes):
    """Attributes of a rule's event (EventBridge user guide, "Using dead-letter queues")."""

    rule: str = Field(alias="RULE_ARN", pattern="^arn:")


class ScheduleAttributes(DeliveryAttributes):
    """Attributes of a schedule's event (EventBridge Scheduler user guide, "Configuring a dead-letter queue")."""

    schedule: str = Field(alias="SCHEDULE_ARN", pattern="^arn:")
    scheduled_time: str = Field(default="", alias="SCHEDULED_TIME")
    execution_id: str = Field(default="", alias="EXECUTION_ID")
    #: The service always adds it.
    truncated: str = Field(default="", alias="IS_PAYLOAD_TRUNCATED")


class AsyncDlqAttributes(ServiceAttributes):
    """Message attributes of an event in a function's dead-letter queue. The error text is cut at 1 KB.

    Lambda developer guide, "Adding a dead-letter queue": all three are always present, and the code is an HTTP status.
    """

    types: ClassVar = {"ErrorCode": ("Number",)}

    request_id: str = Field(alias="RequestID")
    error_code: str = Field(alias="ErrorCode", pattern="^[1-5][0-9][0-9]$")
    error_message: str = Field(alias="ErrorMessage")


class S3Event(Form):
    """An S3 event notification (S3 user guide, "Event message structure")."""

    records: list[dict[str, Any]] = Field(alias="Records", min_length=1)

    @property
    def is_of_s3(self) -> bool:
        """Whether S3 sent it, because other services send records, too."""
        return any(record.get("eventSource") == "aws:s3" for record in self.records)

    @property
    def bucket(self) -> str | None:
        """ARN of the bucket."""
        try:
            arn = self.records[0]["s3"]["bucket"]["arn"]
        except (KeyError, TypeError):
            return None
        return arn if isinstance(arn, str) else None


class S3TestEvent(Form):
    """The message that S3 sends when notifications are configured (S3 user guide, "Event message structure")."""

    service: Literal["Amazon S3"] = Field(alias="Service")
    event: Literal["s3:TestEvent"] = Field(alias="Event")


class SnsAttribute(Form):
    """A message attribute in a notification, with bytes in base64 (SNS API reference, MessageAttributeValue)."""

    type: Annotated[str, Field(alias="Type", pattern=r"^(String|Number|Binary)(\.|$)")]
    value: Annotated[str, Field(alias="Value")]

    @model_validator(mode="after")
    def _decodable(self) -> Self:
        self.to_sqs()
        return self

    def to_sqs(self) -> Mapping[str, Any]:
        """Return the attribute as SNS delivers it to a queue with raw delivery."""
        if self.type.partition(".")[0] == "Binary":
            return {"DataType": self.type, "BinaryValue": b64decode(self.value, validate=True)}
        return {"DataType": self.type, "StringValue": self.value}


class SnsNotification(Form):
    """The message that SNS sends to a queue without raw delivery (SNS developer guide, "Parsing message formats").

    A subscription's dead-letter queue gets the same message, whether raw delivery is on or off. SNS doesn't add the
    reason, which is only in the delivery status logs (SNS developer guide, "Dead-letter queues").
    """

    type: str = Field(alias="Type", pattern="^Notification$")
    message_id: str = Field(alias="MessageId")
    topic: str = Field(alias="TopicArn", pattern="^arn:")
    message: str = Field(alias="Message")
    attributes: dict[str, SnsAttribute] = Field(default_factory=dict, alias="MessageAttributes")
    unsubscribe_url: Any = Field(default=None, alias="UnsubscribeURL")

    @property
    def subscription(self) -> str | None:
        """ARN of the subscription that it was sent for, taken from the unsubscribe link."""
        link = self.unsubscribe_url
        found = _SUBSCRIPTION.search(link) if isinstance(link, str) else None
        return found["arn"] if found and found["topic"] == self.topic else None

    def sqs_attributes(self) -> AttributeMap:
        """Return the message's attributes in SQS's format."""
        return {name: attribute.to_sqs() for name, attribute in self.attributes.items()}
