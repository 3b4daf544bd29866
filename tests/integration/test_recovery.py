"""After a fault: the next run takes over, failed releases are tried again, and every step can be repeated."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.message_facts import MessageFacts
from redrive.adapters.rate_shares import RateShares
from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues
from redrive.domain.errors import NotReleasedError, RejectedError
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.moving.results import Counts, SliceResult
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.plan.lease import LEASE_TAG, Lease
from redrive.domain.runs.continuation import RunProgress
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample
from redrive.workflow.clean_up import CleanedUp, clean_up
from redrive.workflow.plan import Planned, plan
from redrive.workflow.ports import LEASE_SECONDS, Checkpoint
from redrive.workflow.sample import sample
from tests.support import factories
from tests.support.fakes import FakeExecutions
from tests.support.moto_cloud import MOTO_SENDER, MotoCloud, moto_cloud


class Unreliable:
    """A client of SQS that doesn't carry out the first requests to change visibility, or any."""

    def __init__(self, client: Any, failing: float) -> None:
        self._client = client
        self.failing = failing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def change_message_visibility_batch(self, **request: Any) -> Any:
        if self.failing:
            self.failing -= 1
            failed = {"Code": "InternalError", "SenderFault": False, "Message": "as the test wants it"}
            return {"Successful": [], "Failed": [{"Id": entry["Id"], **failed} for entry in request["Entries"]]}
        return self._client.change_message_visibility_batch(**request)


class NoMetrics:
    """Metrics that nobody publishes."""

    def publish_once(self, *_: Any) -> None:
        pass


class Stage:
    """A dead-letter queue of twelve messages, three of which a run keeps invisible."""

    def __init__(self, cloud: MotoCloud) -> None:
        self.cloud = cloud
        self.dlq = cloud.queue("orders-dlq")
        self.orders = cloud.queue("orders", dlq=self.dlq)
        self.quarantine = cloud.queue("quarantine")
        name = cloud.run_table()
        self.table, self.checkpoints, self.facts = RunTable(name), Checkpoints(name), MessageFacts(name)
        self.executions = FakeExecutions()
        self.shares = RateShares(name, self.executions)
        self.pauses: list[float] = []
        self.sqs = Unreliable(cloud.sqs, 0)
        self.queues = Queues(self.sqs, self.pauses.append)  # type: ignore[arg-type]
        cloud.send(self.dlq, [str(number) for number in range(12)])
        self.first = factories.plan(
            dlq=self.dlq, sources=(self.orders,), quarantine=self.quarantine, execution_arn="arn:run-1"
        )
        self.executions.running.add("arn:run-1")
        assert self.table.lock(self.first) is None
        held = cloud.sqs.receive_message(QueueUrl=self.dlq.url, MaxNumberOfMessages=3, VisibilityTimeout=36_000)
        self.checkpoints.record_held(
            self.first,
            factories.work(),
            [HeldRecord(m["MessageId"], m["ReceiptHandle"], "not-selected", failed=False) for m in held["Messages"]],
        )

    def plan(self, **given: Any) -> Planned:
        """Plan the next run."""
        return plan(
            {"dlq": "orders-dlq", **given},
            factories.execution("run-2"),
            quarantine_arn=self.quarantine.arn,
            queues=self.queues,
            store=self.table,
            checkpoints=self.checkpoints,
            executions=self.executions,
            shares=self.shares,
            find_contract=lambda _: None,
            delivery_policy=DeliveryPolicy(),
            pause=self.pauses.append,
        )

    def clean_up(self) -> CleanedUp:
        """Clean up after the first run."""
        return clean_up(
            self.first,
            Tally(),
            queues=self.queues,
            store=self.table,
            checkpoints=self.checkpoints,
            shares=self.shares,
            metrics=NoMetrics(),
            pause=self.pauses.append,
        )


@pytest.fixture
def stage() -> Iterator[Stage]:
    with moto_cloud() as cloud:
        yield Stage(cloud)


def test_a_number_that_was_rounded_before_the_plan_could_see_it_is_rejected(stage):
    stage.executions.running.clear()
    written = {"dlq": "orders-dlq", "repair": {"patch": [{"op": "add", "path": "/a", "value": 0.1}]}}
    stage.executions.inputs[factories.execution("run-2").id] = json.dumps(written)
    assert stage.plan(repair=written["repair"]).plan.request.repair.patch[0]["value"] == 0.1
    rounded = json.dumps(written).replace("0.1", "0.1000000000000000000001")
    stage.executions.inputs[factories.execution("run-2").id] = rounded
    with pytest.raises(RejectedError, match="expected numbers of at most 15 significant digits"):
        stage.plan(repair=written["repair"])


