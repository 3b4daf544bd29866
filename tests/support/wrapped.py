"""Builds messages as services and client libraries write them, for tests; knows nothing of the code under test."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

TOPIC = "arn:aws:sns:us-east-1:123456789012:t"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:on-order"
POINTER_CLASSES = (
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    "com.amazon.sqs.javamessaging.MessageS3Pointer",
)
SIZE_ATTRIBUTES = ("ExtendedPayloadSize", "SQSLargePayloadSize")


def number(value: str) -> dict[str, str]:
    return {"DataType": "Number", "StringValue": value}


def notification(message: str, attributes: dict[str, dict[str, Any]] | None = None, **members: Any) -> str:
    """Return a notification of SNS; `attributes` are as SQS has them."""
    content: dict[str, Any] = {"Type": "Notification", "MessageId": "m", "TopicArn": TOPIC, "Message": message}
    if attributes:
        content["MessageAttributes"] = {name: _sns_attribute(value) for name, value in attributes.items()}
    return json.dumps(content | members)


def _sns_attribute(value: dict[str, Any]) -> dict[str, str]:
    text = value["StringValue"] if "StringValue" in value else b64encode(value["BinaryValue"]).decode()
    return {"Type": value["DataType"], "Value": text}


def pointer(kind: str = POINTER_CLASSES[0], bucket: str = "large", key: str = "k-1", **members: Any) -> str:
    """Return the body that an extended client library sends instead of a payload."""
    return json.dumps([kind, {"s3BucketName": bucket, "s3Key": key} | members])


def pointers(bucket: str = "large", key: str = "0c1cfa3e-6d54-4a55-9f0c-5b2f9a1c7f10") -> dict[str, tuple[str, str]]:
    """Return a pointer of each client: the body, and the name of the attribute that goes with it.

    From the sources of the clients: awslabs (Java, Python, SNS), raol (.NET), aspecto-io, dvla (npm), vinujohn (Go).
    """
    fields = {"s3BucketName": bucket, "s3Key": key}
    place = {"s3_region": "eu-west-1", "s3_bucket": bucket, "s3_key": key}
    return {
        "awslabs": (json.dumps([POINTER_CLASSES[0], fields]), SIZE_ATTRIBUTES[0]),
        "awslabs-1": (json.dumps([POINTER_CLASSES[1], fields]), SIZE_ATTRIBUTES[1]),
        "relocated": (json.dumps([f"shaded.{POINTER_CLASSES[0]}", fields]), SIZE_ATTRIBUTES[0]),
        "raol": (json.dumps({"S3Key": key, "S3BucketName": bucket}), SIZE_ATTRIBUTES[1]),
        "aspecto-compatible": (json.dumps(fields), SIZE_ATTRIBUTES[1]),
        "dvla": (key, "S3MessageBodyKey"),
        "dvla-forwarded": (f"({bucket}){key}", "S3MessageBodyKey"),
        "hefty": (
            json.dumps({"identifier": "d", **place, "md5_digest_msg_body": "b", "md5_digest_msg_attr": ""}),
            "hefty-client-version",
        ),
        "hefty-0.1": (
            json.dumps({**place, "sqs_md5_hash_body": "b", "sqs_md5_hash_msg_attr": "a"}),
            "hefty-client-version",
        ),
        "aspecto": (
            json.dumps({"S3Payload": {"Id": "i", "Bucket": bucket, "Key": key, "Location": "https://l"}}),
            "",
        ),
    }


def size_attribute(value: str = "300000") -> dict[str, dict[str, str]]:
    """Return the attribute of a pointer."""
    return {SIZE_ATTRIBUTES[0]: number(value)}


def async_attributes() -> dict[str, dict[str, str]]:
    """Return what Lambda adds to an event in a function's dead-letter queue or topic."""
    return {
        "RequestID": {"DataType": "String", "StringValue": "cd50c989-9a89-5128-aee3-30c7c7496bd9"},
        "ErrorCode": number("200"),
        "ErrorMessage": {"DataType": "String", "StringValue": "m"},
    }


def iot_record(payload: bytes = b'{"id": 1}', **members: Any) -> dict[str, Any]:
    """Return what IoT Core sends to a rule's error action."""
    record: dict[str, Any] = {
        "ruleName": "StoreReadings",
        "topic": "plant/7/readings",
        "cloudwatchTraceId": "3f1b6a0e-1c9e-4a7e-9d1a-0d6a4a3f5c11",
        "clientId": "gateway-7",
        "base64OriginalPayload": b64encode(payload).decode(),
        "failures": [{"failedAction": "S3Action", "failedResource": "b", "errorMessage": "No such bucket"}],
    }
    return record | members


def invocation(condition: str = "RetriesExhausted") -> dict[str, Any]:
    """Return what every record of a failed invocation has."""
    return {
        "version": "1.0",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "requestContext": {
            "requestId": "r",
            "functionArn": FUNCTION,
            "condition": condition,
            "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    }


def lambda_record(payload: Any, **members: Any) -> dict[str, Any]:
    """Return what Lambda sends to the on-failure destination of an asynchronous invocation."""
    return (
        invocation() | {"requestPayload": payload, "responsePayload": {"errorType": "E", "errorMessage": "m"}} | members
    )


def batch_record(name: str = "KinesisBatchInfo", batch_size: Any = 1, **members: Any) -> dict[str, Any]:
    """Return what Lambda sends to the on-failure destination of an event source mapping."""
    return invocation("RetryAttemptsExhausted") | {name: {"batchSize": batch_size}} | members


def pipe_record(name: str = "DDBStreamBatchInfo", batch_size: Any = 1, **members: Any) -> dict[str, Any]:
    """Return what a pipe sends to its dead-letter queue."""
    context = {
        "partnerResourceArn": "arn:aws:pipes:us-east-1:123456789012:pipe/p",
        "condition": "RetryAttemptsExhausted",
    }
    return {
        "context": context,
        "version": "1.0",
        "timestamp": "2026-01-01T00:00:00Z",
        name: {"batchSize": batch_size},
    } | members


def subscriber_record(**members: Any) -> dict[str, Any]:
    """Return what a custom event bus sends to a subscriber's dead-letter queue."""
    arn = "arn:aws:events:us-east-1:123456789012"
    return {
        "version": "1.0",
        "busArn": f"{arn}:event-busv2/orders",
        "subscriberArn": f"{arn}:subscriber/large-orders",
        "targetArn": "arn:aws:sqs:us-east-1:123456789012:large-orders",
        "failedMessages": [{"eventId": "e"}],
    } | members
