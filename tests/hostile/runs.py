"""A run on hostile messages: the product's own steps from sample to report, over the services in `tests.hostile.wire`.

Only the runs table is a stand-in, and the clock. What leaves a run, and what became of its messages, is kept.
"""

from __future__ import annotations

import gc
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from time import thread_time
from typing import Any
from unittest.mock import patch

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.deliveries import Deliveries
from redrive.adapters.failure_destinations import FailureDestinations
from redrive.adapters.message_facts import MessageFacts
from redrive.adapters.pipeline import Pipeline
from redrive.adapters.rate_shares import RateShares
from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues, sqs_client
from redrive.contracts.contract import MessageContract
from redrive.domain.errors import RejectedError
from redrive.domain.judging.judge import Judge, Judgment
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.moving.actions import Received, Send
from redrive.domain.moving.lane import Lane
from redrive.domain.moving.results import SliceResult
from redrive.domain.page.document import page_of
from redrive.domain.plan.run_plan import Execution, RunPlan
from redrive.domain.runs.ending import StateError
from redrive.domain.runs.tally import first_tally
from redrive.domain.sampling.sample import Sample
from redrive.domain.sampling.summary import Summary
from redrive.runtime import message_errors, task
from redrive.runtime.message_errors import MessageErrors
from redrive.workflow import sample as sampling
from redrive.workflow.clean_up import clean_up
from redrive.workflow.move import VISIBILITY_SECONDS, Mover
from redrive.workflow.report import Reported, report
from redrive.workflow.tally import tally
from tests.hostile.wire import MOVER, Delivery, Wire, plugged_in
from tests.support import factories
from tests.support.botocore_caches import keep_what_is_the_same
from tests.support.fakes import FakeExecutions
from tests.support.model_table import ModelTable

keep_what_is_the_same()
THREADS = 4
# An item of DynamoDB, and a key (DynamoDB developer guide, "Quotas").
_MAX_ITEM, _MAX_KEY = 400_000, 2_048
_TABLE = "runs"


class _LimitedTable(ModelTable):
    """The model of the runs table, which refuses what DynamoDB refuses of a batch."""

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> Any:  # noqa: N803
        keys = [key["pk"]["S"] for wanted in RequestItems.values() for key in wanted["Keys"]]
        if len(set(keys)) < len(keys) or any(len(key.encode()) > _MAX_KEY for key in keys):
            raise _invalid("BatchGetItem")
        return super().batch_get_item(RequestItems=RequestItems)

    def batch_write_item(self, *, RequestItems: Mapping[str, Any]) -> Any:  # noqa: N803
        items = [request["PutRequest"]["Item"] for requests in RequestItems.values() for request in requests]
        if any(sum(len(str(value).encode()) for value in item.values()) > _MAX_ITEM for item in items):
            raise _invalid("BatchWriteItem")
        return super().batch_write_item(RequestItems=RequestItems)


def _invalid(operation: str) -> ClientError:
    error: Any = {"Error": {"Code": "ValidationException", "Message": "refused"}}
    return ClientError(error, operation)


class Table:
    """What runs remember, in the adapters that the product uses."""

    def __init__(self) -> None:
        client: Any = _LimitedTable(lambda _operation, work: work())
        self.store, self.checkpoints = RunTable(_TABLE, client), Checkpoints(_TABLE, client)
        self.facts, self.shares = MessageFacts(_TABLE, client), RateShares(_TABLE, FakeExecutions(), client)


@dataclass
class Ran:
    """What a run left: what leaves the account's data plane, and the errors that ended a step."""

    #: Texts that leave, by where they go.
    shown: dict[str, str] = field(default_factory=dict)
    #: Errors other than those that an operator reads, by the step that they left.
    errors: dict[str, Exception] = field(default_factory=dict)
    sample: Sample | None = None
    rejected: str | None = None
    result: SliceResult | None = None
    #: What was judged and accepted of each message, by its id: by the lane, not by the sample.
    judged: dict[str, Judgment] = field(default_factory=dict)
    delivered: dict[str, list[Delivery]] = field(default_factory=dict)
    #: The processor seconds of judging and showing each message once.
    seconds: dict[str, float] = field(default_factory=dict)
    reported: Reported | None = None


