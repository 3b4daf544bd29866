"""Processes a batch of a queue record by record, and counts what it came to: names and numbers only.

SQS-triggered consumers call it from their handler; docs/monitoring.md lists the metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.utilities.batch import BasePartialBatchProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

NAMESPACE = "QueueConsumers"

logger = Logger()


def process_batch(
    event: dict[str, Any],
    context: LambdaContext,
    processor: BasePartialBatchProcessor,
    process: Callable[[SQSRecord], object],
) -> dict[str, Any]:
    """Return the items of a batch that have to be tried again, for the event source mapping.

    Its records are counted as `Processed` or `Failed`, by queue. A record that is tried again counts again.

    Parameters
    ----------
    event : dict[str, Any]
        What Lambda hands to an SQS-triggered function.
    context : LambdaContext
        Of the invocation.
    processor : BasePartialBatchProcessor
        Powertools' processor for the kind of queue.
    process : Callable[[SQSRecord], object]
        Processes one record; what it raises makes the record fail.

    Raises
    ------
    BatchProcessingError
        Where all records failed and the processor makes an error of that.
    """
    records = event["Records"]
    failed = len(records)
    try:
        answer = process_partial_response(
            event=event, record_handler=process, processor=processor, context=context
        )
        failed = len(answer["batchItemFailures"])
    finally:
        logger.info("batch done", records=len(records), failed=failed)
        queue = records[0]["eventSourceARN"].rsplit(":", 1)[-1]
        _publish(queue, processed=len(records) - failed, failed=failed)
    return dict(answer)


def _publish(queue: str, *, processed: int, failed: int) -> None:
    # Without a service dimension, which Powertools would add: the metrics of a queue are found by its name.
    metrics = EphemeralMetrics(namespace=NAMESPACE, service="")
    metrics.add_dimension("queue", queue)
    metrics.add_metric("Processed", MetricUnit.Count, processed)
    metrics.add_metric("Failed", MetricUnit.Count, failed)
    metrics.flush_metrics()
