"""Planning: what is refused before anything moves, the rate that a run keeps to, and who holds the queue's lock."""

import re

import pytest

from redrive.contracts.contract import MessageContract
from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueRef
from redrive.domain.plan.planning import check_contracts, plan_run, reserve_shares, take_lock
from redrive.domain.plan.request import OnInvalid, RedriveRequest
from tests.support import factories
from tests.support.fakes import FakeExecutions, FakeLocks, FakeQueues, FakeShares

QUARANTINE = factories.queue("quarantine")
DLQ = factories.queue("orders-dlq")
ORDERS = factories.queue("orders")


def directory(**dlq_facts) -> FakeQueues:
    queues = FakeQueues()
    queues.add(DLQ, factories.facts(**dlq_facts))
    queues.add(ORDERS, factories.facts(has_redrive_policy=True, dead_letter_queue=DLQ.arn), dlq="orders-dlq")
    queues.add(QUARANTINE, factories.facts())
    return queues


def planned(request: RedriveRequest | None = None, queues: FakeQueues | None = None, **requested):
    request = request or factories.request(**requested)
    return plan_run(request, factories.execution(), queues or directory(), QUARANTINE.arn)


@pytest.mark.parametrize("given", ["orders-dlq", DLQ.arn, DLQ.url])
def test_the_queue_is_found_by_name_arn_and_url(given):
    assert planned(dlq=given).dlq == DLQ


def test_the_plan_has_what_the_queue_holds_and_where_messages_may_go():
    plan = planned(queues=directory(waiting=7, in_flight=2, delayed=1, retention=345_600))
    assert (plan.waiting, plan.retention) == (10, 345_600)
    assert (plan.sources, plan.destination, plan.quarantine) == ((ORDERS,), None, QUARANTINE)


def test_the_run_is_its_execution_and_starts_when_that_started():
    plan = planned()
    assert (plan.run_id, plan.execution_arn) == ("run-1", factories.execution().id)
    assert plan.started_at == factories.STARTED_AT


def test_the_plan_embeds_the_request_as_it_is():
    request = factories.request(rate=5, max_messages=10, sample_size=3, dry_run=True, max_redrives=2)
    assert planned(request).request == request


# The rate


def with_max_rates(**max_rates: str) -> FakeQueues:
    """Return a directory in which queues declare max rates; all but `archive` are sources of `orders-dlq`."""
    queues = directory()
    for name, value in max_rates.items():
        dlq = "orders-dlq" if name != "archive" else None
        queues.add(factories.queue(name), factories.facts(), dlq=dlq, tags={"redrive:max-rate": value})
    return queues


@pytest.mark.parametrize(
    ("requested", "declared", "rate", "max_rate"),
    [
        (500, {}, 500, None),
        (500, {"orders": "40"}, 40, 40),
        (20, {"orders": "40"}, 20, 40),
        (500, {"orders": "40", "invoices": "2.5"}, 42.5, 2.5),
        (500, {"invoices": "0.1"}, 500, 0.1),
    ],
)
def test_a_run_is_as_fast_as_requested_and_as_its_receiving_queues_can_take_together(
    requested, declared, rate, max_rate
):
    plan = planned(rate=requested, queues=with_max_rates(**declared))
    assert (plan.rate, plan.request.rate, plan.max_rate) == (rate, requested, max_rate)


def test_each_receiving_queue_that_declares_a_max_rate_has_its_own_limit():
    plan = planned(rate=30, queues=with_max_rates(orders="40", invoices="2.5"))
    assert [(limit.queue.name, limit.max_rate, limit.share) for limit in plan.max_rates] == [
        ("orders", 40, 30),
        ("invoices", 2.5, 2.5),
    ]


def test_a_run_gets_what_other_runs_leave():
    plan = planned(rate=30, queues=with_max_rates(orders="40"))
    reserved = reserve_shares(plan, FakeShares({"orders": 12}))
    assert (reserved.rate, reserved.max_rate) == (12, 40)
    assert reserved.max_rates == (factories.limit(40, 12),)


