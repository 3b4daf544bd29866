"""What an operator is told when a lane cannot go on: what was tried, what SQS said, what to do."""

import re

import pytest

from redrive.domain.destinations import queue
from redrive.domain.failures import explain
from redrive.domain.lane import Delete, Failure, Receive, Send, Trouble
from tests.support import factories

GONE = Failure("QueueDoesNotExist", Trouble.GONE)


@pytest.mark.parametrize(
    ("action", "failure", "told"),
    [
        (
            Send(queue(factories.queue("orders")), []),
            GONE,
            r"^orders does not take letters any more \(QueueDoesNotExist\)\. What was not moved is in",
        ),
        (
            Receive(10, 0.0, True),
            GONE,
            r"^orders-dlq cannot be read or emptied any more \(QueueDoesNotExist\)",
        ),
        (Delete([], []), GONE, r"^orders-dlq cannot be read or emptied any more"),
        (
            Receive(10, 0.0, True),
            Failure("OverLimit", Trouble.LIMIT),
            r"no more letters of orders-dlq \(OverLimit\): 120,000.*maxMessages",
        ),
    ],
)
def test_the_text_names_the_queue_the_code_and_the_way_out(action, failure, told):
    assert re.search(told, explain(factories.plan(), action, failure))
