"""SQS as the workflow needs it: finding queues, reading their attributes, looking at letters, releasing them.

Used by the plan, sample, tally and settle handlers; the moving itself is in `redrive.adapters.pipeline`.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from redrive.domain.errors import RejectedError
from redrive.domain.lane import POLL_SECONDS, Failure, Trouble
from redrive.domain.planning import QueueFacts
from redrive.domain.runs import QueueRef

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# SQS answers with the first of these to clients that speak its query-compatible JSON protocol.
_NO_QUEUE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError"}
# Error codes: SQS API reference, "Common errors" and the actions' own lists.
_THROTTLED = {
    "RequestThrottled",
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "KMS.ThrottlingException",
    "KmsThrottled",
}
_GONE = (
    _NO_QUEUE
    | _DENIED
    | {
        "AWS.SimpleQueueService.QueueDeletedRecently",
        "QueueDeletedRecently",
        # As the query protocol names them, which botocore reports, and as the JSON protocol does.
        *("KMS.AccessDeniedException", "KMS.DisabledException", "KMS.InvalidStateException"),
        *("KMS.NotFoundException", "KMS.OptInRequired"),
        *("KmsAccessDenied", "KmsDisabled", "KmsInvalidState", "KmsNotFound", "KmsOptInRequired"),
        "ExpiredToken",
        "InvalidClientTokenId",
        "InvalidSecurity",
    }
)
_LIMIT = {"OverLimit", "AWS.SimpleQueueService.OverLimit"}
# The request did not reach SQS at all.
_NOT_SENT = {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"}
_RELEASERS = 8
# Threads that look at all letters of a queue.
LOOKERS = 16
# Long polls in a row that bring nothing.
_EMPTIES = 2
# Messages of a queue (SQS developer guide, "Message quotas").
MAX_IN_FLIGHT = 120_000
# Endpoints and legacy endpoints (AWS General Reference, "Amazon SQS endpoints and quotas").
_REGION_IN_HOST = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com|([a-z0-9-]+)\.queue\.amazonaws\.com")


def sqs_client(connections: int = 10, *, retries: bool = True) -> SQSClient:
    """Return a client for `connections` threads.

    Parameters
    ----------
    connections : int
        Connections kept open, one a thread.
    retries : bool
        Whether botocore tries again by itself. The lane does that itself, since only it can tell whether a
        request that failed may have been carried out.
    """
    attempts = 5 if retries else 1
    config = Config(
        max_pool_connections=connections,
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=3,
        read_timeout=POLL_SECONDS + 10,
        # What is sent is what was received: SQS itself is the judge of it.
        parameter_validation=retries,
        tcp_keepalive=True,
    )
    return boto3.client("sqs", config=config)


def failure_of(error: ClientError | BotoCoreError) -> Failure:
    """Return what an error of a whole request means to the lane."""
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "Unknown")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return Failure(code, _trouble(code, sender_fault=status < 500))
    code = type(error).__name__
    if code in _NOT_SENT:
        return Failure(code, Trouble.THROTTLED)
    return Failure(code, Trouble.REFUSED if code == "ParamValidationError" else Trouble.UNCERTAIN)


def entry_failure_of(code: str, *, sender_fault: bool) -> Failure:
    """Return what a `Failed` entry of a batch means. SQS says of it that it was not carried out."""
    trouble = _trouble(code, sender_fault=sender_fault)
    return Failure(code, Trouble.THROTTLED if trouble is Trouble.UNCERTAIN else trouble)


def _trouble(code: str, *, sender_fault: bool) -> Trouble:
    if code in _THROTTLED:
        return Trouble.THROTTLED
    if code in _LIMIT:
        return Trouble.LIMIT
    if code in _GONE:
        return Trouble.GONE
    return Trouble.REFUSED if sender_fault else Trouble.UNCERTAIN


@dataclass(slots=True)
class Look:
    """A look at letters of a queue.

    Attributes
    ----------
    queue : QueueRef
        The queue.
    most : int | None
        Letters to look at; None: all, as many as SQS lets be in flight.
    complete : bool
        Set at the end: the queue was seen empty, so that these were all that were visible.
    """

    queue: QueueRef
    most: int | None
    complete: bool = False


class Queues:
    """The queues of one account and region."""

    def __init__(self, client: SQSClient) -> None:
        self._client = client

    def find(self, given: str) -> QueueRef | None:
        """Return the queue of that name, ARN or URL, or None where there is none.

        Raises
        ------
        RejectedError
            Where the queue is in another region, or this deployment may not touch it.
        """
        name, owner = self._parsed(given)
        asked: dict[str, str] = {"QueueName": name}
        if owner is not None:
            asked["QueueOwnerAWSAccountId"] = owner
        try:
            with _denied_as_rejected(name):
                return self._ref(self._client.get_queue_url(**asked)["QueueUrl"])
        except ClientError as error:
            if error.response["Error"]["Code"] in _NO_QUEUE:
                return None
            raise

    def facts(self, queue: QueueRef) -> QueueFacts:
        """Return the attributes of a queue that a plan depends on."""
        found = self._client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
        return QueueFacts(
            waiting=int(found.get("ApproximateNumberOfMessages", "0")),
            in_flight=int(found.get("ApproximateNumberOfMessagesNotVisible", "0")),
            delayed=int(found.get("ApproximateNumberOfMessagesDelayed", "0")),
            retention=int(found.get("MessageRetentionPeriod", "345600")),
            has_redrive_policy=bool(json.loads(found.get("RedrivePolicy") or "{}")),
        )

    def sources(self, queue: QueueRef) -> tuple[QueueRef, ...]:
        """Return the queues whose redrive policy names `queue`."""
        pages = self._client.get_paginator("list_dead_letter_source_queues").paginate(QueueUrl=queue.url)
        sources = []
        for url in [url for page in pages for url in page.get("queueUrls", [])]:
            with _denied_as_rejected(url.rsplit("/", 1)[1]):
                sources.append(self._ref(url))
        return tuple(sources)

    def tags(self, queue: QueueRef) -> dict[str, str]:
        """Return a queue's tags."""
        with _denied_as_rejected(queue.name):
            return self._client.list_queue_tags(QueueUrl=queue.url).get("Tags", {})

    def look(self, look: Look, seconds: float) -> Generator[dict[str, Any]]:
        """Yield messages, each once; all are visible again when the look ends, whatever ends it.

        Parameters
        ----------
        look : Look
            What to look at; tells afterwards whether that was all.
        seconds : float
            How long to go on receiving.

        Raises
        ------
        RejectedError
            Where this deployment may not read the queue.
        """
        most = MAX_IN_FLIGHT if look.most is None else look.most
        visibility = int(max(60.0, seconds) + 60)
        ends_at = time.monotonic() + seconds
        handles: dict[str, str] = {}
        empties = 0
        # A FIFO queue hands out nothing of a group while a letter of it is in hand, whoever asks.
        lookers = 1 if look.most is not None or look.queue.fifo else LOOKERS
        try:
            with ThreadPoolExecutor(lookers) as pool, _denied_as_rejected(look.queue.name):
                while len(handles) < most and empties < _EMPTIES and time.monotonic() < ends_at:
                    wanted = min(10, most - len(handles))
                    answers = pool.map(
                        lambda _, wanted=wanted: self._receive(look.queue, wanted, visibility), range(lookers)
                    )
                    # Receipt handles first: whatever becomes of the reader, they are released.
                    fresh = []
                    for message in itertools.chain.from_iterable(answers):
                        if message["MessageId"] not in handles:
                            fresh.append(message)
                        handles[message["MessageId"]] = message["ReceiptHandle"]
                    empties = 0 if fresh else empties + 1
                    yield from fresh
            look.complete = empties >= _EMPTIES
        finally:
            self.release(look.queue, handles.values())

    def _receive(self, queue: QueueRef, most: int, visibility: int) -> list[dict[str, Any]]:
        try:
            answer = self._client.receive_message(
                QueueUrl=queue.url,
                MaxNumberOfMessages=most,
                WaitTimeSeconds=POLL_SECONDS,
                VisibilityTimeout=visibility,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in _LIMIT:
                return []
            raise
        return [dict(message) for message in answer.get("Messages", [])]

    def release(self, queue: QueueRef, receipt_handles: Iterable[str]) -> int:
        """Make letters visible again; return how many SQS did not release, which come back by themselves."""
        with ThreadPoolExecutor(_RELEASERS) as pool:
            return sum(
                pool.map(
                    lambda batch: self._release(queue, batch), batched(receipt_handles, 10, strict=False)
                )
            )

    def _release(self, queue: QueueRef, receipt_handles: Sequence[str]) -> int:
        try:
            answer = self._client.change_message_visibility_batch(
                QueueUrl=queue.url,
                Entries=[
                    {"Id": entry["Id"], "ReceiptHandle": entry["ReceiptHandle"], "VisibilityTimeout": 0}
                    for entry in receipts_by_place(receipt_handles)
                ],
            )
        except ClientError:
            # The caller is told how many; they come back by themselves, or are gone with the queue.
            return len(receipt_handles)
        return len(answer.get("Failed", []))

    def _parsed(self, given: str) -> tuple[str, str | None]:
        if given.startswith("arn:"):
            parts = given.split(":")
            if len(parts) != 6 or parts[2] != "sqs":
                raise RejectedError(
                    f"{given} is not the ARN of a queue. Expected arn:aws:sqs:REGION:ACCOUNT:NAME; name "
                    "the queue by its name, ARN or URL."
                )
            self._check_region(given, parts[3])
            return parts[5], parts[4]
        if "://" in given:
            url = urlsplit(given)
            path = url.path.strip("/").split("/")
            if len(path) != 2:
                raise RejectedError(
                    f"{given} is not the URL of a queue. Expected "
                    "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME; name the queue by its name, ARN or URL."
                )
            region = _REGION_IN_HOST.match(url.hostname or "")
            if region is not None:
                self._check_region(given, region[1] or region[2])
            return path[1], path[0]
        return given, None

    def _check_region(self, given: str, region: str) -> None:
        here = self._client.meta.region_name
        if region != here:
            raise RejectedError(
                f"{given} is in {region}, but this deployment is in {here}. SQS dead-letter queues and "
                "their sources share a region: deploy the app there."
            )

    def _ref(self, url: str) -> QueueRef:
        answer = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn = answer["Attributes"]["QueueArn"]
        name = arn.rsplit(":", 1)[1]
        return QueueRef(name=name, arn=arn, url=url, fifo=name.endswith(".fifo"))


@contextmanager
def _denied_as_rejected(name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in _DENIED:
            raise
        raise RejectedError(
            f"This deployment may not touch the queue {name}. Deploy it with a QueueNamePattern that matches "
            "the queue's name, or name another queue."
        ) from None


def receipts_by_place(handles: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield batch entries whose Id is the place in the batch."""
    for place, handle in enumerate(handles):
        yield {"Id": str(place), "ReceiptHandle": handle}