def test_a_run_without_a_max_rate_reserves_nothing():
    shares, plan = FakeShares(), planned(rate=30)
    assert reserve_shares(plan, shares) == plan
    assert shares.reserved == []


def test_only_the_destination_of_a_run_limits_its_rate():
    queues = with_max_rates(orders="5", archive="200")
    assert planned(rate=500, destination="archive", queues=queues).rate == 200


@pytest.mark.parametrize(
    "value",
    ["", "fast", "0", "-1", "10001", "nan", "NaN", "Infinity", "1_000", "40/s", '"40"', "[40]", "true"],
)
def test_a_max_rate_that_is_not_a_rate_is_refused_with_the_queue_and_the_tag(value):
    with pytest.raises(RejectedError) as caught:
        planned(queues=with_max_rates(orders=value))
    refusal = str(caught.value)
    assert refusal.startswith("orders: the tag redrive:max-rate is invalid. Expected messages per second")
    assert "; found " in refusal


# The queues


@pytest.mark.parametrize("key", ["dlq", "destination"])
def test_an_unknown_queue_is_refused_with_how_to_look_it_up(key):
    with pytest.raises(RejectedError, match=f"^{key}: there is no queue nowhere.*aws sqs list-queues"):
        planned(**{key: "nowhere"})


@pytest.mark.parametrize("form", ["name", "arn", "url"])
@pytest.mark.parametrize(("there", "asked"), [("bills-dlq.fifo", "bills-dlq"), ("bills-dlq", "bills-dlq.fifo")])
def test_a_queue_of_the_other_kind_with_the_same_name_is_suggested(there, asked, form):
    queues = directory()
    queues.add(factories.queue(there), factories.facts())
    with pytest.raises(RejectedError, match=rf"there is no queue .*\. Did you mean {re.escape(there)}\? It is a "):
        planned(queues=queues, dlq=getattr(factories.queue(asked), form))


def test_a_queue_that_no_redrive_policy_names_gets_a_plan_because_its_messages_may_say_where_they_belong():
    queues = directory()
    queues.add(factories.queue("attic"), factories.facts())
    assert planned(queues=queues, dlq="attic").sources == ()
    assert planned(queues=queues, dlq="attic", destination="orders").destination == ORDERS


@pytest.mark.parametrize(
    ("dlq", "destination", "problem"),
    [
        (
            "orders-dlq.fifo",
            "orders",
            "orders-dlq.fifo is a FIFO queue, but the destination orders is a standard queue",
        ),
        (
            "orders-dlq",
            "orders.fifo",
            "orders-dlq is a standard queue, but the destination orders.fifo is a FIFO queue",
        ),
    ],
)
def test_a_destination_of_the_other_kind_is_refused(dlq, destination, problem):
    queues = directory()
    for name in ("orders-dlq.fifo", "orders.fifo"):
        queues.add(factories.queue(name), factories.facts())
    with pytest.raises(RejectedError, match=problem):
        planned(queues=queues, dlq=dlq, destination=destination)


def test_a_queue_cannot_be_its_own_destination():
    with pytest.raises(RejectedError, match="orders-dlq can't be its own destination"):
        planned(destination=DLQ.arn)


def test_the_quarantine_cannot_be_a_destination():
    with pytest.raises(RejectedError, match="quarantine is the quarantine"):
        planned(destination="quarantine")


def test_a_queue_with_a_redrive_policy_of_its_own_is_refused_unless_allowed():
    nested = directory(has_redrive_policy=True, dead_letter_queue=factories.queue("last").arn)
    with pytest.raises(RejectedError) as caught:
        planned(queues=nested)
    assert str(caught.value) == (
        "orders-dlq is the dead-letter queue of orders, and a source queue itself, whose dead-letter queue is last: "
        "reading its messages raises their receive count and can push them on to last. Start the run with "
        '{"dlq": "last"} if you meant that queue. Otherwise remove the redrive policy of orders-dlq while the run is '
        "on, or accept that with allowNestedDlq: true."
    )
    assert planned(queues=nested, allow_nested_dlq=True).dlq == DLQ


