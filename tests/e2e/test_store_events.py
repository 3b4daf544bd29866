"""The store events pair, deployed: bad input at the consumer, and the notice to the owner of the stores."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import factories
from tests.support.app import App, Pair, Queue
from tests.support.eventually import eventually
from tests.support.faulty_dynamodb import FaultyDynamoDb

MARK = "73190001"


def event(event_id: str, *, store: str | None = "1", **changes: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"MessageBody": factories.store_event(event_id=event_id, **changes)}
    if store is not None:
        entry["MessageAttributes"] = factories.store_id(store)
    return entry


def processed(app: App, prefix: str) -> set[str]:
    items = app.cloud.client("dynamodb").scan(TableName=app.resource("StoreEventsTable"), ConsistentRead=True)
    ids = {item["event_id"]["S"] for item in items["Items"]}
    return {event_id for event_id in ids if event_id.startswith(prefix)}


def timeouts(app: App) -> int:
    """Return how often the consumer was ended by Lambda."""
    found = app.cloud.client("logs").filter_log_events(logGroupName=app.resource("StoreEventsLogs"))
    return sum("Task timed out" in event["message"] for event in found["events"])


def notices_of(app: App, queue: Queue, run: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the notices about a run, each as it came and as what it says."""
    wrapped = [message["Body"] for message in app.take(queue)]
    parsed = [(body, json.loads(json.loads(body)["Message"])) for body in wrapped]
    return [(body, notice) for body, notice in parsed if notice["runId"] == run]


@pytest.fixture
def notices(app: App) -> Queue:
    queue = app.queue("notices")
    app.cloud.client("sns").subscribe(
        TopicArn=app.resource("StoreEventsNoticeTopic"), Protocol="sqs", Endpoint=queue.arn
    )
    return queue


def test_producers_of_store_events_get_a_notice_by_store_with_nothing_personal(app: App, notices: Queue):
    personal = {"name": f"Name {MARK}", "dob": MARK, "ssn_no": f"ssn-{MARK}", f"card {MARK}": MARK}
    bad = [
        *(event(f"notice-{number}", store="2", **personal) for number in range(3)),
        event("notice-3", store="5", **personal),
        event("notice-4", store=None, **personal),
        {"MessageBody": f"{{malformed {MARK}", "MessageAttributes": factories.store_id("5")},
    ]
    quarantine = app.quarantine
    app.take(quarantine)
    app.send(app.store_events.dlq, [event(f"notice-good-{number}") for number in range(4)] + bad)
    run = app.redrive(app.store_events.dlq)
    assert run.report["counts"]["quarantined"] == 6

    ((body, notice),) = eventually(lambda: notices_of(app, notices, run.report["runId"]))
    assert {store["store"]: store["messages"] for store in notice["stores"]} == {"2": 3, "5": 2, "unknown": 1}
    assert {store["store"]: store["reasons"] for store in notice["stores"]}["5"] == {
        "invalid-body": 1,
        "not-json": 1,
    }
    assert notice["quarantined"] == notice["found"] == 6
    assert MARK not in body
    # The messages stay in the quarantine, visible.
    eventually(lambda: app.visible(quarantine) == 6)
    app.take(quarantine)


def test_runs_on_other_queues_and_runs_that_quarantine_nothing_get_no_notice(app: App, notices: Queue):
    pair = app.pair()
    app.bury(pair, [{"MessageBody": "x"}])
    app.redrive(pair.dlq)
    app.let_die(pair, 1)
    other = app.redrive(pair.dlq, maxRedrives=1)
    assert other.report["counts"]["quarantined"] == 1
    app.send(app.store_events.dlq, [event("fine-1")])
    fine = app.redrive(app.store_events.dlq)
    app.send(app.store_events.dlq, [event("last-1", store=None)])
    last = app.redrive(app.store_events.dlq)
    seen: list[str] = []

    def last_one_came() -> bool:
        seen.extend(json.loads(json.loads(message["Body"])["Message"])["runId"] for message in app.take(notices))
        return last.report["runId"] in seen

    eventually(last_one_came)
    assert not {other.report["runId"], fine.report["runId"]} & set(seen)
    app.take(app.quarantine)


