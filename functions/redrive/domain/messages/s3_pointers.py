"""Recognizes messages whose payload is in S3: the message only points to it.

Called when a message is opened or repaired. Client libraries write and read such messages (SQS developer guide,
"Managing large Amazon SQS messages using Amazon S3"; SNS developer guide, "Publishing large messages with Amazon SNS
and Amazon S3"). A consumer's client takes a message for a pointer if it has the client's attribute, whatever type and
value the attribute has. So does this module, and then the body must be a pointer and nothing else: anyone can send the
attribute, and a consumer without such a client would take the rest for its payload.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

from redrive.contracts.work import TooMuchWorkError
from redrive.domain.messages.json_text import NotJsonError, parse
from redrive.domain.messages.message import AttributeMap

# The payload's size. Which of the two goes with which form of the body depends on the client's version and settings.
_SIZES = frozenset({"ExtendedPayloadSize", "SQSLargePayloadSize"})
# dvla/sqs-extended-client (npm): "(BUCKET)KEY". The body is the key, a UUID, or the same text.
_BODY_KEY = "S3MessageBodyKey"
_BUCKET_AND_KEY = re.compile(r"\([^()]+\)(.+)", re.DOTALL)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# vinujohn/hefty (Go).
_HEFTY = "hefty-client-version"
# NServiceBus on SQS ("Native integration"): the key, if one of the others is there too. Nothing says what the body is.
_NATIVE_KEY = "S3BodyKey"
_NSERVICEBUS = frozenset({"MessageTypeFullName", "NServiceBus.AmazonSQS.Headers"})
_CLAIMS = _SIZES | {_BODY_KEY, _HEFTY, _NATIVE_KEY}

# awslabs/amazon-sqs-java-extended-client-lib, its ports to Python, Go, and npm, and the clients for SNS: a list of a
# class and its fields. The class is software.amazon.payloadoffloading.PayloadS3Pointer, in version 1
# com.amazon.sqs.javamessaging.MessageS3Pointer, or that of a relocated library.
_CLASS = re.compile(r"[A-Za-z_][\w$]{0,99}(\.[A-Za-z_][\w$]{0,99}){1,20}", re.ASCII)
_OF_LIST = frozenset({"s3BucketName", "s3Key"})
_OBJECTS = (
    # The fields alone: raol/amazon-sqs-net-extended-client-lib (.NET), and earlier sns-sqs-big-payload (npm).
    frozenset({"S3BucketName", "S3Key"}),
    _OF_LIST,
)
_HEFTY_PLACE = frozenset({"s3_region", "s3_bucket", "s3_key"})
_HEFTY_DIGESTS = (
    frozenset({"md5_digest_msg_body", "md5_digest_msg_attr"}),
    frozenset({"sqs_md5_hash_body", "sqs_md5_hash_msg_attr"}),
)
# aspecto-io/sns-sqs-big-payload (npm): the only form that has no attribute.
_BIG_PAYLOAD = "S3Payload"
_OF_BIG_PAYLOAD = frozenset({"Id", "Bucket", "Key", "Location"})
# A bucket's name has at most 63 characters, and a key 1,024 bytes, which JSON may write as \uXXXX (S3 user guide,
# "Bucket naming rules" and "Naming Amazon S3 objects").
_MAX_BODY = 16_384


class Pointer(Enum):
    """What a message is to the client of its consumer."""

    #: No pointer: the body is the payload.
    NONE = "none"
    #: A pointer of a known form.
    KNOWN = "known"
    #: It has the attribute of a pointer, but the body isn't a known one: nothing says what the payload is.
    UNKNOWN = "unknown"


def pointer_of(body: str, attributes: AttributeMap) -> Pointer:
    """Return whether a message only points to its payload."""
    names = pointer_attributes(attributes).keys()
    if not names:
        return Pointer.KNOWN if _BIG_PAYLOAD in body and _is_big_payload(_content(body)) else Pointer.NONE
    known = (
        (not names.isdisjoint(_SIZES) and _points(_content(body)))
        or (_BODY_KEY in names and _is_key(body, attributes[_BODY_KEY].get("StringValue")))
        or (_HEFTY in names and _is_hefty(_content(body)))
    )
    return Pointer.KNOWN if known else Pointer.UNKNOWN


def pointer_attributes(attributes: AttributeMap) -> AttributeMap:
    """Return those of the attributes that make a message a pointer."""
    found = {name: attributes[name] for name in _CLAIMS if name in attributes}
    if _NATIVE_KEY in found and _NSERVICEBUS.isdisjoint(attributes):
        del found[_NATIVE_KEY]
    return found


def _content(body: str) -> Any:
    """Return the JSON in a body that is short enough for a pointer, or None."""
    if len(body) > _MAX_BODY:
        return None
    try:
        return parse(body)
    except (NotJsonError, TooMuchWorkError):
        return None


def _points(content: Any) -> bool:
    """Return whether parsed JSON is a list of a class and its fields, or an object of the fields alone."""
    if isinstance(content, list):
        if len(content) != 2 or not isinstance(content[0], str):
            return False
        return _CLASS.fullmatch(content[0]) is not None and _is_of_texts(content[1], _OF_LIST)
    return any(_is_of_texts(content, form) for form in _OBJECTS)


def _is_key(body: str, value: str | None) -> bool:
    found = _BUCKET_AND_KEY.fullmatch(value or "")
    return found is not None and (body == value or (body == found[1] and _UUID.fullmatch(body) is not None))


def _is_hefty(content: Any) -> bool:
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        return False
    # A message without attributes has an empty digest of them, and version 0.1 wrote no identifier.
    others = content.keys() - _HEFTY_PLACE - {"identifier"}
    return others in _HEFTY_DIGESTS and all(map(content.get, _HEFTY_PLACE))


def _is_big_payload(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and content.keys() == {_BIG_PAYLOAD}
        and _is_of_texts(content[_BIG_PAYLOAD], _OF_BIG_PAYLOAD)
    )


def _is_of_texts(content: Any, names: frozenset[str]) -> bool:
    """Return whether parsed JSON is an object of just these members, none of them empty."""
    if not isinstance(content, dict) or content.keys() != names:
        return False
    return all(isinstance(value, str) and value for value in content.values())