class _LaneRunner:
    """Runs a lane in one thread on the clock of the wire."""

    threads = THREADS

    def __init__(self, ran: Ran, wire: Wire, pipeline: Pipeline) -> None:
        self._ran = ran
        self._wire = wire
        self._pipeline = pipeline
        self.clock: Callable[[], float] = lambda: wire.now

    def run(self, lane: Lane, heartbeat: Callable[[], bool], heartbeat_seconds: float) -> None:
        wire, beat_at = self._wire, self._wire.now
        while True:
            actions = lane.next(wire.now)
            if lane.finished:
                break
            for action in actions:
                before = len(wire.deliveries)
                outcome = self._pipeline._perform(action)
                if isinstance(action, Send):
                    self._note(action, wire.deliveries[before:])
                # A long poll that finds nothing takes its second.
                wire.now += 1.0 if isinstance(outcome, Received) and not outcome.messages else 0.01
                lane.outcome(action, outcome, wire.now)
            if not actions:
                wire.now = max(wire.now + 0.01, min(lane.wake_at(), beat_at))
            if lane.needs_heartbeat or wire.now >= beat_at:
                heartbeat()
                beat_at = wire.now + heartbeat_seconds
        heartbeat()

    def _note(self, action: Send, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            message = action.messages[int(delivery.request.get("Id", "0").rpartition("-")[2])].message
            self._ran.delivered.setdefault(message.message_id, []).append(delivery)


class _Metrics:
    def __init__(self) -> None:
        self.published: list[Any] = []

    def publish_once(self, run_id: str, step: str, dimensions: Mapping[str, str], counts: Mapping[str, int]) -> None:
        self.published.append((run_id, step, dict(dimensions), dict(counts)))


@cache
def _clients() -> tuple[Any, Any, Deliveries, FailureDestinations]:
    return sqs_client(THREADS, retries=False), sqs_client(), Deliveries(THREADS), FailureDestinations()


@cache
def _logger() -> tuple[Logger, io.StringIO]:
    stream = io.StringIO()
    return Logger(service="hostile", stream=stream), stream


@contextmanager
def _logged() -> Iterator[io.StringIO]:
    logger, stream = _logger()
    stream.seek(0)
    stream.truncate()
    with patch.object(task, "logger", logger), patch.object(message_errors, "logger", logger):
        yield stream


def timed[T](call: Callable[[], T]) -> tuple[T, float]:
    """Return what a call returns, and its processor seconds without the collection of others' garbage."""
    gc.disable()
    began = thread_time()
    try:
        return call(), thread_time() - began
    finally:
        gc.enable()


# No message may take longer, however short it is.
_SECONDS = 0.1


@contextmanager
def _observed(ran: Ran) -> Iterator[None]:
    """Keep the judgment on each message, and how long judging and showing it took."""
    judge, add = Judge.judge, Summary.add
    shown: list[str] = []

    def judged(self: Judge, received: ReceivedMessage) -> Judgment:
        judgment, seconds = timed(lambda: judge(self, received))
        if seconds > _SECONDS:
            # What is done only once, or a busy machine. Work that grows with the message takes as long again.
            seconds = min(seconds, timed(lambda: judge(self, received))[1])
        shown[:] = [received.message_id]
        ran.seconds[received.message_id] = seconds
        ran.judged[received.message_id] = judgment
        return judgment

    def added(self: Summary, judgment: Judgment) -> None:
        _, seconds = timed(lambda: add(self, judgment))
        ran.seconds[shown[0]] += seconds

    with patch.object(Judge, "judge", judged), patch.object(Summary, "add", added):
        yield


def _caught(text: str) -> StateError:
    """Return a rejection as Step Functions passes it on."""
    cause = json.dumps({"errorType": "RejectedError", "errorMessage": text})
    return StateError.model_validate({"Error": "RejectedError", "Cause": cause})


def run(wire: Wire, table: Table, plan: RunPlan, contracts: Mapping[str, MessageContract], arns: frozenset[str]) -> Ran:
    """Sample, move, clean up, and report; return what that left. `arns` may be delivered to besides queues."""
    ran, metrics = Ran(), _Metrics()
    client, patient, deliveries, failure_destinations = _clients()
    queues = Queues(patient, pause=lambda _: None)
    with plugged_in(wire), _logged() as log, _observed(ran):
        now = datetime.fromtimestamp(plan.started_at / 1000, UTC)
        try:
            ran.sample = sampling.sample(
                plan,
                queues=queues,
                facts=table.facts,
                find_contract=contracts.get,
                delivery_policy=DeliveryPolicy(arns),
                confirm=failure_destinations.confirm,
                movers=frozenset({MOVER}),
                log_error=MessageErrors(),
                seconds=60,
                retries=0,
                pause=lambda _: None,
                now=lambda: now,
            )
        except RejectedError as error:
            ran.rejected = str(error)
        except Exception as error:  # noqa: BLE001
            ran.errors["sample"] = error
        wire.now += 1
        mover = Mover(
            lane_runner=lambda memory, log_error: _LaneRunner(
                ran,
                wire,
                Pipeline(
                    client, plan.dlq.url, VISIBILITY_SECONDS, THREADS, lambda: wire.now, deliveries, memory, log_error
                ),
            ),
            queues=lambda: queues,
            store=table.store,
            checkpoints=table.checkpoints,
            facts=table.facts,
            shares=table.shares,
            contracts=lambda: contracts.get,
            error_log=MessageErrors,
            delivery_policy=DeliveryPolicy(arns),
            confirms=lambda _run_id: failure_destinations.confirm,
            movers=frozenset({MOVER}),
            time=lambda: wire.now,
            pause=lambda _: None,
        )
        table.store.lock(plan)
        try:
            ran.result = mover.move(plan, factories.work(rate=500.0), 600, 900)
        except Exception as error:  # noqa: BLE001
            ran.errors["move"] = error
        slices = [ran.result] if ran.result else []
        ports: Any = {"queues": queues, "store": table.store, "metrics": metrics, "now": now}
        after = tally(plan, ran.sample or Sample(), first_tally(plan), slices, **ports, token=lambda: "token")
        cleaned = clean_up(
            plan,
            after,
            queues=queues,
            store=table.store,
            checkpoints=table.checkpoints,
            shares=table.shares,
            metrics=metrics,
            pause=lambda _: None,
        )
        ran.reported = report(
            given={},
            execution=Execution(id=plan.execution_arn, name=plan.run_id, started_at=now),
            plan=plan,
            sample=ran.sample,
            tally=cleaned.tally,
            error=_caught(ran.rejected) if ran.rejected else None,
            queue=queues.facts(plan.dlq).counts,
            in_next_queue=None,
            metrics=metrics,
            now=now,
        )
    ran.shown = {
        "sample": ran.sample.model_dump_json() if ran.sample else "",
        "rejection": ran.rejected or "",
        "result": ran.result.model_dump_json() if ran.result else "",
        "tally": cleaned.tally.model_dump_json(),
        "report": ran.reported.report.model_dump_json(),
        "notification": ran.reported.notification.model_dump_json(),
        "page": page_of(ran.reported.report),
        "metrics": json.dumps(metrics.published),
        "log": log.getvalue(),
    }
    return ran
