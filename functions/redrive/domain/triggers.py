"""What starts a run by itself: the alarm of a dead-letter queue, or a schedule.

Parsed by the automatic handler from the input that EventBridge gives its state machine.
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

# Long enough to be unique, short enough for the name of an execution (80 characters, Step Functions API
# reference, StartExecution).
_ID_LENGTH = 24


class _Told(BaseModel):
    """Base of what AWS tells: more than what is read here may be in it."""

    model_config = ConfigDict(
        alias_generator=to_camel, frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True
    )


class _State(_Told):
    value: str
    timestamp: datetime


class _Metric(_Told):
    namespace: str
    name: str
    dimensions: dict[str, str] = {}


class _MetricStat(_Told):
    metric: _Metric


class _MetricUse(_Told):
    metric_stat: _MetricStat | None = None


class _Configuration(_Told):
    metrics: tuple[_MetricUse, ...] = ()


class _AlarmDetail(_Told):
    alarm_name: str
    state: _State
    previous_state: _State | None = None
    configuration: _Configuration = _Configuration()


class _AlarmEvent(_Told):
    # Amazon CloudWatch User Guide, "Alarm events and EventBridge".
    resources: Annotated[tuple[str, ...], Field(min_length=1)]
    detail: _AlarmDetail


class _ScheduleEvent(_Told):
    """What template.yaml gives a schedule's target as its input."""

    schedule: str
    scheduled_time: str
    input: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trigger:
    """What asks for a run.

    Attributes
    ----------
    id : str
        The same for each delivery of the same event: EventBridge delivers at least once.
    dlq : str
        The dead-letter queue: its name, ARN or URL.
    request : Mapping[str, Any]
        The input of the run.
    alarm : str | None
        Name of the alarm; None for a schedule.
    alarm_at : float
        When the alarm was raised, in seconds since 1970; 0 for a schedule.
    ok_since : float | None
        When the alarm had last become OK before that, if that was its state.
    """

    id: str
    dlq: str
    request: Mapping[str, Any]
    alarm: str | None = None
    alarm_at: float = 0.0
    ok_since: float | None = None


def trigger_of(event: Any, run_input: Mapping[str, Any]) -> Trigger:
    """Return what asks for a run.

    Parameters
    ----------
    event : Any
        The input of the state machine: an alarm's state change, or what the schedule passes.
    run_input : Mapping[str, Any]
        Keys of the input of a run that an alarm starts, all but the queue.

    Raises
    ------
    RejectedError
        Where it is neither, or the alarm is not one on the depth of a queue.
    """
    try:
        if isinstance(event, Mapping) and "schedule" in event:
            return _of_schedule(_ScheduleEvent.model_validate(event))
        return _of_alarm(_AlarmEvent.model_validate(event), run_input)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, detail["loc"])) for detail in error.errors())
        raise RejectedError(
            "Expected the state change of an alarm, or a schedule's input with schedule, scheduledTime and "
            f"input, but this does not fit in: {places or 'the whole'}. Start runs by hand with the state "
            "machine of the redrive itself."
        ) from None


def _of_schedule(event: _ScheduleEvent) -> Trigger:
    dlq = event.input.get("dlq")
    if not isinstance(dlq, str) or not dlq:
        raise RejectedError(
            "The input of the schedule names no dead-letter queue. Deploy with a RedriveScheduleInput such "
            'as {"dlq": "orders-dlq", "rate": 10}.'
        )
    return Trigger(id=_id(event.schedule, event.scheduled_time), dlq=dlq, request=event.input)


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
            f"The alarm {detail.alarm_name} watches {len(queues)} queues, expected one: an alarm on an "
            "AWS/SQS metric with the dimension QueueName. Give only such alarms a name that matches "
            "RedriveAlarmNamePattern."
        )
    (dlq,) = queues
    before = detail.previous_state
    return Trigger(
        id=_id(event.resources[0], detail.state.timestamp.isoformat()),
        dlq=dlq,
        request={**run_input, "dlq": dlq},
        alarm=detail.alarm_name,
        alarm_at=detail.state.timestamp.timestamp(),
        ok_since=before.timestamp.timestamp() if before is not None and before.value == "OK" else None,
    )


def _id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_ID_LENGTH]
