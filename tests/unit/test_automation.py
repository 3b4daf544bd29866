"""Runs that start by themselves: when, how often, and what keeps them from going on for ever."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.automation import Answer, Limits, Record, claimed, ended, given_back, rested
from redrive.domain.deciding import AlarmState, Automation, Ended, Progress, Step
from redrive.domain.errors import RejectedError
from redrive.domain.triggers import Trigger
from tests.support import factories
from tests.support.fakes import FakeExecutions, FakeQueues

LIMITS = Limits(first_delay=900, most_runs=3, after_alarm=300)
DAY = 24 * 3600
NOON = 1_800_000_000.0
DLQ = factories.queue("orders-dlq")
QUARANTINE = factories.queue("quarantine")
ALARM = Trigger(
    id="event-1",
    dlq="orders-dlq",
    request={"dlq": "orders-dlq", "rate": 10},
    alarm="orders-alarm",
    alarm_at=NOON,
)
SCHEDULE = Trigger(id="tick-1", dlq="orders-dlq", request={"dlq": "orders-dlq"})


# The rules


@pytest.mark.parametrize(
    ("runs", "minutes"), [(1, 15), (2, 30), (3, 60), (4, 120), (5, 240), (6, 240), (99, 240)]
)
def test_the_delay_doubles_with_each_run_up_to_sixteen_times_the_first(runs, minutes):
    assert LIMITS.delay(runs) == minutes * 60


def test_a_first_run_starts_at_once():
    answer, record = claimed(Record(), "run-1", LIMITS, NOON)
    assert answer is Answer.START
    assert (record.in_a_row, record.starts, record.not_before) == (1, (NOON,), NOON + 900)


def test_a_second_run_waits_until_the_delay_after_the_end_of_the_first_has_passed():
    _, record = claimed(Record(), "run-1", LIMITS, NOON)
    record = ended(record, "run-1", LIMITS, NOON + 600)
    assert claimed(record, "run-2", LIMITS, NOON + 600 + 899)[0] is Answer.TOO_EARLY
    assert claimed(record, "run-2", LIMITS, NOON + 600 + 900)[0] is Answer.START


def test_a_claim_whose_answer_got_lost_is_given_again_and_counts_once():
    _, record = claimed(Record(), "run-1", LIMITS, NOON)
    assert claimed(record, "run-1", LIMITS, NOON + 1) == (Answer.START, record)


def test_a_run_that_met_another_one_does_not_count():
    _, record = claimed(Record(), "run-1", LIMITS, NOON)
    assert given_back(record, "run-1").in_a_row == 0
    assert given_back(record, "run-1").starts == ()
    assert given_back(record, "another") == record


def test_after_a_long_quiet_time_the_delays_start_anew_but_the_day_goes_on():
    _, record = claimed(Record(), "run-1", LIMITS, NOON)
    quiet = rested(record, LIMITS, NOON + 60, NOON + 60 + LIMITS.longest_delay)
    assert (quiet.in_a_row, quiet.not_before, quiet.starts) == (0, 0, (NOON,))


@pytest.mark.parametrize(
    ("quiet_from", "quiet_to"),
    [(NOON + 60, NOON + 59 + 16 * 900), (NOON - 60, NOON + 16 * 900)],
    ids=["too short", "from before the last run"],
)
def test_what_was_not_quiet_for_long_enough_changes_nothing(quiet_from, quiet_to):
    _, record = claimed(Record(), "run-1", LIMITS, NOON)
    assert rested(record, LIMITS, quiet_from, quiet_to) == record


Happening = st.tuples(st.sampled_from(["ask", "end", "quiet"]), st.integers(0, 6 * 3600))


@given(
    happenings=st.lists(Happening, max_size=80),
    most_runs=st.integers(1, 5),
    first_delay=st.integers(1, 3600),
)
def test_whatever_happens_no_more_runs_start_than_may_and_delays_never_shrink_before_a_quiet_time(
    happenings, most_runs, first_delay
):
    limits = Limits(first_delay=first_delay, most_runs=most_runs, after_alarm=0)
    record, now, run = Record(), NOON, 0
    starts: list[float] = []
    in_a_row: list[float] = []
    for what, later in happenings:
        before, now = now, now + later
        if what == "ask":
            answer, record = claimed(record, f"run-{run}", limits, now)
            if answer is Answer.START:
                starts.append(now)
                in_a_row.append(now)
                run += 1
        elif what == "end":
            record = ended(record, record.last_run or "", limits, now)
        else:
            after = rested(record, limits, before, now)
            if after.in_a_row == 0:
                in_a_row = []
            record = after
        assert sum(start > now - DAY for start in starts) <= most_runs
        assert len(in_a_row) <= most_runs
        for number, (one, other) in enumerate(pairwise(in_a_row), start=1):
            assert other - one >= limits.delay(number)


# The decisions


@dataclass
class FakeRecords:
    """What is kept between decisions; `stolen` writes get in the way of one's own."""

    record: Record = field(default_factory=Record)
    version: int = 0
    triggers: dict[str, str] = field(default_factory=dict)
    held_by: str | None = None
    stolen: int = 0

    def is_first(self, trigger_id: str, execution_arn: str) -> bool:
        return self.triggers.setdefault(trigger_id, execution_arn) == execution_arn

    def automatic(self, _dlq_arn: str) -> tuple[Record, int]:
        return self.record, self.version

    def note_automatic(self, _dlq_arn: str, record: Record, version: int) -> bool:
        if self.stolen:
            self.stolen -= 1
            self.version += 1
        if version != self.version:
            return False
        self.record, self.version = record, version + 1
        return True

    def holder(self, _dlq_arn: str) -> str | None:
        return self.held_by


