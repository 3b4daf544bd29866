"""Processes an SQS batch record by record and counts the results.

Called by the handlers of SQS-triggered consumers; docs/reference/metrics.md lists the metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.utilities.batch import BasePartialBatchProcessor, process_partial_response
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from redrive.contracts.contract import ContractViolationError
from redrive.domain.errors import guarded

NAMESPACE = "QueueConsumers"

logger = Logger()


@guarded(BatchProcessingError)
def process_batch(
    event: dict[str, Any],
    context: LambdaContext,
    processor: BasePartialBatchProcessor,
    process: Callable[[SQSRecord], object],
    *errors: type[Exception],
) -> dict[str, Any]:
    """Return the batch items to retry, as a Lambda event source mapping expects them.

    Counts each record as `Processed` or `Failed`, by queue. A retried record counts again.

    Parameters
    ----------
    event : dict[str, Any]
        The event of an SQS-triggered function.
    context : LambdaContext
        The invocation's context.
    processor : BasePartialBatchProcessor
        The Powertools processor for the type of queue.
    process : Callable[[SQSRecord], object]
        Processes one record; the record fails if this raises an exception.
    errors : type[Exception]
        Exceptions whose texts may be logged, because they never quote a message. Of others, only the type is.

    Raises
    ------
    BatchProcessingError
        If all records failed and the processor treats that as an error.
    """
    records = event["Records"]
    failed = len(records)
    # If all records fail, the error that Powertools raises has the texts of all of theirs.
    handle = guarded(ContractViolationError, *errors)(process)
    try:
        response = process_partial_response(event=event, record_handler=handle, processor=processor, context=context)
        failed = len(response["batchItemFailures"])
    finally:
        logger.info("batch done", records=len(records), failed=failed)
        queue = records[0]["eventSourceARN"].rsplit(":", 1)[-1]
        _publish(queue, processed=len(records) - failed, failed=failed)
    return dict(response)


def _publish(queue: str, *, processed: int, failed: int) -> None:
    # No service dimension, which Powertools would add by default: the queue's name identifies its metrics.
    metrics = EphemeralMetrics(namespace=NAMESPACE, service="")
    metrics.add_dimension("queue", queue)
    metrics.add_metric("Processed", MetricUnit.Count, processed)
    metrics.add_metric("Failed", MetricUnit.Count, failed)
    metrics.flush_metrics()
