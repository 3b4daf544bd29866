"""Sends the state changes of alarms to EventBridge, and fills in the context attributes of schedules.

``local.ministack_compat.apply`` calls :func:`apply`.
"""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from ministack.services import cloudwatch, eventbridge, scheduler

from local import call_recorder
from local.ministack_compat import fit

# Scheduler is precise to a minute (EventBridge Scheduler user guide, "Schedule types"); ministack looks every ten
# seconds, which is long in a test.
TICK_SECONDS = 1.0
_ATTRIBUTE = re.compile(r"<aws\.scheduler\.([a-z-]+)>")

_upstream_dispatch = cloudwatch._dispatch_alarm_actions
_upstream_invoke = eventbridge._invoke_target
# By ARN: the state of each alarm, which its next event reports as previousState.
_last_states: dict[str, dict[str, str]] = {}

Alarm = dict[str, Any]


def apply() -> None:
    """Put the patches of this module in place."""
    fit.replace(cloudwatch, _dispatch_alarm_actions=dispatch_alarm_actions)
    fit.replace(eventbridge, _invoke_target=invoke_target)
    fit.replace(scheduler, _SCHEDULE_TICK_INTERVAL=TICK_SECONDS)


def dispatch_alarm_actions(alarm: Alarm, old_state: str, new_state: str, reason: str) -> None:
    """Take the actions of an alarm that has changed its state, and send an event.

    ministack sends no events of alarms, nor does it keep StateTransitionedTimestamp for all of them (Amazon CloudWatch
    User Guide, "Alarm events and EventBridge"; Amazon CloudWatch API Reference, MetricAlarm).
    """
    now = datetime.now(UTC)
    alarm["StateTransitionedTimestamp"] = int(now.timestamp())
    _upstream_dispatch(alarm, old_state, new_state, reason)
    state = {"value": new_state, "reason": reason, "timestamp": _timestamp(now)}
    before = _last_states.get(alarm["AlarmArn"], {})
    if before.get("value") != old_state:
        before = {"value": old_state, "timestamp": _timestamp(now)}
    _last_states[alarm["AlarmArn"]] = state
    detail = {
        "alarmName": alarm["AlarmName"],
        "configuration": _configuration(alarm),
        "previousState": before,
        "state": state,
    }
    entry = {
        "Source": "aws.cloudwatch",
        "DetailType": "CloudWatch Alarm State Change",
        "Detail": json.dumps(detail),
        "Resources": [alarm["AlarmArn"]],
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _configuration(alarm: Alarm) -> dict[str, Any]:
    description = alarm.get("AlarmDescription") or ""
    if not alarm.get("MetricName"):
        return {"description": description, "alarmRule": alarm.get("AlarmRule", "")}
    raw = alarm.get("Dimensions") or {}
    dimensions = raw if isinstance(raw, dict) else {found["Name"]: found["Value"] for found in raw}
    metric = {"namespace": alarm["Namespace"], "name": alarm["MetricName"], "dimensions": dimensions}
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic", "Average")
    stat = {"metric": metric, "period": int(alarm.get("Period", 60)), "stat": statistic}
    use = {"id": str(uuid.uuid4()), "metricStat": stat, "returnData": True}
    return {"description": description, "metrics": [use]}


def _timestamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}+0000"


def invoke_target(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
    """Invoke a target, with the context attributes in a schedule's input filled in.

    ministack passes the input on unchanged (EventBridge Scheduler user guide, "Adding context attributes in EventBridge
    Scheduler").
    """
    if event.get("Source") == "aws.scheduler" and target.get("Input"):
        attributes = {
            "schedule-arn": rule["Arn"],
            "scheduled-time": f"{datetime.fromtimestamp(event['Time'], UTC):%Y-%m-%dT%H:%M:%SZ}",
            "execution-id": str(uuid.uuid4()),
            "attempt-number": "1",
        }
        text = _ATTRIBUTE.sub(lambda found: attributes.get(found[1], found[0]), target["Input"])
        target = {**target, "Input": text}
    if ":stateMachine:" in target["Arn"] and "RoleArn" in target:
        call_recorder.record(
            {"role": target["RoleArn"]}, "stepfunctions", "StartExecution", {"stateMachineArn": target["Arn"]}
        )
    _upstream_invoke(target, event, rule, view)
