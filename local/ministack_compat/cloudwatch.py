"""Publishes the AWS/SQS metrics, and evaluates alarms by dimensions, periods and missing data.

``local.ministack_compat.apply`` calls :func:`apply`, which also starts the thread that does so every few seconds.
"""

from __future__ import annotations

import logging
import operator
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch, lambda_svc

from local.ministack_compat import fit
from local.ministack_compat.message_store import STORE_LOCK
from local.ministack_compat.sqs import every_queue, refresh_counts

# SQS publishes its metrics every minute (Amazon SQS Developer Guide, "Monitoring Amazon SQS queues using CloudWatch");
# a demo cannot wait that long.
PUBLISH_SECONDS = 1.0
# What periods of alarms are multiplied by, so that a test need not wait a minute for an alarm to go off.
PERIOD_SCALE = float(os.environ.get("ALARM_PERIOD_SCALE", "1"))

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}

logger = logging.getLogger("local.cloudwatch")

Alarm = dict[str, Any]


def apply() -> None:
    """Put the patches of this module in place and start the publishing thread."""
    fit.replace(cloudwatch, _evaluate_alarm=evaluate)
    threading.Thread(target=_publish_forever, name="cloudwatch", daemon=True).start()


def _publish_forever() -> None:
    while True:
        time.sleep(PUBLISH_SECONDS)
        try:
            publish_queue_metrics()
            evaluate_every_alarm()
        except Exception:
            # The outermost edge of this thread: the next round may well succeed, and the log shows what failed.
            logger.exception("publishing metrics and evaluating alarms failed")


def publish_queue_metrics() -> None:
    """Publish the AWS/SQS metrics of every queue."""
    now = time.time()
    for account, region, queue in every_queue():
        _act_for(account, region)
        refresh_counts(queue)
        attributes = queue["attributes"]
        with STORE_LOCK:
            activity: dict[str, float] = queue.pop("activity", {})
            oldest = queue["messages"].oldest_enqueued_at()
        values = {
            "ApproximateNumberOfMessagesVisible": float(attributes["ApproximateNumberOfMessages"]),
            "ApproximateNumberOfMessagesNotVisible": float(attributes["ApproximateNumberOfMessagesNotVisible"]),
            "ApproximateNumberOfMessagesDelayed": float(attributes["ApproximateNumberOfMessagesDelayed"]),
            **activity,
        }
        dimensions = {"QueueName": queue["name"]}
        for metric, value in values.items():
            cloudwatch.record_metric("AWS/SQS", metric, value, "Count", dimensions)
        age = now - oldest if oldest is not None else 0.0
        cloudwatch.record_metric("AWS/SQS", "ApproximateAgeOfOldestMessage", age, "Seconds", dimensions)


def evaluate_every_alarm() -> None:
    """Evaluate the alarms of every account and region."""
    for (account, region, _name), alarm in cloudwatch._alarms.all_items():
        _act_for(account, region)
        cloudwatch._evaluate_alarm(alarm)


def evaluate(alarm: Alarm) -> None:
    """Evaluate one alarm and take its actions when its state changes.

    ministack mixes the metrics of all dimensions, and leaves the state alone while data is missing. Periods end now
    instead of at whole minutes, so that a change shows at once (Amazon CloudWatch User Guide, "Evaluating an alarm").
    """
    if not alarm.get("Namespace") or not alarm.get("MetricName"):
        return
    period = float(alarm.get("Period", 60)) * PERIOD_SCALE
    periods = int(alarm.get("EvaluationPeriods", 1))
    now = time.time()
    points = _points(alarm, since=now - period * periods)
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic", "Average")
    values = []
    for number in range(periods):
        end = now - number * period
        of_period = [point for point in points if end - period < point["Timestamp"] <= end]
        if of_period:
            values.append(cloudwatch._stat_value(cloudwatch._calc_stats(of_period), statistic, of_period))
    state = _state(alarm, values, missing=periods - len(values))
    if state == alarm["StateValue"]:
        return
    old_state, alarm["StateValue"] = alarm["StateValue"], state
    reason = f"Threshold Crossed: {values} {alarm.get('ComparisonOperator')} {alarm.get('Threshold')}"
    alarm.update(StateReason=reason, StateUpdatedTimestamp=int(now))
    cloudwatch._record_history(alarm["AlarmName"], old_state, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, old_state, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def _points(alarm: Alarm, since: float) -> list[dict[str, Any]]:
    dimensions = cloudwatch._dims_key(_dimensions(alarm.get("Dimensions")))
    # Only those of the alarm's own metric: those of all queues grow every second.
    points = cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], dimensions), ())
    return [point for point in list(points) if point["Timestamp"] > since]


def _dimensions(raw: dict[str, str] | list[dict[str, str]] | None) -> dict[str, str]:
    if isinstance(raw, dict):
        return raw
    return {dimension["Name"]: dimension["Value"] for dimension in raw or []}


def _state(alarm: Alarm, values: list[float], missing: int) -> str:
    # Amazon CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data".
    treatment = alarm.get("TreatMissingData") or "missing"
    if not values:
        without_data = {"breaching": "ALARM", "notBreaching": "OK", "ignore": alarm["StateValue"]}
        return str(without_data.get(treatment, "INSUFFICIENT_DATA"))
    breaches = COMPARISONS[alarm["ComparisonOperator"]]
    breaching = sum(breaches(value, alarm["Threshold"]) for value in values)
    if treatment == "breaching":
        breaching += missing
    needed = int(alarm.get("DatapointsToAlarm") or alarm.get("EvaluationPeriods", 1))
    return "ALARM" if breaching >= needed else "OK"


def _act_for(account: str, region: str) -> None:
    lambda_svc._request_account_id.set(account)
    lambda_svc._request_region.set(region)
