"""What a verification costs at most: what the scenarios declare, times AWS's prices.

Prices are those of us-east-1 without the free tier, from the pricing pages of each service; other Regions differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Dollars. "Amazon SQS pricing": FIFO queues, which cost more than standard ones; 64 KB of a payload are one request.
_SQS_REQUEST = 0.50e-6
# "AWS Step Functions pricing", standard workflows.
_STATE_TRANSITION = 25e-6
# "AWS Lambda pricing", x86, which costs more than arm64.
_GB_SECOND = 0.0000166667
_INVOCATION = 0.20e-6
# "Amazon DynamoDB pricing", on demand.
_WRITE = 0.625e-6
# "Amazon CloudWatch pricing": a metric costs 0.30 a month, and only for the hours in which it gets values.
_METRIC_HOUR = 0.30 / 730
_LOG_GB = 0.50
# "AWS X-Ray pricing".
_TRACE = 5e-6

# Upper bounds, from the embedded cloud with a margin: see tests/e2e/test_verify.py.
_REQUESTS_PER_MESSAGE = 12
_REQUESTS_PER_QUEUE = 60
_REQUESTS_PER_RUN = 120
_TRANSITIONS_PER_RUN = 25
_INVOCATIONS_PER_RUN = 8
_GB_SECONDS_PER_RUN = 30
_WRITES_PER_RUN = 60
_LOG_GB_PER_RUN = 50e-6
# docs/reference/metrics.md: those with the dimension dlq alone, and RunsEnded for each status.
_METRICS_PER_DLQ = 5


@dataclass(frozen=True)
class Amounts:
    """What a scenario makes and uses, at most."""

    queues: int = 0
    #: Dead-letter queues that a run ends on.
    redriven_queues: int = 0
    messages: int = 0
    runs: int = 0
    #: Pieces of 64 KB above the first one of each message.
    extra_chunks: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            self.queues + other.queues,
            self.redriven_queues + other.redriven_queues,
            self.messages + other.messages,
            self.runs + other.runs,
            self.extra_chunks + other.extra_chunks,
        )


def total(amounts: Iterable[Amounts]) -> Amounts:
    """Add amounts up."""
    return sum(amounts, start=Amounts())


def requests(amounts: Amounts) -> int:
    """Return how many requests SQS charges for at most, those of the redrive included."""
    return (
        (amounts.messages + amounts.extra_chunks) * _REQUESTS_PER_MESSAGE
        + amounts.queues * _REQUESTS_PER_QUEUE
        + amounts.runs * _REQUESTS_PER_RUN
    )


def transitions(amounts: Amounts) -> int:
    """Return how many state transitions the runs take at most."""
    return amounts.runs * _TRANSITIONS_PER_RUN


def dollars(amounts: Amounts) -> dict[str, float]:
    """Return the cost at most, by service."""
    runs = amounts.runs
    metrics = amounts.redriven_queues * _METRICS_PER_DLQ + runs
    return {
        "SQS": requests(amounts) * _SQS_REQUEST,
        "Step Functions": transitions(amounts) * _STATE_TRANSITION,
        "Lambda": runs * (_GB_SECONDS_PER_RUN * _GB_SECOND + _INVOCATIONS_PER_RUN * _INVOCATION),
        "DynamoDB": runs * _WRITES_PER_RUN * _WRITE,
        "CloudWatch": metrics * _METRIC_HOUR + runs * _LOG_GB_PER_RUN * _LOG_GB,
        "X-Ray": runs * _INVOCATIONS_PER_RUN * _TRACE,
    }
