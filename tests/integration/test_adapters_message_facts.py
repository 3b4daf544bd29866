"""Rows about single messages in the runs table: what is recorded is recalled, in as many requests as it takes."""

from collections.abc import Iterator

import pytest

from redrive.adapters.message_facts import MessageFacts
from tests.support import factories
from tests.support.moto_cloud import moto_cloud


@pytest.fixture
def facts() -> Iterator[MessageFacts]:
    with moto_cloud() as cloud:
        yield MessageFacts(cloud.run_table())


def test_what_is_recorded_is_recalled_and_nothing_else(facts):
    facts.record({f"m-{n}": f'{{"count":{n}}}' for n in range(60)})
    assert facts.recall(["m-1", "m-59", "m-60"]) == {"m-1": '{"count":1}', "m-59": '{"count":59}'}


def test_blocked_groups_of_all_slices_of_a_run_are_returned(facts):
    plan, fifo = factories.plan(), factories.queue("orders.fifo").arn
    facts.record_blocked(plan, factories.work(round=0), {(fifo, "a")})
    facts.record_blocked(plan, factories.work(round=1), {(fifo, "a"), (fifo, None)})
    facts.record_blocked(factories.plan(run_id="run-2"), factories.work(), {(fifo, "z")})
    assert facts.blocked(plan) == {(fifo, "a"), (fifo, None)}
