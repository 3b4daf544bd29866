"""One account and Region as an operator's credentials see it: its dead-letter queues, what feeds and consumes them.

Used by the `redrive` command only; the Lambda functions know their queues by name.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import batched
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from redrive.adapters.clock import aws_time
from redrive.adapters.error_codes import DENIED, NO_QUEUE
from redrive.adapters.visibility import receive, release
from redrive.aws_session import session_of, use
from redrive.domain.errors import NotReleasedError
from redrive.domain.messages.arns import arn_name

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef
    from mypy_boto3_lambda.type_defs import EventSourceMappingConfigurationTypeDef
    from mypy_boto3_sqs import SQSClient

    from redrive.adapters.sqs import Queues

THREADS = 16
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 5},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=THREADS,
)
# For completion, while the operator types.
_AT_ONCE = Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=2)
# An answer says when it was made to a second.
_PRECISION = timedelta(seconds=3)
# Of one request (CloudWatch API reference, GetMetricData).
_METRICS_AT_ONCE = 500
# Messages that are looked at for their age, and seconds until they are visible again if the command is killed.
_PEEKED_AT = 10
_VISIBILITY_SECONDS = 30
_REMEDY = (
    "These credentials don't allow access to the queue {name}. Ask for sqs:ReceiveMessage, "
    "sqs:ChangeMessageVisibility, sqs:GetQueueUrl, sqs:GetQueueAttributes, sqs:ListDeadLetterSourceQueues, and "
    "sqs:ListQueueTags on it, or choose another queue."
)


# How an HTML page begins; no AWS protocol has such an answer.
_PAGES = (b"<!doctype html", b"<html")


class NotAwsError(HTTPClientError):
    """The answer isn't from AWS, but from a proxy, a network's sign-in page, or another server."""

    fmt = "A web page came instead of an answer"


@dataclass
class ListedQueue:
    """A queue of the account. Counts are approximate; retention is in seconds."""

    name: str
    arn: str
    url: str
    messages: int
    in_flight: int
    retention: int
    #: ARN of its own dead-letter queue.
    dead_letter_queue: str | None
    #: Id, ARN, or alias of the KMS key that encrypts it; None if SQS manages the key.
    kms_key: str | None = None
    #: Which queues can name it as their dead-letter queue, as SQS returns it; None if any can.
    allow_policy: str | None = None
    #: Names of the queues whose dead-letter queue it is.
    sources: list[str] = field(default_factory=list)
    #: Names of the functions that consume these queues; None if event source mappings can't be listed.
    consumers: list[str] | None = None
    #: How many visible messages there were an hour ago; None if CloudWatch doesn't say.
    hour_ago: int | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose credentials an account is used with."""

    arn: str
    #: Unique id of the user or role, by which SQS names who has sent a message.
    user_id: str
    account_id: str
    #: How far AWS's clock is ahead of this machine's; none if that can't be told from the time that a request takes.
    clock_error: timedelta


