"""What an operator requests: the input of an execution.

Parsed by the plan step and embedded in the plan. docs/reference/input.md and the JSON Schema in docs/reference are
generated from these models.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StrictBool

from redrive.domain.errors import RejectedError
from redrive.domain.model import Model
from redrive.domain.plan.input_errors import parsed
from redrive.domain.rules.repair import Repair
from redrive.domain.rules.selection import Selection

# Strict, so that "50" or true is refused instead of being converted to a number.
type Rate = Annotated[float, Field(strict=True, ge=0.1, le=10_000, allow_inf_nan=False)]
type Count = Annotated[int, Field(strict=True, ge=1)]
# One line that isn't blank: a reason is shown in tables, and by terminals.
_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
MAX_BECAUSE = 500
MAX_STARTED_BY = 200


class OnInvalid(StrEnum):
    """What happens to a message that breaks its contract."""

    QUARANTINE = "quarantine"
    LEAVE = "leave"


class TraceHeader(StrEnum):
    """What happens to a message's X-Ray trace header on its way to a queue."""

    KEEP = "keep"
    FRESH = "fresh"


class RedriveRequest(Model):
    """The input of an execution."""

    dlq: Annotated[str, Field(min_length=1, description="The dead-letter queue: its name, ARN, or URL.")]
    destination: Annotated[
        str | None,
        Field(
            min_length=1,
            description="A queue (name, ARN, or URL) that all messages go to. Without it, each message goes back "
            "to the queue it came from.",
        ),
    ] = None
    dry_run: Annotated[StrictBool, Field(description="Sample the queue and report, but move nothing.")] = False
    rate: Annotated[
        Rate,
        Field(description="Messages redriven per second, over all lanes. What goes into quarantine isn't limited."),
    ] = 50
    max_messages: Annotated[
        Count | None,
        Field(description="Take at most this many messages out of the queue (redriven or quarantined)."),
    ] = None
    sample_size: Annotated[
        int, Field(strict=True, ge=1, le=1000, description="Messages to peek at before anything moves.")
    ] = 10
    full_scan: Annotated[
        StrictBool,
        Field(
            description="Peek at every message instead of a sample, up to the number that SQS lets be in flight, "
            "and make them visible again."
        ),
    ] = False
    select: Annotated[
        Selection | None,
        Field(description="Which messages the run applies to; the others stay where they are."),
    ] = None
    repair: Annotated[Repair | None, Field(description="How messages are repaired before they are judged.")] = None
    on_invalid: Annotated[
        OnInvalid,
        Field(
            description="What to do with messages that break their contract: `quarantine` them, or `leave` them "
            "where they are."
        ),
    ] = OnInvalid.QUARANTINE
    max_redrives: Annotated[
        Count, Field(description="A message that has been redriven this many times is quarantined.")
    ] = 3
    trace_header: Annotated[
        TraceHeader,
        Field(
            description="`keep` the X-Ray trace header of messages for queues, or send them without one: then "
            "their consumers begin a `fresh` trace, and Lambda's recursive-loop detection counts from zero."
        ),
    ] = TraceHeader.KEEP
    trusted_destinations: Annotated[
        tuple[
            Annotated[
                str,
                Field(
                    pattern=r"^arn:[a-z-]+:(sqs|lambda|states):[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.:$-]+$", max_length=300
                ),
            ],
            ...,
        ],
        Field(
            max_length=100,
            description="ARNs of queues, functions, and state machines that messages may go to because their envelope "
            "says so. Without it, the configuration of what failed must name the dead-letter queue.",
        ),
    ] = ()
    allow_nested_dlq: Annotated[
        StrictBool,
        Field(
            description="Continue even if the queue has a redrive policy of its own, so that reading it can push "
            "messages out of it."
        ),
    ] = False
    because: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_BECAUSE,
            pattern=_LINE,
            description="Why you start the run, such as a ticket's number. Kept with the run. Required if the "
            "deployment has `RequireReason` and the run moves messages.",
        ),
    ] = None
    started_by: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_STARTED_BY,
            pattern=_LINE,
            description="Who starts the run. Kept with the run as a claim; AWS CloudTrail knows who it was.",
        ),
    ] = None


def parse_request(given: Any) -> RedriveRequest:
    """Return the input of an execution, parsed.

    Raises
    ------
    RejectedError
        Names each key that is wrong and what was expected.
    """
    return parsed(RedriveRequest, given)


def valid_request(given: Any) -> Mapping[str, Any] | None:
    """Return an input as it came; None if it's invalid, because then it can contain anything."""
    try:
        parse_request(given)
    except (RejectedError, RecursionError):
        return None
    valid: Mapping[str, Any] = given
    return valid


def check_reason(request: RedriveRequest) -> None:
    """Let no run move messages that doesn't say why.

    Raises
    ------
    RejectedError
        If it doesn't.
    """
    if request.because is None and not request.dry_run:
        raise RejectedError(
            "The input is invalid. because: expected the reason for this run, since this deployment has RequireReason, "
            'found none. Add one, such as {"because": "INC-42: the tax service is back"}. Only dry runs need none.'
        )
