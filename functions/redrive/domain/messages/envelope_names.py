"""The names of the envelopes that AWS services put around a message on its way to a dead-letter queue.

`redrive.domain.messages.envelopes` has their formats, which only messages in envelopes need.
"""

from __future__ import annotations

from enum import StrEnum


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
    S3_POINTER = "s3-pointer"
    IOT_ERROR_ACTION = "iot-error-action"
