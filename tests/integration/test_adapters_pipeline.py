"""The pipeline with moto: messages arrive complete, and failed requests are retried or their messages kept."""

import random
import time
from typing import Any

import pytest

from redrive.adapters.deliveries import Deliveries
from redrive.adapters.message_facts import MessageFacts
from redrive.adapters.pipeline import Pipeline
from redrive.adapters.sqs import sqs_client
from redrive.domain.messages.provenance import ATTRIBUTE
from redrive.domain.messages.queues import QueueRef
from redrive.domain.moving.actions import ErrorKind
from redrive.domain.moving.lane import Lane
from redrive.domain.moving.lane_settings import LaneSettings
from redrive.domain.moving.rate_limiter import RateLimiter
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.plan.run_plan import RunPlan
from redrive.workflow import move
from redrive.workflow.memory import Memory
from tests.support import factories
from tests.support.faulty_sqs import FaultySqs
from tests.support.moto_cloud import in_a_moment

pytestmark = pytest.mark.usefixtures("client_of_sqs")

THREADS = 8
VISIBILITY = 60


@pytest.fixture
def dlq(cloud) -> QueueRef:
    return cloud.queue("orders-dlq")


@pytest.fixture
def orders(cloud, dlq) -> QueueRef:
    return cloud.queue("orders", dlq=dlq)


def plan_for(dlq: QueueRef, *sources: QueueRef, **changes: Any) -> RunPlan:
    return factories.plan(dlq=dlq, sources=sources, started_at=in_a_moment(), **changes)


def moved(
    plan: RunPlan, client: Any = None, already_sent: tuple[str, ...] = (), threads: int = THREADS
) -> tuple[Lane, list[HeldRecord]]:
    """Run a lane until it finishes; return it with the messages that it kept invisible.

    With one thread, ten messages make one batch.
    """
    now = time.monotonic()
    settings = LaneSettings(
        fifo=plan.dlq.fifo,
        alone=True,
        quota=plan.request.max_messages,
        ends_at=now + 20,
        stops_at=now + 25,
        visibility=VISIBILITY,
        hold=3600,
        concurrency=threads,
        in_hand=320,
        in_hand_bytes=move.IN_HAND_BYTES,
        defers=True,
    )
    lane = Lane(
        settings,
        factories.judge(plan),
        RateLimiter(5000),
        already_sent,
        random.Random(1).random,
        destination_rates={},
    )
    kept: list[HeldRecord] = []

    def heartbeat() -> bool:
        notes = lane.notes()
        kept.extend(notes.held)
        lane.noted(notes, time.monotonic())
        return False

    client = client or sqs_client(threads, retries=False)
    memory = Memory(plan, MessageFacts("none"), frozenset())
    pipeline = Pipeline(
        client, plan.dlq.url, VISIBILITY, threads, time.monotonic, Deliveries(threads), memory, factories.unlogged
    )
    pipeline.run(lane, heartbeat, 2.0)
    return lane, kept


def rich_messages(number: int) -> list[dict[str, Any]]:
    """Return messages with everything that a message can have."""
    return [
        {
            "MessageBody": f"body-{n} grüße \U0001f4ee",
            "MessageAttributes": {
                "text": {"DataType": "String", "StringValue": f"ü{n}"},
                "number": {"DataType": "Number.int", "StringValue": str(n)},
                "bytes": {"DataType": "Binary", "BinaryValue": bytes([0, 255, n])},
            },
            "MessageSystemAttributes": {
                "AWSTraceHeader": {
                    "DataType": "String",
                    "StringValue": f"Root=1-{n:08}-bd862e3fe1be46a994272793",
                }
            },
            "MessageGroupId": f"tenant-{n % 7}",
        }
        for n in range(number)
    ]


def test_sixty_messages_arrive_complete_and_the_queue_is_empty(cloud, dlq, orders):
    messages = rich_messages(60)
    cloud.send(dlq, messages)
    lane, _ = moved(plan_for(dlq, orders))
    arrived = cloud.take_all(orders)
    assert len(arrived) == lane.result().counts.redriven == 60
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (0, 0)
    by_body = {message["Body"]: message for message in arrived}
    for sent in messages:
        message = by_body[sent["MessageBody"]]
        attributes = {name: value for name, value in message["MessageAttributes"].items() if name != ATTRIBUTE}
        assert attributes == sent["MessageAttributes"]
        trace = sent["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"]
        assert message["Attributes"]["AWSTraceHeader"] == trace
        assert message["Attributes"]["MessageGroupId"] == sent["MessageGroupId"]


def test_redriven_messages_carry_their_run_and_original_send_time(cloud, dlq, orders):
    cloud.send(dlq, ["hello"])
    (dead,) = cloud.peek(dlq)
    moved(plan_for(dlq, orders))
    (message,) = cloud.take_all(orders)
    provenance = message["MessageAttributes"][ATTRIBUTE]["StringValue"]
    assert provenance == (
        f'{{"run":"run-1","count":1,"id":"{dead["MessageId"]}","sent":{dead["Attributes"]["SentTimestamp"]},'
        f'"source":"{orders.arn}"}}'
    )


def test_a_lane_recognizes_an_empty_queue(dlq, orders):
    lane, _ = moved(plan_for(dlq, orders))
    assert (lane.result().drained, lane.result().counts.redriven) == (True, 0)


