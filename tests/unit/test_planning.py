"""Planning: what may be asked for, what is refused before anything moves, who has the queue's lock."""

import pytest

from redrive.domain.errors import RejectedError
from redrive.domain.planning import parse_request, plan_run, take_lock
from redrive.domain.runs import OnInvalid, RedriveRequest
from tests.support import factories
from tests.support.fakes import FakeExecutions, FakeLocks, FakeQueues

QUARANTINE = factories.queue("quarantine")
DLQ = factories.queue("orders-dlq")
ORDERS = factories.queue("orders")


def directory(**dlq_facts) -> FakeQueues:
    queues = FakeQueues()
    queues.add(DLQ, factories.facts(**dlq_facts))
    queues.add(ORDERS, factories.facts(has_redrive_policy=True), dlq="orders-dlq")
    queues.add(QUARANTINE, factories.facts())
    return queues


def planned(request: RedriveRequest | None = None, queues: FakeQueues | None = None, **asked):
    request = request or RedriveRequest(**({"dlq": "orders-dlq"} | asked))
    return plan_run(request, factories.execution(), queues or directory(), QUARANTINE)


def refusal_of(given) -> str:
    with pytest.raises(RejectedError) as caught:
        parse_request(given)
    return str(caught.value)


def test_a_queue_alone_is_enough_to_ask_for():
    request = parse_request({"dlq": "orders-dlq"})
    assert (request.rate, request.dry_run, request.sample_size, request.max_messages) == (50, False, 10, None)
    assert (request.on_invalid, request.max_redrives, request.allow_nested_dlq) == (
        OnInvalid.QUARANTINE,
        3,
        False,
    )


def test_every_key_can_be_set():
    given = {
        "dlq": "orders-dlq",
        "destination": "orders",
        "dryRun": True,
        "rate": 0.5,
        "maxMessages": 10,
        "sampleSize": 1000,
        "census": True,
        "select": {"envelope": ["none"], "jmespath": "store"},
        "repair": {"renameAttributes": {"store": "store_id"}},
        "onInvalid": "leave",
        "maxRedrives": 1,
        "allowNestedDlq": True,
    }
    assert parse_request(given).model_dump(mode="json", exclude_none=True) == given


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rate": 0}, "rate: Input should be greater than or equal to 0.1"),
        ({"rate": -1}, "rate: Input should be greater than or equal to 0.1"),
        ({"rate": 10_001}, "rate: Input should be less than or equal to 10000"),
        ({"rate": float("nan")}, "rate: Input should be a finite number"),
        ({"rate": float("inf")}, "rate: Input should be a finite number"),
        ({"rate": "50"}, "rate: Input should be a valid number"),
        ({"rate": True}, "rate: Input should be a valid number"),
        ({"rate": None}, "rate: Input should be a valid number"),
        ({"dlq": ""}, "dlq: String should have at least 1 character"),
        ({"dlq": 5}, "dlq: Input should be a valid string"),
        ({"dlq": ["orders-dlq"]}, "dlq: Input should be a valid string"),
        ({"destination": ""}, "destination: String should have at least 1 character"),
        ({"dryRun": "true"}, "dryRun: Input should be a valid boolean"),
        ({"dryRun": 1}, "dryRun: Input should be a valid boolean"),
        ({"maxMessages": 0}, "maxMessages: Input should be greater than or equal to 1"),
        ({"maxMessages": 1.5}, "maxMessages: Input should be a valid integer"),
        ({"maxMessages": "10"}, "maxMessages: Input should be a valid integer"),
        ({"sampleSize": 1001}, "sampleSize: Input should be less than or equal to 1000"),
        ({"census": "yes"}, "census: Input should be a valid boolean"),
        ({"sampleSize": 0}, "sampleSize: Input should be greater than or equal to 1"),
        ({"maxRedrives": 0}, "maxRedrives: Input should be greater than or equal to 1"),
        ({"onInvalid": "drop"}, "onInvalid: Input should be 'quarantine' or 'leave'"),
        ({"allowNestedDlq": "yes"}, "allowNestedDlq: Input should be a valid boolean"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(changes, told):
    assert refusal_of({"dlq": "orders-dlq"} | changes) == f"The input cannot be used. {told}."


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"select": {}}, "select: expected at least one condition"),
        (
            {"select": {"envelopes": []}},
            "select.envelopes: there is no such key (known: envelope, ",
        ),
        ({"select": {"envelope": ["letter"]}}, "select.envelope.0: Input should be 'none'"),
        ({"select": {"errorType": []}}, "select.errorType: Tuple should have at least 1 item"),
        ({"select": {"sentAfter": "2026-01-01T00:00:00"}}, "select.sentAfter: Input should have timezone"),
        ({"select": {"jmespath": "a.[b"}}, "select: not a JMESPath expression: "),
        ({"select": {"jmespath": "a" * 3000}}, "select: a JMESPath expression of 3000 characters; at most"),
        ({"select": {"jmespath": "(" * 1500}}, "select: not a JMESPath expression"),
        ({"repair": {}}, "repair: expected at least one of setAttributes"),
        ({"repair": {"project": "a b"}}, "repair: not a JMESPath expression"),
        ({"repair": {"patch": [{"op": "put", "path": "/a"}]}}, "repair.patch: not a JSON Patch"),
        ({"repair": {"patch": [{"op": "add", "path": "a", "value": 1}]}}, "repair.patch: not a JSON Patch"),
        ({"repair": {"setAttributes": {"AWS.a": {"value": "1"}}}}, "'AWS.a' cannot be the name"),
        ({"repair": {"renameAttributes": {"a": "b..c"}}}, "'b..c' cannot be the name"),
        (
            {"repair": {"setAttributes": {"a": {}}}},
            "repair.setAttributes.a: expected either `value` or `from`",
        ),
        (
            {"repair": {"setAttributes": {"a": {"type": "Number", "value": "x"}}}},
            "the value cannot be an attribute of the type Number",
        ),
        (
            {"repair": {"setAttributes": {"a": {"form": "b"}}}},
            "repair.setAttributes.a.form: there is no such key (known: type, value, from, overwrite)",
        ),
        (
            {"repair": {"project": "a", "patch": [{"op": "add", "path": "/a", "value": "x" * 17000}]}},
            "at most",
        ),
    ],
)
def test_a_wrong_condition_or_repair_is_refused_with_its_place(changes, told):
    with pytest.raises(RejectedError) as caught:
        parse_request({"dlq": "orders-dlq", **changes})
    assert told in str(caught.value)