def test_a_source_queue_is_refused_with_the_name_of_its_dead_letter_queue():
    with pytest.raises(RejectedError) as caught:
        planned(dlq="orders")
    assert str(caught.value) == (
        'orders is a source queue; its dead-letter queue is orders-dlq. Start the run with {"dlq": "orders-dlq"}.'
    )


def test_the_sources_of_a_dead_letter_queue_are_named_up_to_five():
    nested = directory(has_redrive_policy=True, dead_letter_queue=factories.queue("last").arn)
    for number in range(10):
        nested.add(factories.queue(f"source-{number}"), factories.facts(), dlq="orders-dlq")
    with pytest.raises(RejectedError, match=r"queue of orders, source-0, .*, source-3, \.\.\., and a source"):
        planned(queues=nested)


@pytest.mark.parametrize(("key", "given"), [("dlq", {"dlq": "bad"}), ("destination", {"destination": "bad"})])
def test_what_the_directory_refuses_is_reported_with_its_key(key, given):
    class Refusing(FakeQueues):
        def find(self, given: str) -> QueueRef | None:
            if given == "bad":
                raise RejectedError("no queue can have this name")
            return super().find(given)

    queues = Refusing(**vars(directory()))
    with pytest.raises(RejectedError, match=f"^{key}: no queue can have this name$"):
        planned(queues=queues, **given)


def test_the_quarantine_is_redriven_without_a_source_and_messages_that_are_still_invalid_stay_there():
    plan = planned(dlq="quarantine")
    assert (plan.sources, plan.destination, plan.on_invalid) == ((), None, OnInvalid.LEAVE)


# Contracts


@pytest.mark.parametrize(
    ("destination", "checked"), [(None, ["orders", "invoices"]), (factories.queue("archive"), ["archive"])]
)
def test_the_contracts_of_the_queues_that_messages_will_go_to_are_loaded(destination, checked):
    loaded: list[str] = []

    def find_contract(name: str) -> MessageContract | None:
        loaded.append(name)
        return None

    sources = (ORDERS, factories.queue("invoices"))
    check_contracts(factories.plan(sources=sources, destination=destination), find_contract)
    assert loaded == checked


# The lock


def test_a_free_queue_is_locked_for_the_run():
    locks, plan = FakeLocks(), factories.plan()
    take_lock(plan, locks, FakeExecutions())
    assert locks.holders == {plan.dlq.arn: plan.execution_arn}


def test_a_second_run_is_refused_with_the_name_of_the_first():
    locks, first = FakeLocks(), factories.plan()
    take_lock(first, locks, FakeExecutions())
    second = factories.plan(run_id="run-2", execution_arn="arn:run-2")
    with pytest.raises(RejectedError, match=f"Another run is moving the messages of orders-dlq: {first.execution_arn}"):
        take_lock(second, locks, FakeExecutions({first.execution_arn}))


def test_the_lock_of_a_run_that_has_ended_is_taken_over():
    locks = FakeLocks({DLQ.arn: "arn:dead"})
    plan = factories.plan()
    take_lock(plan, locks, FakeExecutions(running=set()))
    assert locks.holders == {DLQ.arn: plan.execution_arn}


def test_of_two_runs_that_find_the_same_dead_one_only_the_first_gets_the_lock():
    locks = FakeLocks({DLQ.arn: "arn:dead"})
    first, second = factories.plan(), factories.plan(run_id="run-2", execution_arn="arn:run-2")

    class Overtaken(FakeExecutions):
        def is_running(self, execution_arn: str) -> bool:
            # While the second run asks whether the dead one runs, the first takes the lock.
            locks.lock(first, instead_of=execution_arn)
            return False

    with pytest.raises(RejectedError, match=first.execution_arn):
        take_lock(second, locks, Overtaken())
