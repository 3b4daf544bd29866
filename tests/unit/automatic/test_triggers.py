"""Triggers: what starts a run automatically is read from the events of CloudWatch and of schedules."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.automatic.triggers import trigger_of
from redrive.domain.errors import RejectedError
from redrive.domain.plan.request import parse_request
from tests.support.samples import EVENTS

ALARM = json.loads((EVENTS / "automatic.json").read_text())["trigger"]
METRIC = ("detail", "configuration", "metrics", 0, "metricStat", "metric")
SCHEDULE = json.loads((EVENTS / "automatic-schedule.json").read_text())["trigger"]


def changed(event, *path, to):
    """Return the event with one value changed."""
    event = copy.deepcopy(event)
    place = event
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return event


def test_an_alarm_names_its_queue_and_the_run_gets_the_input_of_the_deployment():
    trigger = trigger_of(ALARM, {"rate": 10})
    assert (trigger.alarm, trigger.dlq) == ("redrive-StoreEventsDLQAlarm-1A2B3C4D5E6F", "store-events-dlq")
    assert trigger.request == {
        "rate": 10,
        "dlq": "store-events-dlq",
        "because": "The alarm redrive-StoreEventsDLQAlarm-1A2B3C4D5E6F has been on since 2026-10-09 03:12:40 UTC.",
        "startedBy": f"automatic start {trigger.id}",
    }
    assert trigger.ok_since is not None
    assert trigger.alarm_at - trigger.ok_since == pytest.approx(3600, abs=1)


def test_an_alarm_that_had_no_data_before_was_not_ok():
    event = changed(ALARM, "detail", "previousState", "value", to="INSUFFICIENT_DATA")
    assert trigger_of(event, {}).ok_since is None


def test_two_deliveries_of_one_change_are_the_same_trigger_and_two_changes_are_not():
    again = changed(ALARM, "id", to="another-delivery")
    later = changed(ALARM, "detail", "state", "timestamp", to="2026-10-09T03:14:40.250+0000")
    assert trigger_of(again, {}).id == trigger_of(ALARM, {}).id
    assert trigger_of(later, {}).id != trigger_of(ALARM, {}).id


def test_a_schedule_names_its_queue_in_the_input_of_the_run():
    trigger = trigger_of(SCHEDULE, {"rate": 10})
    assert (trigger.alarm, trigger.dlq) == (None, "store-events-dlq")
    assert trigger.request == {
        "dlq": "store-events-dlq",
        "rate": 20,
        "because": f"The schedule {SCHEDULE['schedule']} was due at {SCHEDULE['scheduledTime']}.",
        "startedBy": f"automatic start {trigger.id}",
    }


def test_a_reason_that_the_deployment_gives_is_kept_and_who_starts_the_run_is_not():
    run_input = {"dlq": "orders-dlq", "because": "Nightly, see OPS-7", "startedBy": "Ann"}
    trigger = trigger_of(changed(SCHEDULE, "input", to=run_input), {})
    assert trigger.request == run_input | {"startedBy": f"automatic start {trigger.id}"}


@given(st.text(max_size=600), st.text(max_size=600))
def test_whatever_an_alarm_or_a_schedule_is_called_its_run_has_a_valid_reason(name, at):
    alarm = changed(ALARM, "detail", "alarmName", to=name)
    schedule = changed(changed(SCHEDULE, "schedule", to=name), "scheduledTime", to=at)
    for event in (alarm, schedule):
        assert parse_request(trigger_of(event, {}).request).because


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ("text", "Expected an alarm's state change"),
        ({}, "resources, detail"),
        (changed(SCHEDULE, "input", to={"rate": 5}), "Expected the schedule's input to name a dead-letter queue"),
        (changed(SCHEDULE, "input", to="text"), "input"),
        (changed(ALARM, "detail", "configuration", "metrics", to=[]), "found 0 queues"),
        (changed(ALARM, *METRIC, "namespace", to="AWS/Lambda"), "found 0 queues"),
        (changed(ALARM, *METRIC, "dimensions", to={}), "found 0 queues"),
    ],
)
def test_an_event_that_is_neither_is_refused_with_what_was_expected(event, problem):
    with pytest.raises(RejectedError, match=problem):
        trigger_of(event, {})
