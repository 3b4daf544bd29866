"""Decisions about automatic runs: whether one starts now, later, or not at all, and whether operators are notified."""

from copy import replace
from dataclasses import dataclass, field

import pytest

from redrive.domain.automatic.decisions import AlarmState, Automation, Ended, Progress, Step
from redrive.domain.automatic.limits import Limits, Record
from redrive.domain.automatic.triggers import Trigger
from redrive.domain.errors import RejectedError
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


@dataclass
class FakeRecords:
    """What is kept between decisions; `overtaken` writes fail because somebody else wrote first."""

    record: Record = field(default_factory=Record)
    version: int = 0
    triggers: dict[str, str] = field(default_factory=dict)
    held_by: str | None = None
    overtaken: int = 0

    def is_first(self, trigger_id: str, execution_arn: str) -> bool:
        return self.triggers.setdefault(trigger_id, execution_arn) == execution_arn

    def automatic(self, _dlq_arn: str) -> tuple[Record, int]:
        return self.record, self.version

    def note_automatic(self, _dlq_arn: str, record: Record, version: int) -> bool:
        if self.overtaken:
            self.overtaken -= 1
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
    """An alarm that is raised, a queue with messages, and a clock that a test moves."""

    now: float = NOON + 300
    records: FakeRecords = field(default_factory=FakeRecords)
    alarms: FakeAlarms = field(default_factory=lambda: FakeAlarms({"orders-alarm": AlarmState("ALARM", NOON)}))
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
def test_nothing_starts_if_the_alarm_is_over(state):
    world = World()
    first = world.step()
    world.alarms.known = {} if state is None else {"orders-alarm": state}
    assert world.step(after=first).next == "end"
    assert world.records.record == Record()


def test_an_alarm_that_was_ok_in_between_belongs_to_another_execution():
    world = World()
    first = world.step()
    world.alarms.known["orders-alarm"] = AlarmState("ALARM", NOON + 120)
    assert world.step(after=first).next == "end"


def test_an_event_that_is_delivered_twice_starts_one_run():
    world = World()
    world.records.triggers["event-1"] = factories.execution("of-the-first-delivery").id
    assert world.step().next == "end"


def test_a_decision_that_is_repeated_because_its_answer_got_lost_starts_the_same_run():
    world = World()
    first = world.step()
    once, again = world.step(after=first), world.step(after=first)
    assert once == again
    assert world.records.record.in_a_row == 1


def test_a_run_in_progress_delays_the_start_and_does_not_count():
    world = World()
    world.records.held_by = "another"
    world.executions.running.add("another")
    waiting = world.step(after=world.step())
    assert (waiting.next, world.records.record.in_a_row) == ("wait", 0)
    world.executions.running.clear()
    assert world.step(after=waiting).next == "start"


def test_a_run_that_was_refused_because_another_is_in_progress_does_not_count():
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


def test_at_the_limit_operators_are_notified_once_and_no_more_runs_start():
    world = World()
    step = world.started()
    names = []
    while step.next in {"start", "wait"}:
        if step.run is not None:
            names.append(step.run.name)
        world.now += step.wait_seconds
        step = world.step(after=step, run=Ended(status="SUCCEEDED") if step.next == "start" else None)
    assert names == ["auto-event-1-1", "auto-event-1-2", "auto-event-1-3"]
    assert step.next == "notify"
    assert step.notification is not None
    assert step.notification.subject == "Redrive PAUSED: orders-dlq"
    assert step.notification.message_attributes["status"]["StringValue"] == "PAUSED"

    later = replace(ALARM, id="event-2", ok_since=NOON + 1e6, alarm_at=NOON + 1e6 + LIMITS.longest_delay)
    assert world.step(later, after=world.step(later)).next == "end"


def test_the_notification_is_made_again_if_its_answer_got_lost():
    world = World(limits=replace(LIMITS, most_runs=1))
    start = world.started()
    world.now += 900
    assert [world.step(after=start, run=None).next for _ in range(2)] == ["notify", "notify"]


def test_an_alarm_that_was_ok_for_long_resets_the_count():
    world = World()
    world.records.record = Record(starts=(NOON - 3 * DAY,), in_a_row=3, not_before=NOON + DAY, notified_at=NOON - DAY)
    quiet = replace(ALARM, ok_since=NOON - LIMITS.longest_delay)
    assert world.step(quiet, after=world.step(quiet)).next == "start"
    assert world.records.record.in_a_row == 1


def test_a_decision_that_another_one_overtook_is_made_again_on_the_new_record():
    world = World()
    first = world.step()
    world.records.overtaken = 3
    assert world.step(after=first).next == "start"


def test_a_record_that_changes_all_the_time_is_an_error_with_a_reason():
    world = World()
    first = world.step()
    world.records.overtaken = 99
    with pytest.raises(RuntimeError, match=r"within 10 attempts.*Reduce the alarms and schedules"):
        world.step(after=first)


@pytest.mark.parametrize("dlq", ["nowhere", "quarantine"])
def test_a_queue_that_cannot_be_redriven_automatically_is_refused(dlq):
    with pytest.raises(RejectedError):
        World().step(replace(ALARM, dlq=dlq))


def test_a_schedule_starts_a_run_at_once_and_ends_with_it():
    world = World()
    start = world.step(SCHEDULE)
    assert start.next == "start"
    assert world.step(SCHEDULE, after=start, run=Ended(status="SUCCEEDED")).next == "end"


@pytest.mark.parametrize("why", ["empty", "in use", "too early"])
def test_a_schedule_skips_a_run_that_cannot_start_now(why):
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


def test_a_schedule_that_finds_the_queue_empty_long_after_the_last_run_resets_the_count():
    world = World()
    world.records.record = Record(starts=(world.now - LIMITS.longest_delay,), in_a_row=3)
    world.queues.add(DLQ, factories.facts(waiting=0))
    assert world.step(SCHEDULE).next == "end"
    assert world.records.record.in_a_row == 0


def test_sns_accepts_the_subject_of_a_notification_however_long_the_name_of_the_queue_is():
    world = World(limits=replace(LIMITS, most_runs=1))
    dlq = factories.queue("q" * 80)
    world.queues.add(dlq, factories.facts(waiting=1))
    trigger = replace(SCHEDULE, dlq=dlq.name)
    world.step(trigger)
    world.now += 900
    paused = world.step(replace(trigger, id="tick-2"))
    assert paused.notification is not None
    assert len(paused.notification.subject) <= 100
