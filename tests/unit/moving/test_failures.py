"""What a report says if a lane can't continue: what was tried, what the service answered, what to do."""

import re

import pytest

from redrive.domain.messages.destinations import queue
from redrive.domain.moving.actions import ApiError, Delete, ErrorKind, Receive, Send
from redrive.domain.moving.failures import explain
from redrive.domain.moving.rate_limiter import Departure
from tests.support import factories

GONE = ApiError("QueueDoesNotExist", ErrorKind.GONE)


@pytest.mark.parametrize(
    ("action", "error", "text"),
    [
        (
            Send(queue(factories.queue("orders")), [], Departure(0, 0.0)),
            GONE,
            r"^orders doesn't accept messages anymore \(QueueDoesNotExist\)\. What wasn't moved is still in orders-dlq",
        ),
        (
            Receive(10, 0.0, True),
            GONE,
            r"^orders-dlq can't be read or emptied anymore \(QueueDoesNotExist\)\. Check that it exists",
        ),
        (
            Send(queue(factories.queue("orders")), [], Departure(0, 0.0)),
            ApiError("KMS.AccessDeniedException", ErrorKind.GONE),
            r"^orders doesn't accept .*encrypts orders\. .*and mover kms:Decrypt and kms:GenerateDataKey\. Then start",
        ),
        (
            Receive(10, 0.0, True),
            ApiError("KmsDisabled", ErrorKind.GONE),
            r"^orders-dlq can't be read anymore \(KmsDisabled\)\. .*encrypts orders-dlq\. Make sure that the key is",
        ),
        (Delete([], []), GONE, r"^orders-dlq can't be read or emptied anymore"),
        (
            Receive(10, 0.0, True),
            ApiError("OverLimit", ErrorKind.LIMIT),
            r"no more messages of orders-dlq \(OverLimit\): 120,000.*maxMessages",
        ),
    ],
)
def test_the_text_names_the_queue_the_code_and_what_to_do(action, error, text):
    assert re.search(text, explain(factories.plan(), action, error))
