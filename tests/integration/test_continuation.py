"""A long run continues only in the execution that it named, whatever others start in the meantime."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redrive.adapters.run_table import RunTable
from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueCounts
from redrive.domain.moving.results import Counts, SliceResult
from redrive.domain.runs.continuation import RunProgress, successor_name
from redrive.domain.runs.tally import Next, Tally
from redrive.domain.sampling.sample import Sample
from redrive.workflow.resume import resume
from redrive.workflow.tally import tally
from tests.support import factories
from tests.support.fakes import FakeQueues
from tests.support.moto_cloud import moto_cloud

MOVED = SliceResult(counts=Counts(redriven=10), seconds=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["run", "plan", "tally"]), inner),
    max_leaves=5,
)


class Stage:
    """The run run-1, which hands over after each round."""

    def __init__(self) -> None:
        self.table = RunTable("redrive-runs")
        self.plan = factories.plan()
        self.queues = FakeQueues()
        self.queues.add(self.plan.dlq, factories.facts(waiting=100))
        self.tokens = iter(f"token-{number}" for number in range(100))
        self.now = self.plan.started + timedelta(minutes=1)
        self.published: list[dict[str, int]] = []

    def publish_once(self, _run: str, _step: str, _dimensions: Any, counts: Any) -> None:
        self.published.append(dict(counts))

    def tally(self, before: Tally) -> Tally:
        return tally(
            self.plan,
            Sample(sampled=3),
            before,
            [MOVED],
            queues=self.queues,
            store=self.table,
            metrics=self,
            token=lambda: next(self.tokens),
            now=self.now,
            max_history_events=1,
        )

    def resume(self, given: Any, name: str) -> RunProgress:
        return resume(given, factories.execution(name), store=self.table)

    def rows(self) -> Any:
        return self.table._client.scan(TableName="redrive-runs")["Items"]


@pytest.fixture
def stage() -> Iterator[Stage]:
    with moto_cloud() as cloud:
        cloud.run_table("redrive-runs")
        yield Stage()


def test_a_run_continues_in_the_execution_that_it_named_also_if_that_one_is_retried(stage):
    after = stage.tally(Tally())
    assert (after.next, after.successor) == (Next.CONTINUE, "run-1-token-0")
    for _ in range(2):
        taken_over = stage.resume({"run": "run-1"}, "run-1-token-0")
        assert taken_over == RunProgress(plan=stage.plan, sample=Sample(sampled=3), tally=after)


def test_a_repeated_tally_names_the_same_execution_and_decides_the_same(stage):
    first = stage.tally(Tally())
    # The queue changes in the meantime, so a decision of its own would be another one.
    stage.queues.add(stage.plan.dlq, factories.facts(waiting=0))
    assert stage.tally(Tally()) == first
    assert first.queue == QueueCounts(visible=100)
    assert stage.published == [{"Redriven": 10, "Quarantined": 0}] * 2


def test_only_the_latest_execution_continues_the_run(stage):
    second = stage.tally(stage.tally(Tally()))
    assert (second.successor, second.counts.redriven) == ("run-1-token-1", 20)
    with pytest.raises(RejectedError):
        stage.resume({"run": "run-1"}, "run-1-token-0")
    assert stage.resume({"run": "run-1"}, "run-1-token-1").tally == second


def test_a_run_that_does_not_continue_names_no_execution(stage):
    before = stage.tally(Tally())
    stage.queues.add(stage.plan.dlq, factories.facts(waiting=0))
    drained = SliceResult(drained=True)
    ports: Any = {"queues": stage.queues, "store": stage.table, "metrics": stage}
    after = tally(stage.plan, Sample(), before, [drained], **ports, token=str, now=stage.now)
    assert (after.next, after.successor) == (Next.CLEAN_UP, None)
    with pytest.raises(RejectedError):
        stage.resume({"run": "run-1"}, before.successor or "")


# What others may start


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    forged=st.one_of(
        JSON,
        st.fixed_dictionaries({"run": st.sampled_from(["run-1", "run-2", "run-1-token-0", "", "r" * 81, "r" * 3000])}),
        st.fixed_dictionaries({"run": st.text() | st.just("\ud800") | st.just("run-1#progress")}),
        st.fixed_dictionaries({"run": st.just("run-1"), "plan": JSON, "tally": JSON}),
        st.builds(lambda: {"plan": factories.plan().model_dump(mode="json"), "sample": {}, "tally": {}}),
    ),
    name=st.sampled_from(["run-1", "run-1-token", "run-1-token-1", "run-2", "RUN-1-TOKEN-0", "None", "null"])
    | st.text(min_size=1),
)
def test_no_other_execution_continues_it_and_nothing_changes(stage, forged, name):
    stage.tally(Tally())
    before = stage.rows()
    with pytest.raises(RejectedError, match=r"continuation: expected a run that continues in this execution"):
        stage.resume(forged, name)
    assert stage.rows() == before


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(forged=JSON | st.fixed_dictionaries({"run": st.just("run-1"), "more": JSON}))
def test_even_the_named_execution_continues_it_only_with_the_input_that_a_run_gives_it(stage, forged):
    named = stage.tally(Tally()).successor or ""
    with pytest.raises(RejectedError):
        stage.resume(forged, named)


@given(run_id=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=80))
def test_the_name_of_the_next_execution_is_one_that_step_functions_accepts(run_id):
    name = successor_name(run_id, "0123456789abcdef")
    assert len(name) <= 80
    assert re.fullmatch(re.escape(run_id[:63]) + "-[0-9a-f]{16}", name)
