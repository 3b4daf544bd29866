"""Counts what a consumer's batches came to, by queue, as CloudWatch metrics: names and numbers only.

SQS-triggered consumers put it around their handler; docs/monitoring.md lists the metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

NAMESPACE = "QueueConsumers"

type Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


def counts_records(handler: Handler) -> Handler:
    """Return the handler, with its records counted as `Processed` or `Failed`.

    A record that is tried again counts again; where the handler raises, the whole batch failed.

    Examples
    --------
    >>> @counts_records
    ... def handler(event, context):
    ...     return process_partial_response(...)
    """

    @wraps(handler)
    def counting(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        records = event["Records"]
        failed = len(records)
        try:
            answer = handler(event, context)
            failed = len(answer["batchItemFailures"])
        finally:
            queue = records[0]["eventSourceARN"].rsplit(":", 1)[-1]
            _publish(queue, processed=len(records) - failed, failed=failed)
        return answer

    return counting


def _publish(queue: str, *, processed: int, failed: int) -> None:
    # Without a service dimension, which Powertools would add: the metrics of a queue are found by its name.
    metrics = EphemeralMetrics(namespace=NAMESPACE, service="")
    metrics.add_dimension("queue", queue)
    metrics.add_metric("Processed", MetricUnit.Count, processed)
    metrics.add_metric("Failed", MetricUnit.Count, failed)
    metrics.flush_metrics()