@dataclass
class FakeAlarms:
    """Alarms by name."""

    known: dict[str, AlarmState] = field(default_factory=dict)

    def state(self, name: str) -> AlarmState | None:
        return self.known.get(name)


@dataclass
class World:
    """An alarm that is on, a queue with letters, and a clock that a test moves."""

    now: float = NOON + 300
    records: FakeRecords = field(default_factory=FakeRecords)
    alarms: FakeAlarms = field(
        default_factory=lambda: FakeAlarms({"orders-alarm": AlarmState("ALARM", NOON)})
    )
    queues: FakeQueues = field(default_factory=FakeQueues)
    executions: FakeExecutions = field(default_factory=FakeExecutions)
    limits: Limits = LIMITS

    def __post_init__(self) -> None:
        self.queues.add(DLQ, factories.facts(waiting=3))
        self.queues.add(QUARANTINE, factories.facts())

    def step(self, trigger: Trigger = ALARM, after: Step | None = None, run: Ended | None = None) -> Step:
        """Make a decision, the first one of an execution or the one after another."""
        automation = Automation(
            limits=self.limits,
            records=self.records,
            alarms=self.alarms,
            queues=self.queues,
            executions=self.executions,
            quarantine_arn=QUARANTINE.arn,
            clock=lambda: self.now,
        )
        progress = Progress() if after is None else after.progress
        return automation.next_step(trigger, factories.execution(f"of-{trigger.id}"), progress, run)

    def started(self) -> Step:
        """Return the step that starts the first run."""
        return self.step(after=self.step())


def test_an_alarm_must_last_before_a_run_starts():
    world = World()
    first = world.step()
    assert (first.next, first.wait_seconds) == ("wait", 300)
    second = world.step(after=first)
    assert second.next == "start"
    assert second.run is not None
    assert (second.run.name, second.run.input) == ("auto-event-1-1", {"dlq": "orders-dlq", "rate": 10})


@pytest.mark.parametrize("state", [None, AlarmState("OK", NOON), AlarmState("INSUFFICIENT_DATA", NOON)])
def test_nothing_starts_when_the_alarm_is_over(state):
    world = World()
    first = world.step()
    world.alarms.known = {} if state is None else {"orders-alarm": state}
    assert world.step(after=first).next == "end"
    assert world.records.record == Record()


def test_an_alarm_that_was_off_in_between_belongs_to_another_execution():
    world = World()
    first = world.step()
    world.alarms.known["orders-alarm"] = AlarmState("ALARM", NOON + 120)
    assert world.step(after=first).next == "end"


def test_an_event_that_is_delivered_twice_starts_one_run():
    world = World()
    world.records.triggers["event-1"] = factories.execution("of-the-first-delivery").id
    assert world.step().next == "end"


def test_a_decision_that_is_made_anew_after_its_answer_got_lost_starts_the_same_run():
    world = World()
    first = world.step()
    once, again = world.step(after=first), world.step(after=first)
    assert once == again
    assert world.records.record.in_a_row == 1


def test_a_run_in_progress_is_waited_for_and_does_not_count():
    world = World()
    world.records.held_by = "another"
    world.executions.running.add("another")
    waiting = world.step(after=world.step())
    assert (waiting.next, world.records.record.in_a_row) == ("wait", 0)
    world.executions.running.clear()
    assert world.step(after=waiting).next == "start"


def test_a_run_that_was_refused_for_another_one_in_progress_does_not_count():
    world = World()
    start = world.started()
    world.records.held_by = "another"
    world.executions.running.add("another")
    waiting = world.step(after=start, run=Ended(error="Redrive.Rejected"))
    assert (waiting.next, world.records.record.in_a_row) == ("wait", 0)


