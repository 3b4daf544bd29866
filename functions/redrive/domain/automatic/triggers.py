"""What starts a run automatically: the alarm of a dead-letter queue, or a schedule.

Called by the automatic handler, which parses the state machine's input from EventBridge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from redrive.domain.errors import RejectedError
from redrive.domain.names import display_name
from redrive.domain.plan.request import MAX_BECAUSE

# Long enough to be unique, and short enough for an execution's name (80 characters; Step Functions API reference,
# StartExecution).
_ID_LENGTH = 24


class _Event(BaseModel):
    """Base class for parts of AWS events. Keys that aren't read are ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True
    )


class _State(_Event):
    value: str
    timestamp: datetime


class _Metric(_Event):
    namespace: str
    name: str
    dimensions: dict[str, str] = {}


class _MetricStat(_Event):
    metric: _Metric


class _MetricUse(_Event):
    metric_stat: _MetricStat | None = None


class _Configuration(_Event):
    metrics: tuple[_MetricUse, ...] = ()


class _AlarmDetail(_Event):
    alarm_name: str
    state: _State
    previous_state: _State | None = None
    configuration: _Configuration = _Configuration()


class _AlarmEvent(_Event):
    # Amazon CloudWatch User Guide, "Alarm events and EventBridge".
    resources: Annotated[tuple[str, ...], Field(min_length=1)]
    detail: _AlarmDetail


class _ScheduleEvent(_Event):
    """The input that template.yaml gives to a schedule's target."""

    schedule: str
    scheduled_time: str
    input: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts a run."""

    #: The same for each delivery of an event, because EventBridge delivers at least once.
    id: str
    #: Name, ARN, or URL of the dead-letter queue.
    dlq: str
    #: Input of the run.
    request: Mapping[str, Any]
    #: Name of the alarm; None for a schedule.
    alarm: str | None = None
    #: When the alarm went into the ALARM state, in seconds since 1970; 0 for a schedule.
    alarm_at: float = 0.0
    #: When the alarm went into the OK state before that; None if it was in another state.
    ok_since: float | None = None


def trigger_of(event: Any, run_input: Mapping[str, Any]) -> Trigger:
    """Return the trigger in an event.

    Parameters
    ----------
    event : Any
        The state machine's input: an alarm's state change, or the input of a schedule's target.
    run_input : Mapping[str, Any]
        The input of runs that an alarm starts, without the queue.

    Raises
    ------
    RejectedError
        If the event is neither, or the alarm doesn't watch exactly one queue.
    """
    try:
        if isinstance(event, Mapping) and "schedule" in event:
            return _of_schedule(_ScheduleEvent.model_validate(event))
        return _of_alarm(_AlarmEvent.model_validate(event), run_input)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, detail["loc"])) for detail in error.errors())
        raise RejectedError(
            "Expected an alarm's state change, or a schedule's input with schedule, scheduledTime, and input; found an "
            f"event with missing or invalid values: {places or 'all'}. To start a run manually, use the redrive's own "
            "state machine."
        ) from None


def _of_schedule(event: _ScheduleEvent) -> Trigger:
    dlq = event.input.get("dlq")
    if not isinstance(dlq, str) or not dlq:
        raise RejectedError(
            "Expected the schedule's input to name a dead-letter queue, found none. Deploy with a RedriveScheduleInput "
            'such as {"dlq": "orders-dlq", "rate": 10}.'
        )
    trigger_id = _id(event.schedule, event.scheduled_time)
    because = f"The schedule {display_name(event.schedule)} was due at {display_name(event.scheduled_time)}."
    return Trigger(id=trigger_id, dlq=dlq, request=_request(event.input, because, trigger_id))


def _of_alarm(event: _AlarmEvent, run_input: Mapping[str, Any]) -> Trigger:
    detail = event.detail
    metrics = [use.metric_stat.metric for use in detail.configuration.metrics if use.metric_stat is not None]
    queues = {
        metric.dimensions["QueueName"]
        for metric in metrics
        if metric.namespace == "AWS/SQS" and "QueueName" in metric.dimensions
    }
    if len(queues) != 1:
        raise RejectedError(
            f"Expected the alarm {detail.alarm_name} to watch one queue, through an AWS/SQS metric with the dimension "
            f"QueueName; found {len(queues)} queues. Give the alarm a name that does not match RedriveAlarmNamePattern."
        )
    (dlq,) = queues
    before = detail.previous_state
    trigger_id = _id(event.resources[0], detail.state.timestamp.isoformat())
    since = f"{detail.state.timestamp:%Y-%m-%d %H:%M:%S %Z}"
    because = f"The alarm {display_name(detail.alarm_name)} has been on since {since}."
    return Trigger(
        id=trigger_id,
        dlq=dlq,
        request=_request({**run_input, "dlq": dlq}, because, trigger_id),
        alarm=detail.alarm_name,
        alarm_at=detail.state.timestamp.timestamp(),
        ok_since=before.timestamp.timestamp() if before is not None and before.value == "OK" else None,
    )


def _request(run_input: Mapping[str, Any], because: str, trigger_id: str) -> Mapping[str, Any]:
    """Return the input of a run with its reason, unless the deployment gives one, and with what starts it."""
    return {"because": because[:MAX_BECAUSE], **run_input, "startedBy": f"automatic start {trigger_id}"}


def _id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_ID_LENGTH]