def test_an_unknown_key_is_refused_with_the_known_ones():
    told = refusal_of({"dlq": "orders-dlq", "speed": 5})
    assert told.startswith(
        "The input cannot be used. speed: there is no such key (known: dlq, destination, dryRun, "
    )


def test_everything_that_is_wrong_is_told_at_once():
    told = refusal_of({"rate": 0, "speed": 5})
    assert all(place in told for place in ("dlq: Field required", "rate:", "speed:"))


@pytest.mark.parametrize("given", [None, 5, "orders-dlq", [], [{"dlq": "orders-dlq"}]])
def test_an_input_that_is_no_object_is_refused_with_an_example(given):
    assert refusal_of(given) == (
        'The input cannot be used. the input: expected a JSON object such as {"dlq": "orders-dlq"}.'
    )


@pytest.mark.parametrize("given", ["orders-dlq", DLQ.arn, DLQ.url])
def test_the_queue_is_found_by_name_arn_and_url(given):
    assert planned(dlq=given).dlq == DLQ


def test_the_plan_tells_what_the_queue_holds_and_where_letters_go():
    plan = planned(queues=directory(waiting=7, in_flight=2, delayed=1, retention=345_600))
    assert (plan.waiting, plan.retention) == (10, 345_600)
    assert (plan.sources, plan.destination, plan.quarantine_url) == ((ORDERS,), None, QUARANTINE.url)


def test_the_run_is_its_execution_and_starts_when_that_started():
    plan = planned()
    assert (plan.run_id, plan.execution_arn) == ("run-1", factories.execution().id)
    assert plan.started_at == factories.STARTED_AT


def test_what_was_asked_for_is_in_the_plan():
    plan = planned(
        rate=5, max_messages=10, sample_size=3, dry_run=True, max_redrives=2, on_invalid=OnInvalid.LEAVE
    )
    assert (plan.rate, plan.max_messages, plan.sample_size) == (5, 10, 3)
    assert (plan.dry_run, plan.max_redrives, plan.on_invalid) == (True, 2, OnInvalid.LEAVE)


def with_ceilings(**ceilings: str) -> FakeQueues:
    """Return a directory in which queues declare ceilings; all but `archive` are sources of `orders-dlq`."""
    queues = directory()
    for name, value in ceilings.items():
        dlq = "orders-dlq" if name != "archive" else None
        queues.add(factories.queue(name), factories.facts(), dlq=dlq, tags={"redrive:max-rate": value})
    return queues


@pytest.mark.parametrize(
    ("asked", "ceilings", "kept_to", "ceiling"),
    [
        (500, {}, 500, None),
        (500, {"orders": "40"}, 40, 40),
        (20, {"orders": "40"}, 20, 40),
        (500, {"orders": "40", "invoices": "2.5"}, 2.5, 2.5),
        (500, {"invoices": "0.1"}, 0.1, 0.1),
    ],
)
def test_a_run_keeps_to_the_smallest_of_what_was_asked_for_and_what_the_receiving_queues_declare(
    asked, ceilings, kept_to, ceiling
):
    plan = planned(rate=asked, queues=with_ceilings(**ceilings))
    assert (plan.rate, plan.asked_rate, plan.ceiling) == (kept_to, asked, ceiling)


