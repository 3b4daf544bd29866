"""Asking a run to stop: whoever holds the queue's lock, the answer says what is true.

The lock is in a real table; what runs is known.
"""

from collections.abc import Iterator

import pytest

from redrive.adapters.run_table import RunTable
from redrive.domain.errors import RejectedError
from redrive.workflow.stop import stop
from tests.support import factories
from tests.support.fakes import FakeExecutions, FakeQueues
from tests.support.moto_cloud import moto_cloud

DLQ, ORDERS = factories.queue("orders-dlq"), factories.queue("orders")
RUN = factories.plan()


@pytest.fixture
def table() -> Iterator[RunTable]:
    with moto_cloud() as cloud:
        yield RunTable(cloud.run_table())


def ask(table: RunTable, dlq: str = "orders-dlq", running: str = RUN.execution_arn) -> str:
    """Return the run that was asked to stop, or the refusal."""
    queues = FakeQueues()
    queues.add(DLQ, factories.facts())
    queues.add(ORDERS, factories.facts(has_redrive_policy=True, dead_letter_queue=DLQ.arn), dlq="orders-dlq")
    try:
        return stop(dlq, queues=queues, store=table, executions=FakeExecutions({running})).run_id
    except RejectedError as error:
        return str(error)


def test_a_run_in_progress_is_asked_to_stop(table):
    table.lock(RUN)
    assert ask(table) == RUN.run_id
    assert table.wants_stop(RUN)


def test_a_run_whose_execution_has_ended_is_no_run_to_stop_but_its_lanes_stop(table):
    table.lock(RUN)
    for _ in range(2):
        answer = ask(table, running="another")
        assert answer.startswith(f"The run {RUN.run_id} was moving messages of orders-dlq, but its execution has ended")
        assert "Start another run" in answer
    assert table.wants_stop(RUN)


def test_on_a_queue_where_nothing_runs_there_is_nothing_to_stop(table):
    assert ask(table).startswith(
        "No run is moving messages of orders-dlq, so there is nothing to stop. List the runs in progress with: aws "
    )


def test_a_stop_on_a_source_queue_names_its_dead_letter_queue(table):
    table.lock(RUN)
    assert "Its dead-letter queue is orders-dlq: to stop a run on that, name it as dlq." in ask(table, "orders")
    assert not table.wants_stop(RUN)


def test_a_stop_on_a_queue_that_does_not_exist_says_so(table):
    assert "there is no queue nowhere" in ask(table, "nowhere")
