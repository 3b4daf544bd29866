"""The envelopes that AWS services put around a message on its way to a dead-letter queue.

Read by `redrive.domain.messages.opening`. Each model is a format from the AWS documentation, which it names.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Envelope(StrEnum):
    """What a service put around a message."""

    NONE = "none"
    LAMBDA_DESTINATION = "lambda-destination"
    LAMBDA_ASYNC_DLQ = "lambda-async-dlq"
    STREAM_BATCH_POINTER = "stream-batch-pointer"
    SNS_NOTIFICATION = "sns-notification"
    EVENTBRIDGE_RULE = "eventbridge-rule"
    EVENTBRIDGE_SCHEDULER = "eventbridge-scheduler"
    EVENTBRIDGE_SUBSCRIBER = "eventbridge-subscriber"
    S3_EVENT = "s3-event"


class Form(BaseModel):
    """Base: what isn't named is ignored, because services add fields over time."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True)


class RequestContext(Form):
    """The invocation that failed."""

    request_id: str = Field(alias="requestId")
    function_arn: str = Field(alias="functionArn")
    condition: str
    attempts: int = Field(alias="approximateInvokeCount")


class ResponsePayload(Form):
    """What the function returned or raised."""

    error_type: str | None = Field(default=None, alias="errorType")
    error_message: str | None = Field(default=None, alias="errorMessage")


class LambdaDestination(Form):
    """The record of an asynchronous invocation (Lambda developer guide, "Capturing records")."""

    version: str
    timestamp: str
    context: RequestContext = Field(alias="requestContext")
    response: Any = Field(default=None, alias="responsePayload")


class StreamBatchPointer(Form):
    """A failed batch of a stream: shard and range, no data (Lambda developer guide, "Kinesis")."""

    timestamp: str
    context: RequestContext = Field(alias="requestContext")


class SubscriberRecord(Form):
    """Events that a custom event bus could not deliver to a subscriber's target: their ids, no data.

    EventBridge user guide, "Retry policies and dead-letter queues" (custom event buses).
    """

    bus: str = Field(alias="busArn", pattern="^arn:")
    subscriber: str = Field(alias="subscriberArn", pattern="^arn:")
    target: str = Field(alias="targetArn", pattern="^arn:")
    error_code: str | None = Field(default=None, alias="errorCode")
    error_message: str | None = Field(default=None, alias="errorMessage")
    attempts: int | None = Field(default=None, alias="retryAttempts")
    failed: list[dict[str, Any]] = Field(alias="failedMessages")


class DeliveryAttributes(Form):
    """Message attributes of an event that EventBridge could not deliver; not all are always there."""

    target: str = Field(alias="TARGET_ARN")
    error_code: str | None = Field(default=None, alias="ERROR_CODE")
    error_message: str | None = Field(default=None, alias="ERROR_MESSAGE")
    exhausted: str | None = Field(default=None, alias="EXHAUSTED_RETRY_CONDITION")
    attempts: str | None = Field(default=None, alias="RETRY_ATTEMPTS")


class RuleAttributes(DeliveryAttributes):
    """Attributes of a rule's event (EventBridge user guide, "Using dead-letter queues")."""

    rule: str = Field(alias="RULE_ARN")


class ScheduleAttributes(DeliveryAttributes):
    """Attributes of a schedule's event (EventBridge Scheduler user guide, "Configuring a dead-letter queue")."""

    schedule: str = Field(alias="SCHEDULE_ARN")
    scheduled_time: str | None = Field(default=None, alias="SCHEDULED_TIME")
    execution_id: str | None = Field(default=None, alias="EXECUTION_ID")
    truncated: str = Field(default="false", alias="IS_PAYLOAD_TRUNCATED")


class AsyncDlqAttributes(Form):
    """Message attributes of an event in a function's dead-letter queue; the error text is cut at 1 KB.

    Lambda developer guide, "Adding a dead-letter queue".
    """

    request_id: str = Field(alias="RequestID")
    error_code: str = Field(alias="ErrorCode")
    error_message: str | None = Field(default=None, alias="ErrorMessage")


class S3Event(Form):
    """An S3 event notification (S3 user guide, "Event message structure")."""

    records: list[dict[str, Any]] = Field(alias="Records", min_length=1)

    @property
    def is_of_s3(self) -> bool:
        """Whether S3 sent it, rather than another service that sends records."""
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
    """The message that S3 sends when a notification is set up (S3 user guide, "Event message structure")."""

    service: Literal["Amazon S3"] = Field(alias="Service")
    event: Literal["s3:TestEvent"] = Field(alias="Event")


class SnsNotification(Form):
    """The message that SNS sends to a queue without raw delivery (SNS developer guide, "Parsing message formats")."""

    type: str = Field(alias="Type", pattern="^Notification$")
    message_id: str = Field(alias="MessageId")
    topic: str = Field(alias="TopicArn", pattern="^arn:")
    message: str = Field(alias="Message")
    attributes: dict[str, dict[str, Any]] = Field(default_factory=dict, alias="MessageAttributes")