def test_only_the_destination_of_a_run_limits_its_rate():
    queues = with_ceilings(orders="5", archive="200")
    assert planned(rate=500, destination="archive", queues=queues).rate == 200


@pytest.mark.parametrize(
    "value",
    ["", "fast", "0", "-1", "10001", "nan", "NaN", "Infinity", "1_000", "40/s", '"40"', "[40]", "true"],
)
def test_a_ceiling_that_is_no_rate_is_refused_with_queue_and_tag(value):
    with pytest.raises(RejectedError) as caught:
        planned(queues=with_ceilings(orders=value))
    told = str(caught.value)
    assert told.startswith("orders: the tag redrive:max-rate cannot be used. Expected messages per second")
    assert f"found {value!r}" in told


@pytest.mark.parametrize("key", ["dlq", "destination"])
def test_an_unknown_queue_is_refused_with_how_to_look_it_up(key):
    with pytest.raises(RejectedError, match=f"^{key}: there is no queue nowhere.*aws sqs list-queues"):
        planned(**{key: "nowhere"})


def test_a_queue_that_is_nobodys_dead_letter_queue_gets_a_plan_since_its_letters_may_tell_where_they_belong():
    queues = directory()
    queues.add(factories.queue("attic"), factories.facts())
    assert planned(queues=queues, dlq="attic").sources == ()
    assert planned(queues=queues, dlq="attic", destination="orders").destination == ORDERS


@pytest.mark.parametrize(
    ("dlq", "destination", "told"),
    [
        (
            "orders-dlq.fifo",
            "orders",
            "orders-dlq.fifo is a FIFO queue but the destination orders is a standard",
        ),
        (
            "orders-dlq",
            "orders.fifo",
            "orders-dlq is a standard queue but the destination orders.fifo is a FIFO",
        ),
    ],
)
def test_a_destination_of_the_other_kind_is_refused(dlq, destination, told):
    queues = directory()
    for name in ("orders-dlq.fifo", "orders.fifo"):
        queues.add(factories.queue(name), factories.facts())
    with pytest.raises(RejectedError, match=told):
        planned(queues=queues, dlq=dlq, destination=destination)


def test_a_queue_is_not_its_own_destination():
    with pytest.raises(RejectedError, match="orders-dlq cannot be its own destination"):
        planned(destination=DLQ.arn)


def test_a_queue_with_a_redrive_policy_of_its_own_is_refused_unless_allowed():
    nested = directory(has_redrive_policy=True)
    with pytest.raises(RejectedError, match="allowNestedDlq: true"):
        planned(queues=nested)
    assert planned(queues=nested, allow_nested_dlq=True).dlq == DLQ


def test_the_quarantine_is_redriven_without_a_source_and_what_is_still_invalid_stays_there():
    plan = planned(dlq="quarantine")
    assert (plan.sources, plan.destination, plan.on_invalid) == ((), None, OnInvalid.LEAVE)


def test_a_free_queue_is_locked_for_the_run():
    locks, plan = FakeLocks(), factories.plan()
    take_lock(plan, locks, FakeExecutions())
    assert locks.holders == {plan.dlq.arn: plan.execution_arn}


def test_a_second_run_is_refused_with_the_name_of_the_first():
    locks, first = FakeLocks(), factories.plan()
    take_lock(first, locks, FakeExecutions())
    second = factories.plan(run_id="run-2", execution_arn="arn:run-2")
    with pytest.raises(
        RejectedError, match=f"Another run is moving the letters of orders-dlq: {first.execution_arn}"
    ):
        take_lock(second, locks, FakeExecutions({first.execution_arn}))


def test_the_lock_of_a_run_that_has_ended_is_taken_over():
    locks = FakeLocks({DLQ.arn: "arn:dead"})
    plan = factories.plan()
    take_lock(plan, locks, FakeExecutions(running=set()))
    assert locks.holders == {DLQ.arn: plan.execution_arn}


def test_of_two_runs_that_find_the_same_dead_one_only_the_first_gets_the_lock():
    locks = FakeLocks({DLQ.arn: "arn:dead"})
    first, second = factories.plan(), factories.plan(run_id="run-2", execution_arn="arn:run-2")

    class BothLookedBefore(FakeExecutions):
        def is_running(self, execution_arn: str) -> bool:
            # While the second run asks whether the dead one runs, the first takes the lock.
            locks.lock(first, instead_of=execution_arn)
            return False

    with pytest.raises(RejectedError, match=first.execution_arn):
        take_lock(second, locks, BothLookedBefore())