def test_a_run_that_was_refused_for_another_reason_counts():
    world = World()
    world.step(after=world.started(), run=Ended(error="Redrive.Rejected"))
    assert world.records.record.in_a_row == 1


def test_after_a_run_the_next_one_waits_for_the_delay_from_its_end():
    world = World()
    start = world.started()
    world.now += 3600
    waiting = world.step(after=start, run=Ended(status="SUCCEEDED"))
    assert (waiting.next, waiting.wait_seconds) == ("wait", 900)
    world.now += 900
    again = world.step(after=waiting)
    assert again.run is not None
    assert again.run.name == "auto-event-1-2"


def test_when_as_many_have_started_as_may_that_is_told_once_and_no_more_start():
    world = World()
    step = world.started()
    names = []
    while step.next in {"start", "wait"}:
        if step.run is not None:
            names.append(step.run.name)
        world.now += step.wait_seconds
        step = world.step(after=step, run=Ended(status="SUCCEEDED") if step.next == "start" else None)
    assert names == ["auto-event-1-1", "auto-event-1-2", "auto-event-1-3"]
    assert step.next == "tell"
    assert step.notification is not None
    assert step.notification.subject == "Redrive PAUSED: orders-dlq"
    assert step.notification.message_attributes["status"]["StringValue"] == "PAUSED"

    later = replace(ALARM, id="event-2", ok_since=NOON + 1e6, alarm_at=NOON + 1e6 + LIMITS.longest_delay)
    assert world.step(later, after=world.step(later)).next == "end"


def test_the_notice_is_made_again_where_its_answer_got_lost():
    world = World(limits=replace(LIMITS, most_runs=1))
    start = world.started()
    world.now += 900
    assert [world.step(after=start, run=None).next for _ in range(2)] == ["tell", "tell"]


def test_an_alarm_that_was_off_for_long_starts_the_count_anew():
    world = World()
    world.records.record = Record(
        starts=(NOON - 3 * DAY,), in_a_row=3, not_before=NOON + DAY, told_at=NOON - DAY
    )
    quiet = replace(ALARM, ok_since=NOON - LIMITS.longest_delay)
    assert world.step(quiet, after=world.step(quiet)).next == "start"
    assert world.records.record.in_a_row == 1


def test_a_decision_that_another_one_got_ahead_of_is_made_on_what_that_left():
    world = World()
    first = world.step()
    world.records.stolen = 3
    assert world.step(after=first).next == "start"


def test_a_record_that_changes_all_the_time_is_given_up_with_a_reason():
    world = World()
    first = world.step()
    world.records.stolen = 99
    with pytest.raises(RuntimeError, match="Too many alarms or schedules"):
        world.step(after=first)


@pytest.mark.parametrize("dlq", ["nowhere", "quarantine"])
def test_what_cannot_be_redriven_by_itself_is_refused(dlq):
    with pytest.raises(RejectedError):
        World().step(replace(ALARM, dlq=dlq))


def test_a_schedule_starts_a_run_at_once_and_ends_with_it():
    world = World()
    start = world.step(SCHEDULE)
    assert start.next == "start"
    assert world.step(SCHEDULE, after=start, run=Ended(status="SUCCEEDED")).next == "end"


@pytest.mark.parametrize("why", ["empty", "in use", "too early"])
def test_a_schedule_passes_over_what_cannot_start_now(why):
    world = World()
    match why:
        case "empty":
            world.queues.add(DLQ, factories.facts(waiting=0))
        case "in use":
            world.records.held_by = "another"
            world.executions.running.add("another")
        case "too early":
            world.records.record = Record(in_a_row=1, not_before=world.now + 1)
    before = world.records.record
    assert world.step(SCHEDULE).next == "end"
    assert world.records.record == before


def test_a_schedule_that_finds_the_queue_empty_long_after_the_last_run_starts_the_count_anew():
    world = World()
    world.records.record = Record(starts=(world.now - LIMITS.longest_delay,), in_a_row=3)
    world.queues.add(DLQ, factories.facts(waiting=0))
    assert world.step(SCHEDULE).next == "end"
    assert world.records.record.in_a_row == 0


def test_no_notice_has_a_subject_that_sns_refuses():
    longest: dict[str, Any] = {"name": "q" * 80}
    world = World(limits=replace(LIMITS, most_runs=1))
    dlq = factories.queue(longest["name"])
    world.queues.add(dlq, factories.facts(waiting=1))
    trigger = replace(SCHEDULE, dlq=dlq.name)
    world.step(trigger)
    world.now += 900
    told = world.step(replace(trigger, id="tick-2"))
    assert told.notification is not None
    assert len(told.notification.subject) <= 100
