"""Reads the state of CloudWatch alarms.

Used by the automatic handler to check whether the alarm that started the execution is still in the ALARM state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redrive.aws_session import aws_client
from redrive.domain.automatic.decisions import AlarmState

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient


class Alarms:
    """The alarms of one account and region."""

    def __init__(self) -> None:
        self._client: CloudWatchClient = aws_client("cloudwatch")

    def state(self, name: str) -> AlarmState | None:
        """Return the alarm's state, or None if there is no such alarm."""
        found = self._client.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm"])["MetricAlarms"]
        if not found:
            return None
        # When the value last changed. StateUpdatedTimestamp also changes with a new reason for the same value (Amazon
        # CloudWatch API Reference, MetricAlarm).
        since = found[0].get("StateTransitionedTimestamp")
        return AlarmState(found[0]["StateValue"], None if since is None else since.timestamp())
