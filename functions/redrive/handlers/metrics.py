"""Publishes what a run counted as CloudWatch metrics: names and numbers only, each count once.

The tally handler publishes what each round moved, the settle handler what became of the rest, the report
handler that the run ended; docs/monitoring.md lists the metrics.
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from botocore.exceptions import ClientError

from redrive.adapters.run_table import RunTable
from redrive.handlers.task import logger

NAMESPACE = "Redrive"


def publish_once(
    table: RunTable, run_id: str, step: str, dimensions: Mapping[str, str], counts: Mapping[str, int]
) -> None:
    """Publish counts, unless an earlier attempt at the same step of the run has done so.

    Step Functions tries a step again where the answer of Lambda got lost, and CloudWatch adds up whatever it
    gets. An attempt that dies just after it has claimed the step publishes nothing: a metric may be short
    by a round, never too high. Nothing that goes wrong here ends a run.

    Parameters
    ----------
    table : RunTable
        Where the step is claimed.
    run_id, step : str
        The run, and which of its counts these are.
    dimensions : Mapping[str, str]
        What the metrics are told apart by.
    counts : Mapping[str, int]
        Values by name of the metric.
    """
    try:
        first = table.claim_metrics(run_id, step)
    except ClientError as error:
        logger.warning("metrics not published", step=step, error=error.response["Error"]["Code"])
        return
    if not first:
        logger.info("metrics were published by an earlier attempt", step=step)
        return
    # Without a service dimension, which Powertools would add: the metrics of a queue are found by its name.
    metrics = EphemeralMetrics(namespace=NAMESPACE, service="")
    for name, value in dimensions.items():
        metrics.add_dimension(name, value)
    for name, count in counts.items():
        metrics.add_metric(name, MetricUnit.Count, count)
    metrics.flush_metrics()
