"""Makes SQS event source mappings of ministack treat batches and partial batch responses as AWS Lambda does.

``local.ministack_compat.apply`` calls :func:`apply`.
"""

from __future__ import annotations

import json
import time
from typing import Any

from ministack.services import lambda_svc

from local import call_recorder
from local.ministack_compat import fit, recursion
from local.ministack_compat.message_store import Message
from local.ministack_compat.sqs import delete_for_lambda

_upstream_concurrency = lambda_svc._sqs_esm_concurrency


class InvalidBatchResponseError(ValueError):
    """The function's answer isn't a partial batch response, so the whole batch has failed."""


def apply() -> None:
    """Put the patches of this module in place."""
    fit.replace(
        lambda_svc,
        _run_sqs_batch=run_batch,
        _sqs_message_attributes_to_camel_case=as_record_attributes,
        _sqs_esm_concurrency=concurrency,
    )


def concurrency(mapping: dict[str, Any], function: dict[str, Any], config: dict[str, Any], _queue: Any = None) -> int:
    """Return how many batches of a mapping may be with the function at the same time.

    The same for a FIFO queue as for a standard one: AWS Lambda Developer Guide, "Configuring scaling behavior for SQS
    event source mappings": "For FIFO queues, concurrent invocations are capped either by the number of message group
    IDs or the maximum concurrency setting". ministack allows one. The order is safe, since
    :class:`local.ministack_compat.message_store.MessageStore` hands out nothing of a group in flight.
    """
    allowed: int = _upstream_concurrency(mapping, function, config)
    return allowed


def as_record_attributes(attributes: dict[str, Any] | None) -> dict[str, Any]:
    """Return message attributes in the form of a Lambda record, with the two empty lists that AWS adds."""
    return {
        name: {
            **{key[:1].lower() + key[1:]: value for key, value in attribute.items()},
            "stringListValues": [],
            "binaryListValues": [],
        }
        for name, attribute in (attributes or {}).items()
    }


def run_batch(
    mapping: dict[str, Any],
    function: dict[str, Any],
    event: dict[str, Any],
    batch: list[Message],
    queue_url: str,
    _queue_name: str,
) -> None:
    """Invoke the function with a batch and delete what it has processed."""
    name = mapping["FunctionArn"].split(":function:")[1].split(":")[0]
    call_recorder.record({"function": name}, "event-source-mapping", "Poll", {"QueueUrl": queue_url})
    offered = {record["messageId"] for record in event["Records"]}
    by_id = {message["id"]: message for message in batch}
    for record in event["Records"]:
        source = by_id[record["messageId"]].get("sys", {}).get("DeadLetterQueueSourceArn")
        if source:
            record["attributes"]["DeadLetterQueueSourceArn"] = source
    # "If a message doesn't match the filter criteria, Lambda deletes it", whatever becomes of the rest of its batch
    # (AWS Lambda Developer Guide, "Using event filtering with an Amazon SQS event source").
    _delete(queue_url, [message for message in batch if message["id"] not in offered])
    batch = [message for message in batch if message["id"] in offered]

    arn = function["config"]["FunctionArn"]
    looped = recursion.begin(arn, event["Records"])
    error = {"error": True, "body": {"errorType": "RecursiveInvocationException"}}
    outcome = error if looped else lambda_svc._execute_function(function, event)
    if outcome.get("error"):
        mapping["LastProcessingResult"] = "FAILED"
        lambda_svc.logger.info("%s failed with a batch: %s", mapping.get("FunctionArn"), outcome.get("body"))
        # The messages stay hidden for their visibility timeout; the pause keeps a broken function from spinning.
        lambda_svc._esm_backoff_until[mapping["UUID"]] = time.time() + lambda_svc._ESM_BACKOFF_SECONDS
        return
    lambda_svc._esm_backoff_until.pop(mapping["UUID"], None)
    failed: set[str] = set()
    if "ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or []):
        try:
            failed = failed_items(outcome.get("body"), offered)
        except InvalidBatchResponseError as error:
            failed = offered
            lambda_svc.logger.info("%s: %s", mapping.get("FunctionArn"), error)
    _delete(queue_url, [message for message in batch if message["id"] not in failed])
    mapping["LastProcessingResult"] = "OK" if not failed else f"OK - {len(failed)} partial failures"


def failed_items(response: Any, offered: set[str]) -> set[str]:
    """Return the ids of the messages that the function reports as failed.

    AWS Lambda Developer Guide, "Implementing partial batch responses" for Amazon SQS: a null or empty response and a
    null or empty list mean success; an invalid response, and an identifier that is missing, empty or none of the batch,
    mean that everything failed. ministack deletes messages in the last cases and fails on null.

    Raises
    ------
    InvalidBatchResponseError
        The whole batch has to be retried.
    """
    if isinstance(response, str):
        try:
            response = json.loads(response)
        except ValueError:
            raise InvalidBatchResponseError("expected a JSON object, found a text") from None
    if response is None:
        return set()
    if not isinstance(response, dict):
        raise InvalidBatchResponseError(f"expected a JSON object, found {type(response).__name__}")
    failures = response.get("batchItemFailures")
    if failures is None:
        return set()
    if not isinstance(failures, list):
        raise InvalidBatchResponseError("expected batchItemFailures to be a list")
    identifiers: list[Any] = [
        failure.get("itemIdentifier") if isinstance(failure, dict) else None for failure in failures
    ]
    unknown = [identifier for identifier in identifiers if identifier not in offered]
    if unknown:
        raise InvalidBatchResponseError(f"expected identifiers of the batch, found {unknown}")
    return set(identifiers)


def _delete(queue_url: str, messages: list[Message]) -> None:
    delete_for_lambda(queue_url, {message["receipt_handle"] for message in messages})
