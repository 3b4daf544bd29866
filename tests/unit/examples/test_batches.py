"""Batches of a consumer: what goes wrong with a record is in no error text, unless its author said that it may be."""

import traceback
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from botocore.exceptions import ParamValidationError

from examples.batches import process_batch
from redrive.domain.errors import UnexpectedError

MARK = "zq7319"
ARN = "arn:aws:sqs:us-east-1:123456789012:orders"


class OutageError(Exception):
    """An error of the consumer."""


def failing_with(error: Exception, *own: type[Exception]) -> str:
    """Return all that the error of a batch says of which every record failed."""
    records = [{"messageId": "m-1", "body": MARK, "eventSource": "aws:sqs", "eventSourceARN": ARN}]

    def process(record: Any) -> None:  # noqa: ARG001
        try:
            raise LookupError(MARK)
        except LookupError:
            raise error  # noqa: B904

    with pytest.raises(BatchProcessingError) as caught:
        process_batch({"Records": records}, SimpleNamespace(), BatchProcessor(EventType.SQS), process, *own)
    return str(caught.value) + "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("error", [KeyError(MARK), ValueError(f"no {MARK}"), ParamValidationError(report=MARK)])
def test_of_a_foreign_error_only_the_type_is_in_the_error_of_the_batch(error):
    text = failing_with(error)
    assert f"found {type(error).__name__}" in text
    assert UnexpectedError.__name__ in text
    assert MARK not in text


def test_an_error_of_the_consumer_keeps_its_text_but_not_what_it_was_raised_for():
    text = failing_with(OutageError("the back office of store 3 does not respond"), OutageError)
    assert "OutageError: the back office of store 3 does not respond" in text
    assert MARK not in text


def test_a_batch_that_cannot_be_read_is_not_quoted():
    with pytest.raises(UnexpectedError, match="found KeyError at") as caught:
        process_batch({MARK: MARK}, SimpleNamespace(), BatchProcessor(EventType.SQS), print)
    assert MARK not in "".join(traceback.format_exception(caught.value))