# Bad input at the consumer, and failures behind it


@pytest.fixture
def pair(app: App) -> Iterator[Pair]:
    """The store events pair, whose messages come back as soon as the consumer's five seconds are over."""
    pair = app.store_events
    app.take(pair.dlq)
    app.sqs.set_queue_attributes(QueueUrl=pair.source.url, Attributes={"VisibilityTimeout": "6"})
    yield pair
    app.sqs.set_queue_attributes(QueueUrl=pair.source.url, Attributes={"VisibilityTimeout": "30"})


@pytest.fixture(scope="module")
def proxy(app: App) -> Iterator[FaultyDynamoDb]:
    """What the consumer takes for DynamoDB."""
    client, name = app.cloud.client("lambda"), app.resource("StoreEventsConsumer")
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    with FaultyDynamoDb(app.cloud.endpoint_url) as proxy:
        variables = before | {"AWS_ENDPOINT_URL_DYNAMODB": proxy.endpoint_url}
        client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        yield proxy
        client.update_function_configuration(FunctionName=name, Environment={"Variables": before})


@pytest.fixture
def table(proxy: FaultyDynamoDb) -> Iterator[FaultyDynamoDb]:
    """The consumer's table behind a proxy that fails as the test wants it to."""
    yield proxy
    proxy.heal()


def test_one_poison_message_among_nine_good_ones_is_tried_again_and_dies_alone(app: App, pair: Pair):
    good = {f"poison-good-{number}" for number in range(9)}
    app.send(pair.source, [*map(event, sorted(good)), {"MessageBody": "{poison"}])
    eventually(lambda: processed(app, "poison-") == good)
    (message,) = eventually(lambda: app.take(pair.dlq))
    assert message["Body"] == "{poison"
    # Twice at the consumer, then once more for the test that took it.
    assert message["Attributes"]["ApproximateReceiveCount"] == "3"
    assert app.depth(pair.source) == 0


def test_the_same_event_twice_and_once_more_after_a_redrive_counts_once(app: App, pair: Pair):
    entry = event("again-1")
    app.send(pair.source, [entry, entry])
    app.send(pair.dlq, [entry])
    assert app.redrive(pair.dlq).report["counts"]["redriven"] == 1
    eventually(lambda: app.depth(pair.source) == 0)
    assert processed(app, "again-") == {"again-1"}
    assert [message["Body"] for message in app.take(pair.dlq)] == []


def test_a_consumer_that_times_out_half_way_loses_nothing_of_its_batch(app: App, pair: Pair, table: FaultyDynamoDb):
    ids = [f"half-{number}" for number in range(10)]
    table.delay(ids[4:])
    app.send(pair.source, map(event, ids))
    eventually(lambda: processed(app, "half-") == set(ids[:4]))
    eventually(lambda: timeouts(app) > 0)
    assert app.depth(pair.source) + app.depth(pair.dlq) >= 6
    assert processed(app, "half-") == set(ids[:4])
    table.heal()
    eventually(lambda: app.depth(pair.source) == 0)
    if app.depth(pair.dlq):  # on a slow machine the second attempt may have timed out too
        app.redrive(pair.dlq)
        eventually(lambda: app.depth(pair.source) == 0)
    assert processed(app, "half-") == set(ids)


def test_an_event_that_dynamodb_throttles_is_processed_with_the_next_attempt(
    app: App, pair: Pair, table: FaultyDynamoDb
):
    ids = [f"throttled-{number}" for number in range(10)]
    table.throttle(ids[0], times=2)
    app.send(pair.source, map(event, ids))
    eventually(lambda: processed(app, "throttled-") == set(ids))
    assert table.puts[ids[0]] >= 3
    eventually(lambda: app.depth(pair.source) == 0)
    assert [message["Body"] for message in app.take(pair.dlq)] == []
