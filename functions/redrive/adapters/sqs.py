"""SQS queues: finds them, reads their attributes, and peeks at messages.

Used by the steps of a run. `redrive.adapters.pipeline` moves the messages.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.error_codes import DENIED, NO_QUEUE, error_code
from redrive.adapters.trace_context import without_own_trace
from redrive.adapters.visibility import POLL_SECONDS, receive, release
from redrive.aws_session import aws_client
from redrive.domain.errors import NotReleasedError, RejectedError
from redrive.domain.messages.queue_keys import KEY_ERRORS, KEY_USERS, key_remedy
from redrive.domain.messages.queue_names import Home, QueueId, other_account, parse_queue
from redrive.domain.messages.queues import IN_FLIGHT_LIMIT, QueueAddress, QueueRef
from redrive.domain.plan.directories import QueueFacts

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from redrive.workflow.ports import Peek

# Threads of a full scan.
PEEK_THREADS = 16
# Consecutive empty long polls after which the queue counts as empty.
_EMPTY_POLLS = 2
_DEPLOYMENT_REMEDY = (
    "This app has no permission to access the queue {name}. Deploy it with a QueueNamePattern that matches the queue's "
    "name, or choose another queue."
)


def sqs_client(connections: int = 10, *, retries: bool = True) -> SQSClient:
    """Return a client for `connections` threads.

    Parameters
    ----------
    connections : int
        Number of connections to keep open, one per thread.
    retries : bool
        Whether botocore retries. The lane does its own retries, because it must count possible duplicates.
    """
    attempts = 5 if retries else 1
    config = Config(
        max_pool_connections=connections,
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=3,
        read_timeout=POLL_SECONDS + 10,
        # The lane sends what it received, so SQS decides whether it is valid.
        parameter_validation=retries,
        tcp_keepalive=True,
    )
    return without_own_trace(aws_client("sqs", config=config))


class Queues:
    """The queues of one account and region.

    Parameters
    ----------
    client : SQSClient
        Makes the requests.
    pause : Callable[[float], None]
        Waits for so many seconds.
    remedy : str
        What to do if access to a queue is denied; `{name}` stands for the queue's name.
    key_users : str
        Who needs a queue's KMS key.
    """

    def __init__(
        self,
        client: SQSClient,
        pause: Callable[[float], None] = time.sleep,
        remedy: str = _DEPLOYMENT_REMEDY,
        key_users: str = KEY_USERS,
    ) -> None:
        self._client = client
        self._remedy = remedy
        self._key_users = key_users
        meta = client.meta
        self._home = Home(meta.partition, meta.region_name, meta.endpoint_url)
        self._pause = pause

    def find(self, given: str) -> QueueRef | None:
        """Return the queue with a name, ARN, or URL, or None if there is none.

        Raises
        ------
        RejectedError
            If the queue is in another partition, region, or account, this deployment may not access it, or what is
            given isn't a name, ARN, or URL of a queue.
        """
        asked = parse_queue(given, self._home)
        try:
            with self._denied_as_rejected(asked.name):
                # Of this account: a queue of another can't be redriven, as this app's roles name only their own.
                found = self._ref(self._client.get_queue_url(QueueName=asked.name)["QueueUrl"])
        except ClientError as error:
            if error.response["Error"]["Code"] in NO_QUEUE:
                return None
            raise
        self._check_found(asked, found)
        return found

    def facts(self, queue: QueueAddress) -> QueueFacts:
        """Return a queue's attributes."""
        attributes = self._client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
        policy = json.loads(attributes.get("RedrivePolicy") or "{}")
        return QueueFacts(
            waiting=int(attributes.get("ApproximateNumberOfMessages", "0")),
            in_flight=int(attributes.get("ApproximateNumberOfMessagesNotVisible", "0")),
            delayed=int(attributes.get("ApproximateNumberOfMessagesDelayed", "0")),
            retention=int(attributes.get("MessageRetentionPeriod", "345600")),
            has_redrive_policy=bool(policy),
            dead_letter_queue=policy.get("deadLetterTargetArn"),
            delay=int(attributes.get("DelaySeconds", "0")),
        )

    def readable_facts(self, queue: QueueAddress) -> QueueFacts | None:
        """Return a queue's attributes, or None if the queue can't be read."""
        try:
            return self.facts(queue)
        except ClientError:
            return None

    def named_facts(self, given: str) -> QueueFacts | None:
        """Return the attributes of the queue with a name, ARN, or URL, or None if it can't be found or read."""
        try:
            found = self.find(given)
        except (RejectedError, ClientError, BotoCoreError):
            return None
        return self.readable_facts(found) if found else None

    def sources(self, queue: QueueRef) -> tuple[QueueRef, ...]:
        """Return the queues whose redrive policy names `queue`."""
        pages = self._client.get_paginator("list_dead_letter_source_queues").paginate(QueueUrl=queue.url)
        sources = []
        for url in [url for page in pages for url in page.get("queueUrls", [])]:
            with self._denied_as_rejected(url.rsplit("/", 1)[1]):
                sources.append(self._ref(url))
        return tuple(sources)

    def tags(self, queue: QueueAddress) -> dict[str, str]:
        """Return a queue's tags.

        Raises
        ------
        RejectedError
            If they can't be read.
        """
        try:
            with self._denied_as_rejected(queue.name):
                return self._client.list_queue_tags(QueueUrl=queue.url).get("Tags", {})
        except (ClientError, BotoCoreError) as error:
            raise RejectedError(
                f"The tags of the queue {queue.name} can't be read ({error_code(error)}), so the rate that it accepts "
                "isn't known. Start the run again."
            ) from None

    def peek(self, peek: Peek, seconds: float) -> Generator[dict[str, Any]]:
        """Yield each message once. When the generator ends, for any reason, all are visible again.

        Parameters
        ----------
        peek : Peek
            What to peek at; `complete` is set at the end.
        seconds : float
            How long to keep receiving.

        Raises
        ------
        RejectedError
            If this deployment may not read the queue.
        NotReleasedError
            If messages stay invisible at the end; they become visible when their timeout expires.
        """
        limit = IN_FLIGHT_LIMIT if peek.most is None else peek.most
        visibility = peek.visibility(seconds)
        ends_at = time.monotonic() + seconds
        handles: dict[str, str] = {}
        empty_polls = 0
        # While a FIFO group has a message in flight, SQS returns no others of the group, so more threads don't help.
        threads = 1 if peek.most is not None or peek.queue.fifo else PEEK_THREADS
        try:
            with ThreadPoolExecutor(threads) as pool, self._denied_as_rejected(peek.queue.name):
                while len(handles) < limit and empty_polls < _EMPTY_POLLS and time.monotonic() < ends_at:
                    batch_size = min(10, limit - len(handles))
                    batches = pool.map(
                        lambda _, batch_size=batch_size: receive(self._client, peek.queue.url, batch_size, visibility),
                        range(threads),
                    )
                    # Keep all receipt handles before yielding, so they are released even if the caller fails.
                    fresh = []
                    for message in itertools.chain.from_iterable(batches):
                        if message["MessageId"] not in handles:
                            fresh.append(message)
                        handles[message["MessageId"]] = message["ReceiptHandle"]
                    empty_polls = 0 if fresh else empty_polls + 1
                    yield from fresh
            peek.complete = empty_polls >= _EMPTY_POLLS and self._is_empty(peek.queue)
        except BaseException:
            with suppress(NotReleasedError):
                self.release(peek.queue, handles.values())
            raise
        self.release(peek.queue, handles.values())

    def _is_empty(self, queue: QueueRef) -> bool:
        """Return whether an empty answer means that no message is visible."""
        counts = self.facts(queue).counts
        # SQS returns nothing of a FIFO group while one of its messages is in flight.
        return not counts.near_limit and not (queue.fifo and counts.visible)

    def release(self, queue: QueueAddress, receipt_handles: Iterable[str]) -> int:
        """Make messages visible again; return how many can't be, which become visible when their timeout expires.

        Raises
        ------
        NotReleasedError
            If requests still fail after some attempts, and trying again may help.
        """
        return release(self._client, queue.name, queue.url, receipt_handles, self._pause)

    def _check_found(self, asked: QueueId, found: QueueRef) -> None:
        """Refuse a queue that isn't the one that was asked for, whatever made SQS return it."""
        _, partition, _, region, account, name = found.arn.split(":")
        if asked.account is not None and account != asked.account:
            raise other_account(asked.name, account, asked.account)
        if (partition, region, name) != (self._home.partition, self._home.region, asked.name):
            raise RejectedError(
                f"Expected the queue {asked.name} in {self._home.region}, but SQS returned {found.arn}. Check which "
                "endpoint of SQS the app's functions use."
            )

    @contextmanager
    def _denied_as_rejected(self, name: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in KEY_ERRORS:
                remedy = key_remedy(name, self._key_users)
                raise RejectedError(f"{name} can't be read ({code}). {remedy} Then start again.") from None
            if code not in DENIED:
                raise
            raise RejectedError(self._remedy.format(name=name)) from None

    def _ref(self, url: str) -> QueueRef:
        names: list[Any] = ["QueueArn", "MaximumMessageSize"]
        attributes = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        arn, max_bytes = attributes["QueueArn"], int(attributes["MaximumMessageSize"])
        name = arn.rsplit(":", 1)[1]
        return QueueRef(name=name, arn=arn, url=url, fifo=name.endswith(".fifo"), max_bytes=max_bytes)
