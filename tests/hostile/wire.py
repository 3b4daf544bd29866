"""SQS, Lambda, Step Functions, and EventBridge at the edge of botocore: bytes come, and bytes go back.

The product's own clients serialize, validate, and parse. What the services accept is here from their references, and
nothing is shared with the code under test.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, unquote, urlsplit

from botocore.awsrequest import AWSResponse

#: The unique id of the role that sends everything.
MOVER = "AROAMOVER"
REGION, ACCOUNT = "us-east-1", "123456789012"
LIMIT = 1_048_576
_SNS = f"https://sns.{REGION}."

# SQS API reference, SendMessage: the characters that a body may have, and a String value too.
_TEXT = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
# SQS developer guide, "Amazon SQS message metadata": names and types of attributes, and what a Number is.
_ATTRIBUTE_NAME = re.compile(r"(?!(?i:aws|amazon)\.)(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_DATA_TYPE = re.compile(r"(String|Number|Binary)(\..+)?")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
# SQS API reference, SendMessage: MessageGroupId and MessageDeduplicationId.
_ID = re.compile(r"[!-~]{1,128}")
# Step Functions API reference, StartExecution: names.
_EXECUTION_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")
_EXECUTION_INPUT = 262_144


class RefusedError(Exception):
    """The service refuses a request or an entry of a batch; the argument is its error code."""


@dataclass
class Stored:
    """A message in a queue."""

    #: As ReceiveMessage returns it, without its receipt handle.
    message: Mapping[str, Any]
    visible_at: float = 0.0
    handle: str = ""


@dataclass
class Queue:
    """A queue and its messages, in the order of their arrival."""

    name: str
    max_bytes: int = LIMIT
    stored: list[Stored] = field(default_factory=list)

    @property
    def arn(self) -> str:
        return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}"

    @property
    def url(self) -> str:
        return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{self.name}"

    @property
    def fifo(self) -> bool:
        return self.name.endswith(".fifo")


@dataclass(frozen=True)
class Delivery:
    """What a service accepted."""

    #: ARN of the queue, function, or state machine.
    target: str
    #: An entry of SendMessageBatch, or the body for a function or state machine.
    request: Mapping[str, Any]
    #: The id that a queue gave it.
    message_id: str = ""


@dataclass(frozen=True)
class Failures:
    """A configuration: what a function, rule, or schedule was to reach, and the queue that gets what it couldn't."""

    origin: str
    target: str
    queue: str


