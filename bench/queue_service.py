"""The part of SQS that tools need to move messages: in-memory queues with operations in the JSON protocol.

`bench.stand_in` serves it over HTTP. A test compares its answers with those of the embedded cloud. It checks what the
benchmarks could get wrong (batches, receipt handles, queues that don't exist), but no size or time limits.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.embedded_cloud import ACCOUNT_ID, REGION
from local.ministack_compat.message_store import MessageStore, ReceiptHandleError

_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_MOST_ENTRIES = 10
_DEFAULTS = {
    "VisibilityTimeout": "30",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
}

type Request = dict[str, Any]
type Answer = dict[str, Any]


class RefusalError(Exception):
    """SQS refuses a request with status 400.

    Parameters
    ----------
    code : str
        The error code in the JSON protocol.
    query_code : str | None
        The error code in the query protocol, if it differs. botocore reports this one.
    """

    def __init__(self, code: str, query_code: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.query_code = query_code or code


def _namespaced(code: str) -> RefusalError:
    return RefusalError(code, f"AWS.SimpleQueueService.{code}")


@dataclass(slots=True)
class _Queue:
    url: str
    arn: str
    attributes: dict[str, str]
    tags: dict[str, str] = field(default_factory=dict)
    store: MessageStore = field(default_factory=MessageStore)


class QueueService:
    """The queues of one account.

    Parameters
    ----------
    url : str
        Start of the queues' URLs, such as http://127.0.0.1:4566.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._queues: dict[str, _Queue] = {}
        self.operations: dict[str, Callable[[Request], Answer]] = {
            "CreateQueue": self._create_queue,
            "DeleteQueue": self._delete_queue,
            "ListQueues": self._list_queues,
            "GetQueueUrl": self._get_queue_url,
            "GetQueueAttributes": self._get_queue_attributes,
            "ListQueueTags": lambda request: {"Tags": self._queue(request).tags},
            "TagQueue": self._tag,
            "UntagQueue": self._untag,
            "ListDeadLetterSourceQueues": self._list_dead_letter_source_queues,
            "ReceiveMessage": self._receive,
            "SendMessage": lambda request: self._send(self._queue(request), request),
            "SendMessageBatch": lambda request: self._batch(request, self._send),
            "DeleteMessage": lambda request: self._delete(self._queue(request), request),
            "DeleteMessageBatch": lambda request: self._batch(request, self._delete),
            "ChangeMessageVisibility": lambda request: self._change_visibility(self._queue(request), request),
            "ChangeMessageVisibilityBatch": lambda request: self._batch(request, self._change_visibility),
        }

    def _create_queue(self, request: Request) -> Answer:
        name = request["QueueName"]
        queue = _Queue(
            url=f"{self._url}/{ACCOUNT_ID}/{name}",
            arn=f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}",
            attributes=_DEFAULTS | request.get("Attributes", {}),
        )
        return {"QueueUrl": self._queues.setdefault(name, queue).url}

    def _delete_queue(self, request: Request) -> Answer:
        queue = self._queue(request)
        del self._queues[queue.url.rsplit("/", 1)[1]]
        return {}

    def _list_queues(self, request: Request) -> Answer:
        prefix = request.get("QueueNamePrefix", "")
        urls = [queue.url for name, queue in self._queues.items() if name.startswith(prefix)]
        return {"QueueUrls": urls} if urls else {}

    def _get_queue_url(self, request: Request) -> Answer:
        return {"QueueUrl": self._named(request["QueueName"]).url}

    def _get_queue_attributes(self, request: Request) -> Answer:
        queue = self._queue(request)
        visible, in_flight, delayed = queue.store.counts()
        attributes = {
            "QueueArn": queue.arn,
            **queue.attributes,
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesNotVisible": str(in_flight),
            "ApproximateNumberOfMessagesDelayed": str(delayed),
        }
        names = request.get("AttributeNames", ["All"])
        return {"Attributes": {name: value for name, value in attributes.items() if "All" in names or name in names}}

    def _tag(self, request: Request) -> Answer:
        self._queue(request).tags |= request["Tags"]
        return {}

    def _untag(self, request: Request) -> Answer:
        for key in request["TagKeys"]:
            self._queue(request).tags.pop(key, None)
        return {}

    def _list_dead_letter_source_queues(self, request: Request) -> Answer:
        arn = self._queue(request).arn
        policies = {
            queue.url: json.loads(queue.attributes.get("RedrivePolicy", "{}")) for queue in self._queues.values()
        }
        return {
            "queueUrls": sorted(url for url, policy in policies.items() if policy.get("deadLetterTargetArn") == arn)
        }

    def _receive(self, request: Request) -> Answer:
        queue = self._queue(request)
        seconds = int(request.get("VisibilityTimeout", queue.attributes["VisibilityTimeout"]))
        policy = json.loads(queue.attributes.get("RedrivePolicy", "{}"))
        target = self._queues.get(policy.get("deadLetterTargetArn", "").rsplit(":", 1)[-1])
        limit = int(policy["maxReceiveCount"]) if target else None
        taken, dead = queue.store.take(int(request.get("MaxNumberOfMessages", 1)), seconds, limit)
        for message in dead:
            assert target is not None
            message |= {"receipt_handle": None, "visible_at": time.time(), "source": queue.arn}
            target.store.append(message)
        messages = [_received(message, request) for message in taken]
        return {"Messages": messages} if messages else {}

    def _send(self, queue: _Queue, entry: Request) -> Answer:
        body = entry["MessageBody"]
        if not body:
            raise RefusalError("MissingParameter")
        attributes = entry.get("MessageAttributes") or {}
        trace = entry.get("MessageSystemAttributes", {}).get("AWSTraceHeader", {}).get("StringValue")
        now = time.time()
        message = {
            "id": str(uuid.uuid4()),
            "body": body,
            "md5": hashlib.md5(body.encode()).hexdigest(),
            "attributes": attributes,
            "attributes_md5": _attributes_md5(attributes),
            "sent_at": now,
            "visible_at": now + int(entry.get("DelaySeconds", queue.attributes["DelaySeconds"])),
            "trace": trace,
            "group": entry.get("MessageGroupId"),
        }
        queue.store.append(message)
        answer = {"MessageId": message["id"], "MD5OfMessageBody": message["md5"]}
        if attributes:
            answer["MD5OfMessageAttributes"] = message["attributes_md5"]
        return answer

    def _delete(self, queue: _Queue, entry: Request) -> Answer:
        try:
            queue.store.delete(entry["ReceiptHandle"])
        except ReceiptHandleError:
            raise RefusalError("ReceiptHandleIsInvalid") from None
        return {}

    def _change_visibility(self, queue: _Queue, entry: Request) -> Answer:
        try:
            queue.store.change_visibility(entry["ReceiptHandle"], int(entry["VisibilityTimeout"]))
        except ReceiptHandleError:
            raise RefusalError("ReceiptHandleIsInvalid") from None
        except LookupError:
            raise RefusalError("InvalidParameterValue") from None
        return {}

    def _batch(self, request: Request, perform: Callable[[_Queue, Request], Answer]) -> Answer:
        queue, entries = self._queue(request), request.get("Entries", [])
        if not entries:
            raise _namespaced("EmptyBatchRequest")
        if len(entries) > _MOST_ENTRIES:
            raise _namespaced("TooManyEntriesInBatchRequest")
        ids: set[str] = set()
        for entry in entries:
            if not _ENTRY_ID.fullmatch(entry["Id"]):
                raise _namespaced("InvalidBatchEntryId")
            if entry["Id"] in ids:
                raise _namespaced("BatchEntryIdsNotDistinct")
            ids.add(entry["Id"])
        successful, failed = [], []
        for entry in entries:
            try:
                successful.append(perform(queue, entry) | {"Id": entry["Id"]})
            except RefusalError as error:
                failed.append({"Id": entry["Id"], "Code": error.code, "SenderFault": True})
        answer = {"Successful": successful, "Failed": failed}
        return {key: entries for key, entries in answer.items() if entries}

    def _queue(self, request: Request) -> _Queue:
        return self._named(request["QueueUrl"].rsplit("/", 1)[-1])

    def _named(self, name: str) -> _Queue:
        if name not in self._queues:
            raise RefusalError("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
        return self._queues[name]


def _received(message: dict[str, Any], request: Request) -> dict[str, Any]:
    entry = {
        "MessageId": message["id"],
        "ReceiptHandle": message["receipt_handle"],
        "MD5OfBody": message["md5"],
        "Body": message["body"],
    }
    system = {
        "SenderId": ACCOUNT_ID,
        "SentTimestamp": str(int(message["sent_at"] * 1000)),
        "ApproximateReceiveCount": str(message["receive_count"]),
        "ApproximateFirstReceiveTimestamp": str(int(message["first_receive_at"] * 1000)),
        "MessageGroupId": message["group"],
        "AWSTraceHeader": message["trace"],
        "DeadLetterQueueSourceArn": message.get("source"),
    }
    names = request.get("MessageSystemAttributeNames") or request.get("AttributeNames") or []
    if found := {key: value for key, value in system.items() if value and ("All" in names or key in names)}:
        entry["Attributes"] = found
    names = request.get("MessageAttributeNames") or []
    attributes = message["attributes"]
    found = attributes if "All" in names else {name: attributes[name] for name in names if name in attributes}
    if found:
        entry["MessageAttributes"] = found
        entry["MD5OfMessageAttributes"] = message["attributes_md5"] if found is attributes else _attributes_md5(found)
    return entry


def _attributes_md5(attributes: dict[str, Any]) -> str:
    """Return the digest of message attributes (SQS developer guide, "Calculating the MD5 message digest")."""
    parts = []
    for name, attribute in sorted(attributes.items()):
        data_type = attribute["DataType"]
        binary = data_type.startswith("Binary")
        value = base64.b64decode(attribute["BinaryValue"]) if binary else attribute["StringValue"].encode()
        parts += [_prefixed(name.encode()), _prefixed(data_type.encode()), b"\x02" if binary else b"\x01"]
        parts.append(_prefixed(value))
    return hashlib.md5(b"".join(parts)).hexdigest()


def _prefixed(value: bytes) -> bytes:
    return struct.pack("!I", len(value)) + value