def test_failed_entries_are_sent_again_and_arrive_once(cloud, dlq, orders):
    cloud.send(dlq, [f"body-{n}" for n in range(10)])
    faulty = FaultySqs(sqs_client(THREADS, retries=False), "send_message_batch", {3, 7}, "InternalError")
    lane, kept = moved(plan_for(dlq, orders), faulty, threads=1)
    assert len(faulty.failed) == 2
    assert sorted(message["Body"] for message in cloud.take_all(orders)) == [f"body-{n}" for n in range(10)]
    result = lane.result()
    assert (result.counts.redriven, result.counts.failed, result.duplicates_possible, kept) == (10, 0, 0, [])
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (0, 0)


def test_entries_that_sqs_rejects_for_good_are_kept_and_counted(cloud, dlq, orders):
    cloud.send(dlq, [f"body-{n}" for n in range(10)])
    faulty = FaultySqs(
        sqs_client(THREADS, retries=False),
        "send_message_batch",
        {3, 7},
        "InvalidMessageContents",
        sender_fault=True,
    )
    lane, kept = moved(plan_for(dlq, orders), faulty, threads=1)
    refused = {entry["MessageBody"] for entry in faulty.failed}
    result = lane.result()
    assert (result.counts.redriven, result.counts.failed) == (8, 2)
    assert result.failure_codes == {"InvalidMessageContents": 2}
    assert {message["Body"] for message in cloud.take_all(orders)} == {f"body-{n}" for n in range(10)} - refused
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (0, 2)
    assert [record.failed for record in kept] == [True, True]
    cloud.queues.release(dlq, [record.receipt_handle for record in kept])
    assert {message["Body"] for message in cloud.take_all(dlq)} == refused


def test_failed_deletes_are_retried(cloud, dlq, orders):
    cloud.send(dlq, [f"body-{n}" for n in range(10)])
    faulty = FaultySqs(sqs_client(THREADS, retries=False), "delete_message_batch", {3, 7}, "InternalError")
    lane, _ = moved(plan_for(dlq, orders), faulty, threads=1)
    assert len(faulty.failed) == 2
    assert (cloud.visible(orders), cloud.visible(dlq), cloud.invisible(dlq)) == (10, 0, 0)
    assert not lane.undeleted


def test_a_sent_message_that_cannot_be_deleted_is_reported_and_not_sent_again(cloud, dlq, orders):
    cloud.send(dlq, [f"body-{n}" for n in range(10)])
    faulty = FaultySqs(
        sqs_client(THREADS, retries=False),
        "delete_message_batch",
        {3, 7},
        "ReceiptHandleIsInvalid",
        sender_fault=True,
    )
    first, _ = moved(plan_for(dlq, orders), faulty, threads=1)
    handles = [entry["ReceiptHandle"] for entry in faulty.failed]
    assert (len(first.undeleted), cloud.invisible(dlq)) == (2, 2)
    cloud.queues.release(dlq, handles)
    second, _ = moved(plan_for(dlq, orders), already_sent=tuple(first.undeleted))
    assert (second.result().counts.redriven, second.undeleted) == (0, frozenset())
    assert (cloud.visible(orders), cloud.visible(dlq), cloud.invisible(dlq)) == (10, 0, 0)


def test_max_messages_is_kept_exactly(cloud, dlq, orders):
    cloud.send(dlq, [f"body-{n}" for n in range(40)])
    lane, _ = moved(plan_for(dlq, orders, max_messages=23))
    assert lane.result().counts.redriven == cloud.visible(orders) == 23
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (17, 0)


def test_a_deleted_queue_ends_the_lane(cloud, dlq, orders):
    cloud.sqs.delete_queue(QueueUrl=dlq.url)
    lane, _ = moved(plan_for(dlq, orders))
    action, failure = lane.failure
    assert failure.kind is ErrorKind.GONE
    assert type(action).__name__ == "Receive"


def test_fifo_groups_arrive_in_order(cloud):
    dlq = cloud.queue("orders-dlq.fifo")
    orders = cloud.queue("orders.fifo", dlq=dlq)
    cloud.send(
        dlq,
        [
            {"MessageBody": f"{n % 3}/{n}", "MessageGroupId": str(n % 3), "MessageDeduplicationId": f"d-{n}"}
            for n in range(24)
        ],
    )
    lane, _ = moved(plan_for(dlq, orders))
    assert lane.result().counts.redriven == 24
    arrived = cloud.take_all(orders)
    for group in range(3):
        numbers = [int(m["Body"].split("/")[1]) for m in arrived if m["Attributes"]["MessageGroupId"] == str(group)]
        assert numbers == list(range(group, 24, 3))


def test_a_fifo_messages_deduplication_id_consists_of_its_id_and_redrive_count(cloud):
    dlq = cloud.queue("orders-dlq.fifo")
    orders = cloud.queue("orders.fifo", dlq=dlq)
    cloud.send(dlq, [{"MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "used"}])
    (dead,) = cloud.peek(dlq)
    moved(plan_for(dlq, orders))
    (message,) = cloud.take_all(orders)
    assert message["Attributes"]["MessageDeduplicationId"] == f"{dead['MessageId']}-1"