class Wire:
    """The services that a run talks to, on a clock of their own.

    Parameters
    ----------
    queues : Queue
        The queues that there are.
    whole_batches : bool
        An entry that SQS doesn't accept fails its whole batch, as some errors do.
    failures : Sequence[Failures]
        Where failures go.
    """

    def __init__(self, *queues: Queue, whole_batches: bool = False, failures: Sequence[Failures] = ()) -> None:
        self.queues = {queue.name: queue for queue in queues}
        self.deliveries: list[Delivery] = []
        self.now = 0.0
        #: Errors of this model, which the code under test may take for one of a service.
        self.bugs: list[Exception] = []
        self._whole_batches = whole_batches
        self._failures = failures
        self._numbers = itertools.count(1)

    # SQS

    def ReceiveMessage(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        queue = self._queue(request)
        locked = {_group(one) for one in queue.stored if queue.fifo and one.visible_at > self.now}
        found: list[dict[str, Any]] = []
        for one in queue.stored:
            if len(found) == request["MaxNumberOfMessages"]:
                break
            if one.visible_at > self.now or (queue.fifo and _group(one) in locked):
                continue
            one.visible_at = self.now + request["VisibilityTimeout"]
            one.handle = f"handle-{next(self._numbers)}"
            found.append(_encoded(one.message) | {"ReceiptHandle": one.handle})
        return {"Messages": found} if found else {}

    def SendMessageBatch(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        queue, entries = self._queue(request), request["Entries"]
        if not 1 <= len(entries) <= 10 or len({entry["Id"] for entry in entries}) < len(entries):
            raise RefusedError("AWS.SimpleQueueService.TooManyEntriesInBatchRequest")
        if sum(map(_size, entries)) > LIMIT:
            raise RefusedError("AWS.SimpleQueueService.BatchRequestTooLong")
        refused = {entry["Id"]: code for entry in entries if (code := refusal(entry, queue)) is not None}
        if refused and self._whole_batches:
            raise RefusedError(next(iter(refused.values())))
        failed = [{"Id": name, "Code": code, "SenderFault": True, "Message": "x"} for name, code in refused.items()]
        accepted = [entry for entry in entries if entry["Id"] not in refused]
        successful = [{"Id": entry["Id"], "MessageId": self._arrive(queue, entry)} for entry in accepted]
        return {"Successful": successful, "Failed": failed}

    def DeleteMessageBatch(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        queue = self._queue(request)
        handles = {entry["ReceiptHandle"] for entry in request["Entries"]}
        queue.stored = [one for one in queue.stored if one.handle not in handles]
        return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]], "Failed": []}

    def ChangeMessageVisibilityBatch(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        latest = {one.handle: one for one in self._queue(request).stored}
        for entry in request["Entries"]:
            if (one := latest.get(entry["ReceiptHandle"])) is not None:
                one.visible_at = self.now + entry["VisibilityTimeout"]
        return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]], "Failed": []}

    def GetQueueUrl(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = self.queues.get(request["QueueName"])
        if found is None:
            raise RefusedError("AWS.SimpleQueueService.NonExistentQueue")
        return {"QueueUrl": found.url}

    def GetQueueAttributes(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        queue = self._queue(request)
        visible = sum(one.visible_at <= self.now for one in queue.stored)
        attributes = {
            "QueueArn": queue.arn,
            "MaximumMessageSize": queue.max_bytes,
            "ApproximateNumberOfMessages": visible,
            "ApproximateNumberOfMessagesNotVisible": len(queue.stored) - visible,
        }
        return {"Attributes": {name: str(value) for name, value in attributes.items()}}

    def ListQueueTags(self, _request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {}

    def _queue(self, request: Mapping[str, Any]) -> Queue:
        return self.queues[request["QueueUrl"].rsplit("/", 1)[1]]

    def _arrive(self, queue: Queue, entry: dict[str, Any]) -> str:
        attributes = {
            name: value | ({"BinaryValue": base64.b64decode(value["BinaryValue"])} if "BinaryValue" in value else {})
            for name, value in entry.get("MessageAttributes", {}).items()
        }
        number = next(self._numbers)
        system = {"SentTimestamp": str(1_760_000_000_000 + number), "ApproximateReceiveCount": "1"}
        system["SenderId"] = f"{MOVER}:session"
        trace = entry.get("MessageSystemAttributes", {}).get("AWSTraceHeader", {}).get("StringValue")
        if trace is not None:
            system["AWSTraceHeader"] = trace
        if "MessageGroupId" in entry:
            system["MessageGroupId"] = entry["MessageGroupId"]
        message_id = f"00000000-0000-4000-9000-{number:012}"
        message = {
            "MessageId": message_id,
            "Body": entry["MessageBody"],
            "Attributes": system,
            "MessageAttributes": attributes,
        }
        queue.stored.append(Stored(message))
        self.deliveries.append(Delivery(queue.arn, entry | {"MessageAttributes": attributes}, message_id))
        return message_id

    # Lambda and Step Functions

    def invoke(self, arn: str, payload: bytes) -> None:
        try:
            json.loads(payload)
        except (ValueError, RecursionError):
            # Lambda API reference, Invoke.
            raise RefusedError("InvalidRequestContentException") from None
        self.deliveries.append(Delivery(arn, {"MessageBody": payload.decode()}))

    def StartExecution(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if not _EXECUTION_NAME.fullmatch(request["name"]):
            raise RefusedError("InvalidName")
        try:
            json.loads(request["input"])
        except (ValueError, RecursionError):
            raise RefusedError("InvalidExecutionInput") from None
        if len(request["input"].encode()) > _EXECUTION_INPUT:
            raise RefusedError("InvalidExecutionInput")
        self.deliveries.append(Delivery(request["stateMachineArn"], {"MessageBody": request["input"]}))
        return {"executionArn": "arn:aws:states:us-east-1:123456789012:execution:x:x", "startDate": 0}

    # Configuration

    def ListTargetsByRule(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        origin = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{request['Rule']}"
        found = self._failures_of(origin) if request["EventBusName"] == "default" else []
        if not found:
            raise RefusedError("ResourceNotFoundException")
        return {"Targets": [{"Arn": one.target, "DeadLetterConfig": {"Arn": one.queue}} for one in found]}

    def _get(self, path: str, query: str) -> dict[str, Any]:
        """Answer a request to Lambda or Scheduler."""
        schedule = re.fullmatch("/schedules/(.+)", path)
        if schedule is not None:
            group = query.removeprefix("groupName=")
            (found, *_) = self._failures_of(f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{group}/{schedule[1]}")
            return {"Target": {"Arn": found.target, "DeadLetterConfig": {"Arn": found.queue}}}
        _, _, _, name, what = path.split("/")
        (found, *_) = self._failures_of(f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}{query and '?'}")
        if what == "configuration":
            return {"FunctionName": name}
        return {"DestinationConfig": {"OnFailure": {"Destination": found.queue}}}

    def _subscription(self, request: dict[str, str]) -> bytes:
        """Answer SNS's GetSubscriptionAttributes; SNS writes XML."""
        (found, *_) = self._failures_of(request["SubscriptionArn"])
        attributes = {
            "TopicArn": found.origin.rpartition(":")[0],
            "Protocol": "sqs",
            "Endpoint": found.target,
            "RedrivePolicy": f'{{"deadLetterTargetArn": "{found.queue}"}}',
        }
        entries = "".join(f"<entry><key>{k}</key><value>{v}</value></entry>" for k, v in attributes.items())
        result = (
            f"<GetSubscriptionAttributesResult><Attributes>{entries}</Attributes></GetSubscriptionAttributesResult>"
        )
        return f"<GetSubscriptionAttributesResponse>{result}</GetSubscriptionAttributesResponse>".encode()

    def _failures_of(self, origin: str) -> list[Failures]:
        found = [one for one in self._failures if one.origin == origin]
        if not found:
            raise RefusedError("ResourceNotFoundException")
        return found

    # HTTP

    def answer(self, request: Any) -> AWSResponse:
        """Return the answer to a request as it leaves botocore."""
        try:
            if request.url.startswith(_SNS):
                text = request.body if isinstance(request.body, str) else request.body.decode()
                return _response(request, 200, self._subscription(dict(parse_qsl(text))))
            return _response(request, 200, json.dumps(self._answer(request)).encode())
        except RefusedError as error:
            status = 404 if str(error) == "ResourceNotFoundException" else 400
            if request.url.startswith(_SNS):
                code = "NotFound" if status == 404 else str(error)
                body = f"<ErrorResponse><Error><Code>{code}</Code><Message>refused</Message></Error></ErrorResponse>"
                return _response(request, status, body.encode())
            return _response(request, status, json.dumps({"__type": str(error), "message": "refused"}).encode())
        except Exception as error:
            self.bugs.append(error)
            raise

    def _answer(self, request: Any) -> dict[str, Any]:
        target = request.headers.get("X-Amz-Target")
        if target is None:
            url = urlsplit(request.url)
            if request.method == "GET":
                return self._get(unquote(url.path), unquote(url.query))
            self.invoke(unquote(url.path.split("/functions/")[1].split("/")[0]), request.body)
            return {}
        operation = target.decode() if isinstance(target, bytes) else target
        perform: Callable[[dict[str, Any]], dict[str, Any]] = getattr(self, operation.rsplit(".", 1)[1])
        return perform(json.loads(request.body))


@contextmanager
def plugged_in(wire: Wire) -> Iterator[None]:
    """Let every client of boto3 talk to these services."""
    with patch("botocore.endpoint.Endpoint._send", lambda _endpoint, request: wire.answer(request)):
        yield


def _response(request: Any, status: int, content: bytes) -> AWSResponse:
    headers: Any = {"x-amzn-RequestId": "12345678-1234-4234-8234-123456789012"}
    body: Any = SimpleNamespace(stream=lambda: [content])
    return AWSResponse(request.url, status, headers, body)


def _encoded(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as JSON has it: bytes are in base64."""
    attributes = message.get("MessageAttributes")
    if not isinstance(attributes, Mapping):
        return dict(message)
    return dict(message) | {
        "MessageAttributes": {
            name: {
                key: base64.b64encode(part).decode() if isinstance(part, bytes) else part for key, part in value.items()
            }
            for name, value in attributes.items()
        }
    }


def _group(stored: Stored) -> str | None:
    group: str | None = stored.message.get("Attributes", {}).get("MessageGroupId")
    return group


def _size(entry: Mapping[str, Any]) -> int:
    """Return the bytes of an entry (SQS developer guide, "Message quotas"): values in base64 count as bytes."""
    size = len(entry["MessageBody"].encode(errors="surrogatepass"))
    for name, value in entry.get("MessageAttributes", {}).items():
        size += len(name.encode()) + len(value["DataType"].encode())
        binary = value.get("BinaryValue")
        size += len(base64.b64decode(binary)) if binary is not None else len(value.get("StringValue", "").encode())
    return size


def acceptable(message: Mapping[str, Any]) -> bool:
    """Return whether SQS could hold and return a message."""
    sent_at = message["Attributes"].get("SentTimestamp", "")
    return fits(message, Queue("any")) and sent_at.isdecimal() and len(sent_at) < 14


def fits(message: Mapping[str, Any], queue: Queue) -> bool:
    """Return whether a queue takes a message that was received."""
    entry = _encoded({"MessageBody": message["Body"], "MessageAttributes": message["MessageAttributes"]})
    group, once = message["Attributes"].get("MessageGroupId"), message["MessageId"]
    grouped = {} if group is None else {"MessageGroupId": group, "MessageDeduplicationId": once}
    return refusal(entry | grouped, queue) is None


def refusal(entry: Mapping[str, Any], queue: Queue) -> str | None:
    """Return the error code with which SQS refuses a message; None if it takes it."""
    try:
        _check(entry, queue)
    except RefusedError as error:
        return str(error)
    return None


def _check(entry: Mapping[str, Any], queue: Queue) -> None:
    """Refuse what SQS refuses (SQS API reference, SendMessage and SendMessageBatch)."""
    if not entry["MessageBody"] or not _TEXT.fullmatch(entry["MessageBody"]):
        raise RefusedError("InvalidMessageContents")
    attributes = entry.get("MessageAttributes", {})
    if len(attributes) > 10 or _size(entry) > queue.max_bytes:
        raise RefusedError("InvalidParameterValue")
    for name, value in attributes.items():
        kind = _DATA_TYPE.fullmatch(value.get("DataType", ""))
        if not _ATTRIBUTE_NAME.fullmatch(name) or kind is None or len(value["DataType"]) > 256:
            raise RefusedError("InvalidParameterValue")
        content = value.get("BinaryValue") if kind[1] == "Binary" else value.get("StringValue")
        if not content or len(value) != 2:
            raise RefusedError("InvalidParameterValue")
        if kind[1] == "Number" and not _NUMBER.fullmatch(content):
            raise RefusedError("InvalidParameterValue")
        if kind[1] == "String" and not _TEXT.fullmatch(content):
            raise RefusedError("InvalidMessageContents")
    group, once = entry.get("MessageGroupId"), entry.get("MessageDeduplicationId")
    if queue.fifo and (group is None or once is None):
        raise RefusedError("MissingParameter")
    if any(given is not None and not _ID.fullmatch(given) for given in (group, once)):
        raise RefusedError("InvalidParameterValue")