def test_a_run_is_rejected_while_somebody_moves_messages_without_a_stack(stage):
    started = factories.execution("run-2").started_at
    for until, rejected in ((60, True), (0, False)):
        lease = Lease("move-1", "laptop", started + timedelta(seconds=until)).to_tag()
        stage.cloud.sqs.tag_queue(QueueUrl=stage.dlq.url, Tags={LEASE_TAG: lease})
        stage.executions.running.clear()
        if rejected:
            with pytest.raises(RejectedError, match="move-1 on the machine laptop"):
                stage.plan()
            assert not stage.table.lost(stage.first)
        else:
            assert stage.plan().plan.run_id == "run-2"


def test_a_run_after_an_aborted_one_waits_until_its_lanes_have_stopped_and_releases_what_it_held(stage):
    assert stage.cloud.invisible(stage.dlq) == 3
    stage.executions.running.clear()
    assert stage.plan().plan.run_id == "run-2"
    assert stage.pauses == [LEASE_SECONDS]
    assert (stage.cloud.visible(stage.dlq), stage.cloud.invisible(stage.dlq)) == (12, 0)
    assert stage.table.lost(stage.first)


def test_a_run_whose_start_is_repeated_still_releases_what_the_aborted_one_held(stage):
    stage.executions.running.clear()
    stage.sqs.failing = float("inf")
    with pytest.raises(NotReleasedError):
        stage.plan()
    stage.sqs.failing = 0
    stage.plan()
    assert stage.cloud.invisible(stage.dlq) == 0


def test_messages_that_sqs_did_not_release_are_released_after_growing_pauses(stage):
    stage.sqs.failing = 2
    assert (stage.clean_up().released, stage.cloud.invisible(stage.dlq)) == (3, 0)
    assert 1 <= stage.pauses[0] <= 2 <= stage.pauses[1] <= 4
    assert len(stage.pauses) == 2


def test_a_clean_up_counts_what_another_execution_moved_in_which_the_run_continued(stage):
    reached = Tally(rounds=7, counts=Counts(redriven=70))
    stage.table.record(RunProgress(plan=stage.first, sample=Sample(), tally=reached))
    work = factories.work(round=7)
    stage.checkpoints.take(stage.first, work, "killed")
    interrupted = SliceResult(counts=Counts(redriven=4))
    stage.checkpoints.checkpoint(stage.first, work, "killed", Checkpoint(interrupted, 0, 4, finished=False))
    done = stage.clean_up()
    assert (done.tally.rounds, done.tally.counts.redriven, done.released) == (7, 74, 3)
    # The lane may still be running.
    assert stage.pauses == [LEASE_SECONDS]


def test_a_clean_up_that_cannot_release_keeps_the_lock_and_the_next_attempt_finishes_it(stage):
    stage.sqs.failing = float("inf")
    with pytest.raises(NotReleasedError, match="Expected 3 messages of orders-dlq to become visible again"):
        stage.clean_up()
    assert stage.table.holder(stage.dlq.arn) == "arn:run-1"
    stage.sqs.failing = 0
    done = stage.clean_up()
    assert (done.released, done.tally.skip_reasons) == (3, {"not-selected": 3})
    assert stage.table.holder(stage.dlq.arn) is None
    assert stage.cloud.invisible(stage.dlq) == 0


@pytest.mark.parametrize(("retries", "waited"), [(0, False), (1, True)])
def test_only_a_repeated_sample_waits_for_the_messages_of_the_killed_one(stage, retries, waited):
    sampled = sample(
        stage.first,
        queues=stage.queues,
        facts=stage.facts,
        find_contract=lambda _: None,
        delivery_policy=DeliveryPolicy(),
        confirm=factories.confirmed,
        log_error=factories.unlogged,
        movers=frozenset({MOTO_SENDER}),
        seconds=10,
        retries=retries,
        pause=stage.pauses.append,
        now=lambda: datetime.fromtimestamp(factories.STARTED_AT / 1000, UTC),
    )
    assert sampled.sampled == 9
    assert bool(stage.pauses) == waited
    # Others may have received messages too, so it doesn't wait for longer than a sample hides any.
    assert sum(stage.pauses) <= 130
