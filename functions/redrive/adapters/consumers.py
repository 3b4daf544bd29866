"""Finds the functions that consume a queue, with an operator's credentials.

Used by the `redrive` command to warn about settings that would hurt a redrive. The app's own functions don't have these
permissions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.account import THREADS, Account
from redrive.adapters.error_codes import DENIED, error_code
from redrive.domain.messages.arns import arn_name
from redrive.domain.messages.consumers import ConsumedQueue, Consumer, warnings_of

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import EventSourceMappingConfigurationTypeDef, FunctionConfigurationResponseTypeDef

    from redrive.domain.messages.queues import QueueAddress

# Batches that a dedicated poller can process at the same time (Lambda developer guide, "Lambda parameters for Amazon
# SQS event source mappings", ProvisionedPollerConfig).
_BATCHES_PER_POLLER = 10
# Up to this many queues, mappings are read for each queue; above it, all mappings of the account are listed. An account
# gets 15 requests per second for all of its functions (Lambda developer guide, "Lambda quotas").
_ASKED_SINGLY = 5

type _Mappings = Mapping[str, list[EventSourceMappingConfigurationTypeDef]]


@dataclass
class ConsumerDirectory:
    """The functions of an account that its credentials can see."""

    account: Account
    #: What couldn't be read, and why: `lambda:ListEventSourceMappings (AccessDeniedException)`.
    unreadable: set[str] = field(default_factory=set)

    def of(self, queues: Iterable[QueueAddress]) -> list[ConsumedQueue]:
        """Return queues with their consumers. A queue whose attributes can't be read is left out."""
        client = self.account.client("lambda")
        queues = list(queues)
        listed = self._all() if len(queues) > _ASKED_SINGLY else None
        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(lambda queue: self._consumed(client, queue, listed), queues)
            return [queue for queue in found if queue is not None]

    def _all(self) -> _Mappings | None:
        """Return the event source mappings of the account by queue; None if they can't be listed."""
        try:
            return self.account.mappings()
        except (ClientError, BotoCoreError) as error:
            self._note("lambda:ListEventSourceMappings", error)
            return None

    def _consumed(self, client: LambdaClient, queue: QueueAddress, listed: _Mappings | None) -> ConsumedQueue | None:
        try:
            names: list[Any] = ["VisibilityTimeout", "RedrivePolicy"]
            answer = self.account.sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=names)
        except (ClientError, BotoCoreError) as error:
            self._note("sqs:GetQueueAttributes", error)
            return None
        attributes = answer.get("Attributes", {})
        policy = attributes.get("RedrivePolicy")
        consumed = ConsumedQueue(
            queue=queue.name,
            # SQS's default (SQS API reference, CreateQueue).
            visibility_timeout=int(attributes.get("VisibilityTimeout", "30")),
            max_receives=_max_receives(policy),
            consumers=self._consumers(client, queue.arn, listed),
        )
        return consumed.model_copy(update={"warnings": tuple(warnings_of(consumed, queue.url, policy))})

    def _consumers(self, client: LambdaClient, queue_arn: str, listed: _Mappings | None) -> tuple[Consumer, ...] | None:
        if listed is not None:
            return tuple(self._consumer(client, mapping) for mapping in listed.get(queue_arn, ()))
        try:
            pages = client.get_paginator("list_event_source_mappings").paginate(EventSourceArn=queue_arn)
            mappings = list(chain.from_iterable(page["EventSourceMappings"] for page in pages))
        except (ClientError, BotoCoreError) as error:
            self._note("lambda:ListEventSourceMappings", error)
            return None
        return tuple(self._consumer(client, mapping) for mapping in mappings)

    def _consumer(self, client: LambdaClient, mapping: EventSourceMappingConfigurationTypeDef) -> Consumer:
        arn = mapping.get("FunctionArn", "")
        settings = self._settings(client, arn)
        return Consumer(
            function=_named(arn),
            mapping=mapping.get("UUID", ""),
            state=mapping.get("State", "Unknown"),
            batch_size=mapping.get("BatchSize", 10),
            batching_window=mapping.get("MaximumBatchingWindowInSeconds", 0),
            max_concurrency=_max_concurrency(mapping),
            reports_failures="ReportBatchItemFailures" in mapping.get("FunctionResponseTypes", []),
            # Encrypted filters can't be read without their key, but the error shows that there are some.
            filtered=bool(mapping.get("FilterCriteria", {}).get("Filters") or mapping.get("FilterCriteriaError")),
            timeout=settings and settings.get("Timeout"),
            # The default (Lambda developer guide, "Sending Lambda function logs to CloudWatch Logs").
            log_group=settings and settings.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{arn_name(arn)}"),
        )

    def _settings(self, client: LambdaClient, arn: str) -> FunctionConfigurationResponseTypeDef | None:
        """Return the settings of a function, or of the version or alias that the ARN names."""
        try:
            return client.get_function_configuration(FunctionName=arn)
        except (ClientError, BotoCoreError) as error:
            self._note("lambda:GetFunctionConfiguration", error)
            return None

    def _note(self, permission: str, error: ClientError | BotoCoreError) -> None:
        code = error_code(error)
        self.unreadable.add(permission if code in DENIED else f"{permission} ({code})")


def _named(arn: str) -> str:
    """Return a function's name, with the version or alias if the ARN has one."""
    parts: Iterator[str] = iter(arn.split(":")[7:])
    return ":".join([arn_name(arn) or arn, *parts])


def _max_receives(policy: str | None) -> int | None:
    count = json.loads(policy or "{}").get("maxReceiveCount")
    return None if count is None else int(count)


def _max_concurrency(mapping: Mapping[str, Any]) -> int | None:
    pollers: int | None = mapping.get("ProvisionedPollerConfig", {}).get("MaximumPollers")
    if pollers is not None:
        return pollers * _BATCHES_PER_POLLER
    concurrency: int | None = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
    return concurrency
