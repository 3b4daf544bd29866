"""Publishes the counts of a run as CloudWatch metrics: names and numbers only, each count once.

Used by the coordinator: each round publishes what moved, the clean-up what stayed, the report that the run ended.
docs/reference/metrics.md lists the metrics.
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from redrive.adapters.run_table import MetricsClaimError, RunTable
from redrive.runtime.task import logger

NAMESPACE = "Redrive"


class RunMetrics:
    """Metrics of runs.

    Parameters
    ----------
    table : RunTable
        Where a step claims that it publishes its counts.
    """

    def __init__(self, table: RunTable) -> None:
        self._table = table

    def publish_once(self, run_id: str, step: str, dimensions: Mapping[str, str], counts: Mapping[str, int]) -> None:
        """Publish counts, unless an earlier attempt at the same step of the run did.

        Step Functions retries a step if Lambda's response was lost, and CloudWatch adds up whatever it gets. An attempt
        that dies just after it has claimed the step publishes nothing: a metric may be short by a round, never too
        high. Nothing that goes wrong here ends a run.

        Parameters
        ----------
        run_id, step : str
            The run, and which of its counts these are.
        dimensions : Mapping[str, str]
            The dimensions of the metrics.
        counts : Mapping[str, int]
            Values by name of the metric.
        """
        try:
            first = self._table.claim_metrics(run_id, step)
        except MetricsClaimError as error:
            logger.warning("metrics not published", counts=step, error=str(error))
            return
        if not first:
            logger.info("metrics were published by an earlier attempt", counts=step)
            return
        # Without a service dimension, which Powertools would add: the metrics of a queue are found by its name.
        metrics = EphemeralMetrics(namespace=NAMESPACE, service="")
        for name, value in dimensions.items():
            metrics.add_dimension(name, value)
        for name, count in counts.items():
            metrics.add_metric(name, MetricUnit.Count, count)
        metrics.flush_metrics()
