"""Recognizes messages whose payload is in S3: the body only points to it.

Called when a message is opened or repaired. Extended client libraries write and read such messages (SQS developer
guide, "Managing large Amazon SQS messages using Amazon S3"; SNS developer guide, "Publishing large messages with
Amazon SNS and Amazon S3"). Both generations have the same form, in awslabs/amazon-sqs-java-extended-client-lib and
awslabs/amazon-sqs-python-extended-client-lib: an attribute with the payload's size, and a body that is a list of a
class and its fields. Which class goes with which attribute depends on the version and its settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redrive.contracts.work import TooMuchWorkError
from redrive.domain.messages.json_text import NotJsonError, parse
from redrive.domain.messages.message import AttributeMap

# The payload's size in bytes, a Number.
SIZE_ATTRIBUTES = ("ExtendedPayloadSize", "SQSLargePayloadSize")
_CLASSES = ("software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer")
# A bucket's name has at most 63 characters, and a key 1,024 bytes, which JSON may write as \uXXXX (S3 user guide,
# "Bucket naming rules" and "Naming Amazon S3 objects").
_MAX_BODY = 16_384


def is_pointer(body: str, attributes: AttributeMap) -> bool:
    """Return whether a message only points to its payload: both its attribute and its body must say so."""
    sized = size_attributes(attributes).values()
    return any(map(_is_size, sized)) and len(body) <= _MAX_BODY and _points(body)


def size_attributes(attributes: AttributeMap) -> AttributeMap:
    """Return those of the attributes that make a message a pointer."""
    return {name: attributes[name] for name in SIZE_ATTRIBUTES if name in attributes}


def _is_size(value: Mapping[str, Any]) -> bool:
    text = value.get("StringValue")
    return value.get("DataType") == "Number" and isinstance(text, str) and text.isascii() and text.isdigit()


def _points(body: str) -> bool:
    if not body.lstrip().startswith("["):
        return False
    try:
        content = parse(body)
    except (NotJsonError, TooMuchWorkError):
        return False
    if len(content) != 2 or content[0] not in _CLASSES or not isinstance(content[1], dict):
        return False
    return all(isinstance(content[1].get(name), str) and content[1][name] for name in ("s3BucketName", "s3Key"))