class Account:
    """The account and Region that a profile leads to.

    Parameters
    ----------
    profile, region : str | None
        As in the AWS CLI; None for what the environment says.
    """

    def __init__(self, profile: str | None = None, region: str | None = None) -> None:
        # The other SDKs' name for it, which botocore doesn't read (AWS SDKs and Tools reference guide, "AWS Region").
        region = region or os.environ.get("AWS_REGION") or None
        #: Queues whose attributes or messages couldn't be read.
        self.unreadable: list[str] = []
        #: Queues with messages that couldn't be made visible again after a look.
        self.unreleased: list[str] = []
        #: While queues are listed: how many there are, and how many have been read.
        self.queue_count = self.listed_so_far = 0
        self._session = session_of(profile, region)
        self._session.register("before-parse", _check_answer, unique_id="redrive-check-answer")

    def use(self) -> None:
        """Let every client that is made from now on use this account."""
        use(self._session)

    @property
    def region(self) -> str:
        """The Region, such as eu-west-1."""
        return self.sqs.meta.region_name

    def client(self, service: Any, config: Config = _CONFIG) -> Any:
        """Return a client of another service, for `THREADS` threads."""
        return self._session.create_client(service, config=config)

    @cached_property
    def sqs(self) -> SQSClient:
        """A client for `THREADS` threads."""
        client: SQSClient = self.client("sqs")
        return client

    def caller(self) -> Caller:
        """Return whose credentials these are; no permission is needed for that (STS API reference).

        Raises
        ------
        ClientError, BotoCoreError
            If they aren't valid, or AWS can't be reached.
        """
        answer = self.client("sts").get_caller_identity()
        user_id, _, _ = answer["UserId"].partition(":")
        error = aws_time(answer) - datetime.now(UTC)
        return Caller(answer["Arn"], user_id, answer["Account"], error if abs(error) > _PRECISION else timedelta(0))

    @cached_property
    def queues(self) -> Queues:
        """The queues as the steps of a run see them."""
        # Imports what a run is, which `redrive queues` must not wait for.
        from redrive.adapters.sqs import Queues  # noqa: PLC0415

        return Queues(self.sqs, remedy=_REMEDY, key_users="whoever has these credentials")

    def first_sent(self, queue: ListedQueue) -> float | None:
        """Return when the oldest of ten messages was sent, in seconds since 1970, and make them visible again.

        None if none could be received; if that was an error, the queue's name is in `unreadable` from then on.
        """
        try:
            received = receive(self.sqs, queue.url, _PEEKED_AT, _VISIBILITY_SECONDS)
            handles = [message["ReceiptHandle"] for message in received]
            if release(self.sqs, queue.name, queue.url, handles):
                self.unreleased.append(queue.name)
        except (NotReleasedError, ClientError, BotoCoreError):
            self.unreadable.append(queue.name)
            return None
        return min((int(message["Attributes"]["SentTimestamp"]) / 1000 for message in received), default=None)

    def names(self) -> list[str]:
        """Return the names of at most 1,000 queues; none if the credentials don't allow listing them."""
        try:
            found = self.sqs.list_queues(MaxResults=1000).get("QueueUrls", [])
        except ClientError as error:
            if error.response["Error"]["Code"] not in DENIED:
                raise
            return []
        return [url.rsplit("/", 1)[1] for url in found]

    def names_like(self, prefix: str) -> list[str]:
        """Return the names of at most 1,000 queues with a prefix; give up quickly if SQS is slow.

        Raises
        ------
        ClientError, BotoCoreError
            If SQS doesn't answer in time.
        """
        client = self._session.create_client("sqs", config=_AT_ONCE)
        asked: Any = {"QueueNamePrefix": prefix} if prefix else {}
        found = client.list_queues(MaxResults=1000, **asked).get("QueueUrls", [])
        return [url.rsplit("/", 1)[1] for url in found]

    def listed(self, urls: list[str] | None = None) -> list[ListedQueue]:
        """Return all queues, or those with these URLs, with what they are for one another, in the order of SQS."""
        queues: list[ListedQueue] = []
        with ThreadPoolExecutor(THREADS) as pool:
            asked = pool.submit(self._consumers)
            urls = self._urls() if urls is None else urls
            self.queue_count = len(urls)
            for queue in pool.map(self._listed, urls):
                self.listed_so_far += 1
                queues += [] if queue is None else [queue]
            consumers = asked.result()
        sources = defaultdict(list)
        for queue in queues:
            if queue.dead_letter_queue is not None:
                sources[queue.dead_letter_queue].append(queue)
        for queue in queues:
            queue.sources = [source.name for source in sources[queue.arn]]
            if consumers is not None:
                named = {name for source in sources[queue.arn] for name in consumers.get(source.arn, ())}
                queue.consumers = sorted(named)
        return queues

    def add_depth_an_hour_ago(self, queues: Iterable[ListedQueue], now: datetime) -> None:
        """Ask CloudWatch how many messages were in queues of the account an hour ago; denied is as unknown."""
        client = self.client("cloudwatch")
        with suppress(ClientError, BotoCoreError):
            for some in batched(queues, _METRICS_AT_ONCE, strict=False):
                queries: list[MetricDataQueryTypeDef] = [
                    {"Id": f"q{place}", "MetricStat": _depth_of(queue.name)} for place, queue in enumerate(some)
                ]
                answer = client.get_metric_data(
                    MetricDataQueries=queries,
                    StartTime=now - timedelta(minutes=65),
                    EndTime=now - timedelta(minutes=55),
                )
                for result in answer["MetricDataResults"]:
                    if values := result.get("Values"):
                        some[int(result.get("Id", "q0")[1:])].hour_ago = int(values[0])

    def _urls(self) -> list[str]:
        pages = self.sqs.get_paginator("list_queues").paginate(PaginationConfig={"PageSize": 1000})
        return [url for page in pages for url in page.get("QueueUrls", [])]

    def _listed(self, url: str) -> ListedQueue | None:
        """Return a queue, or None if it was deleted meanwhile or may not be read."""
        try:
            attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in NO_QUEUE | DENIED:
                raise
            if code in DENIED:
                self.unreadable.append(url.rsplit("/", 1)[1])
            return None
        policy: Mapping[str, Any] = json.loads(attributes.get("RedrivePolicy") or "{}")
        return ListedQueue(
            name=url.rsplit("/", 1)[1],
            arn=attributes["QueueArn"],
            url=url,
            messages=int(attributes.get("ApproximateNumberOfMessages", "0")),
            in_flight=int(attributes.get("ApproximateNumberOfMessagesNotVisible", "0")),
            retention=int(attributes.get("MessageRetentionPeriod", "345600")),
            dead_letter_queue=policy.get("deadLetterTargetArn"),
            kms_key=attributes.get("KmsMasterKeyId"),
            allow_policy=attributes.get("RedriveAllowPolicy"),
        )

    def mappings(self) -> Mapping[str, list[EventSourceMappingConfigurationTypeDef]]:
        """Return all event source mappings of functions, by the ARN of their source.

        Raises
        ------
        ClientError, BotoCoreError
            If they can't be listed.
        """
        found = defaultdict(list)
        for page in self.client("lambda").get_paginator("list_event_source_mappings").paginate():
            for mapping in page["EventSourceMappings"]:
                found[mapping.get("EventSourceArn", "")].append(mapping)
        return found

    def _consumers(self) -> dict[str, list[str]] | None:
        """Return the functions that consume each queue, by the queue's ARN; None if they can't be listed."""
        try:
            mappings = self.mappings()
        except (ClientError, BotoCoreError):
            return None
        arns = {source: [mapping.get("FunctionArn", "") for mapping in found] for source, found in mappings.items()}
        return {source: [arn_name(arn) or arn for arn in found] for source, found in arns.items()}


def _depth_of(name: str) -> Any:
    metric = {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": name}],
    }
    return {"Metric": metric, "Period": 300, "Stat": "Maximum"}


def _check_answer(**event: Any) -> None:
    # botocore takes a page for an answer without members, or raises whatever its parser does.
    answer = event["response_dict"]
    body = answer["body"] if answer["status_code"] < 300 else b""
    if isinstance(body, bytes) and body[:100].lstrip().lower().startswith(_PAGES):
        raise NotAwsError
