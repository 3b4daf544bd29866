"""After any faults, a run's report says what became of the messages, and the next run finishes what it left.

Whole runs are played on models, whose queue and deliveries are the evidence. The judge is that of the fault schedules
(tests/faults): it knows what must become of each message, and nothing of how the app works.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from copy import replace
from dataclasses import dataclass
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from redrive.contracts.json_schema import SchemaContract
from tests.faults.judge import INVISIBLE_SECONDS, Evidence, Observation, judge
from tests.faults.ledger import Copy, Depth
from tests.faults.messages import Fate, Message
from tests.faults.schedules import DELETE, SEND, TASK, VISIBILITY, Fault, Kind, Scenario, Schedule
from tests.support import factories
from tests.support.model_faults import FAILURES, ITEMS, KILLS, anything, hits, neighbors
from tests.support.model_runs import EPOCH, QUARANTINE, ModelApp, Run
from tests.support.model_sqs import Delivery, text_of

CONTRACT = SchemaContract("order", {"type": "object", "properties": {"amount": {"type": "number"}}})
FATES = {
    Scenario.QUARANTINE: [Fate.REDRIVEN, Fate.REDRIVEN, Fate.QUARANTINED],
    Scenario.LEAVE: [Fate.REDRIVEN, Fate.REDRIVEN, Fate.INVALID],
    Scenario.SELECT: [Fate.REDRIVEN, Fate.REDRIVEN, Fate.UNSELECTED],
    Scenario.STOP_EXECUTION: [Fate.REDRIVEN, Fate.REDRIVEN, Fate.UNSELECTED],
}
MOVES = (Scenario.PLAIN, Scenario.QUARANTINE, Scenario.MAX_MESSAGES)
KEEPS = (Scenario.LEAVE, Scenario.SELECT)
STOPS = (Scenario.STOP, Scenario.STOP_EXECUTION)
moments = st.tuples(st.sampled_from([SEND, DELETE, ITEMS[0]]), st.integers(0, 8))


@st.composite
def schedules(
    draw: st.DrawFn,
    scenarios: tuple[Scenario, ...],
    faults: st.SearchStrategy[Fault] | None,
    *,
    rates: tuple[float, ...] = (2, 8, 40, 500),
    fewest: int = 1,
) -> Schedule:
    """Draw what is redriven, and one to five faults."""
    scenario, fifo = draw(st.sampled_from(scenarios)), draw(st.booleans())
    number = draw(st.integers(fewest, 40))
    fates = draw(st.lists(st.sampled_from(FATES.get(scenario, [Fate.REDRIVEN])), min_size=number, max_size=number))
    groups = draw(st.integers(1, 4))
    options: dict[str, Any] = {"rate": draw(st.sampled_from(rates))}
    if scenario is Scenario.LEAVE:
        options["onInvalid"] = "leave"
    if scenario is Scenario.MAX_MESSAGES:
        options["maxMessages"] = draw(st.integers(1, number + 3))
    if Fate.UNSELECTED in FATES.get(scenario, ()):
        options["select"] = {"attributes": {"chosen": "yes"}}
    return Schedule(
        seed=1,
        scenario=scenario,
        fifo=fifo,
        messages=tuple(
            message(place, fate, f"group-{place % groups}" if fifo else None) for place, fate in enumerate(fates)
        ),
        options=options,
        faults=() if faults is None else tuple(draw(st.lists(faults, min_size=1, max_size=5))),
        stop_at=draw(moments) if scenario in STOPS else None,
        follow_up=draw(st.booleans()),
    )


def message(place: int, fate: Fate, group: str | None) -> Message:
    body = {"id": f"m-{place:03}", "amount": "none" if fate in {Fate.QUARANTINED, Fate.INVALID} else place}
    attributes = {} if fate is Fate.UNSELECTED else {"chosen": factories.string("yes")}
    return Message(f"m-{place:03}", json.dumps(body, separators=(",", ":")), attributes, fate, place, group)


@dataclass
class Played:
    """A schedule that was played."""

    evidence: Evidence
    #: The first run and what arrived during it.
    first: Run
    arrived: list[Delivery]
    #: Messages that were invisible when the next run looked at the queue, after it was planned.
    hidden_at_start: int

    def violations(self) -> list[str]:
        return [*judge(self.evidence), *self._too_late(), *self._too_fast()]

    def _too_late(self) -> Iterator[str]:
        if not self.first.stopped:
            late = [each for each in self.arrived if each.at > self.first.ended_at]
            yield from (f"late: {each.name} arrived after the report" for each in late)

    def _too_fast(self) -> Iterator[str]:
        rate = self.evidence.schedule.options["rate"]
        times = [each.at for each in self.arrived if each.address != QUARANTINE.url]
        # Where a slice ends and the next begins, there may be one more batch.
        most = rate + 2 * max(1, min(10, round(rate / 5)))
        for start in times:
            number = sum(start <= at < start + 1 - 1e-9 for at in times)
            if number > most:
                yield f"pace: {number} in a second, {most} allowed"


def play(schedule: Schedule, on_request: Mapping[tuple[str, int], Callable[[], Any]] | None = None) -> Played:
    """Play a schedule: a run under faults, and perhaps another one without any.

    Parameters
    ----------
    schedule : Schedule
        The schedule.
    on_request : Mapping[tuple[str, int], Callable[[], Any]] | None
        What else is called in the first run, by the request at which it is.
    """
    suffix = ".fifo" if schedule.fifo else ""
    source = factories.queue(f"orders{suffix}")
    messages = [
        factories.message(
            each.body,
            message_id=each.id,
            attributes=each.attributes,
            source=source.name,
            system={"MessageGroupId": each.group} if each.group else None,
            sent_at=int(EPOCH * 1000) - 60_000,
        )
        for each in schedule.messages
    ]
    app = ModelApp(
        dlq=factories.queue(f"orders-dlq{suffix}"),
        sources=(source,),
        messages=messages,
        contracts={source.name: CONTRACT},
        faults=schedule.faults,
        on_request=dict(on_request or {}),
    )
    played: Played = app.time.run(lambda: both_runs(app, schedule))
    app.check()
    return played


def both_runs(app: ModelApp, schedule: Schedule) -> Played:
    hidden: list[int] = []
    if schedule.stop_at is not None:
        stop = app.stop_execution if schedule.scenario is Scenario.STOP_EXECUTION else app.ask_to_stop
        app.on_request[schedule.stop_at] = lambda: stop(app.runs["run-1"])
    first = app.redrive("run-1", **schedule.options)
    observations = [observed(app, first, schedule.options)]
    arrived = list(app.sqs.deliveries)
    status = observations[0].report["status"] if observations[0].report else None
    if schedule.follow_up or status != "SUCCEEDED":
        app.faults, app.on_request = (), {}
        looks = (TASK + "sample", app.requests(TASK + "sample"))
        app.on_request[looks] = lambda: hidden.append(depth_of(app).in_flight)
        options = {name: value for name, value in schedule.options.items() if name in {"select", "onInvalid"}}
        observations.append(observed(app, app.redrive("run-2", rate=100, **options), options))
    remaining = [copy_of(stored.message["Body"], stored.message) for stored in app.sqs.stored.values()]
    return Played(Evidence(schedule, observations, remaining), first, arrived, sum(hidden))


def observed(app: ModelApp, run: Run, options: dict[str, Any]) -> Observation:
    """Return a run, and what was found after it."""
    report = run.report.model_dump(mode="json") if run.report else None
    failed = report is None or report["status"] in {"FAILED", "REJECTED"}
    if not run.stopped:
        app.wait_until(INVISIBLE_SECONDS, lambda: all(function.ended for function in app.functions))
    depth = depth_of(app)
    if not run.stopped:
        app.wait_until(INVISIBLE_SECONDS, lambda: depth_of(app).in_flight == 0)
    found = [(each.address, copy_of(text_of(each.request), each.request)) for each in app.take_delivered()]
    return Observation(
        options=options,
        execution={"status": "ABORTED" if run.stopped else "FAILED" if failed else "SUCCEEDED"},
        report=report,
        delivered=[copy for address, copy in found if address != QUARANTINE.url],
        quarantined=[copy for address, copy in found if address == QUARANTINE.url],
        depth=depth,
        # What is invisible after an execution that was stopped is for the next run to release.
        depth_later=replace(depth, in_flight=0) if run.stopped else depth_of(app),
    )


def depth_of(app: ModelApp) -> Depth:
    facts = app.queues.facts(app.dlq)
    return Depth(facts.waiting, facts.in_flight, 0)


def copy_of(body: str, request: Any) -> Copy:
    group = request.get("MessageGroupId") or request.get("Attributes", {}).get("MessageGroupId")
    return Copy(json.loads(body)["id"], body, request.get("MessageAttributes", {}), group)


@given(schedules((*MOVES, *KEEPS, *STOPS), anything()))
@neighbors(150)
def test_after_any_faults_nothing_is_lost_and_the_reports_are_true(schedule: Schedule):
    assert play(schedule).violations() == []


kills = hits([SEND, DELETE, ITEMS[0]], KILLS, before=6, times=[1, 2, 14])
overlaps = hits([TASK + "move"], [Kind.OVERTAKEN], before=1, times=[1, 2, 14])


@given(schedules((*MOVES, Scenario.SELECT), kills, fewest=10))
@example(
    Schedule(
        seed=1,
        scenario=Scenario.QUARANTINE,
        fifo=True,
        messages=(message(0, Fate.QUARANTINED, "group-0"),),
        options={"rate": 8},
        faults=(Fault(SEND, 0, 1, Kind.KILLED_AFTER),),
    )
)
@neighbors(80)
def test_functions_that_are_killed_keep_the_limit_and_are_reported(schedule: Schedule):
    assert play(schedule).violations() == []


@given(schedules((*MOVES, Scenario.SELECT), overlaps, rates=(0.5, 2), fewest=20))
@neighbors(60)
def test_attempts_at_a_slice_that_overlap_keep_limit_and_rate(schedule: Schedule):
    assert play(schedule).violations() == []


@given(schedules((*MOVES, *STOPS), hits([DELETE], FAILURES, before=2, times=[3, 14, 500])))
@neighbors(80)
def test_what_was_sent_and_is_not_deleted_is_reported_and_only_deleted_by_the_next_run(schedule: Schedule):
    assert play(schedule).violations() == []


@given(schedules((*KEEPS, Scenario.STOP), hits([VISIBILITY, ITEMS[3]], [*FAILURES, *KILLS], before=3, times=[1, 2, 6])))
@neighbors(60)
def test_messages_are_visible_again_although_releasing_them_fails_at_first(schedule: Schedule):
    assert play(schedule).violations() == []


@given(schedules((Scenario.STOP_EXECUTION,), None, rates=(2, 8, 15)))
@neighbors(80)
def test_after_an_execution_is_stopped_the_next_run_recovers_lock_and_messages_at_once(schedule: Schedule):
    played = play(schedule)
    assert played.violations() == []
    assert played.hidden_at_start == 0
