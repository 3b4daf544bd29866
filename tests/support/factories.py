"""Makes messages, messages, plans and store events for tests; each takes only what the test is about."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from redrive.domain.errors import LogMessageError
from redrive.domain.judging.authority import Authority, Claim, Confirm
from redrive.domain.judging.judge import FindContract, Judge
from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.message import MAX_BYTES, ReceivedMessage
from redrive.domain.messages.queues import QueueRef
from redrive.domain.moving.results import Counts, LaneWork, SliceResult
from redrive.domain.plan.directories import QueueFacts
from redrive.domain.plan.rates import MaxRate
from redrive.domain.plan.request import RedriveRequest
from redrive.domain.plan.run_plan import FORMAT, Execution, RunPlan
from redrive.domain.runs.tally import Tally

STARTED_AT = 1_760_000_000_000
_numbers = itertools.count(1)


def queue(name: str = "orders", max_bytes: int = MAX_BYTES) -> QueueRef:
    return QueueRef(
        name=name,
        arn=f"arn:aws:sqs:us-east-1:123456789012:{name}",
        url=f"https://sqs.us-east-1.amazonaws.com/123456789012/{name}",
        fifo=name.endswith(".fifo"),
        max_bytes=max_bytes,
    )


def request(**changes: Any) -> RedriveRequest:
    return RedriveRequest(**({"dlq": "orders-dlq"} | changes))


def plan(**changes: Any) -> RunPlan:
    """Return a plan; keys of the request and of the plan are given side by side."""
    keys = (RedriveRequest.model_fields.keys() - RunPlan.model_fields.keys()) & changes.keys()
    requested = {key: changes.pop(key) for key in keys}
    requested["rate"] = changes.pop("requested_rate", changes.get("rate", 50))
    if (max_rate := changes.pop("max_rate", None)) is not None:
        changes["max_rates"] = (limit(max_rate, changes.get("rate", max_rate)),)
    values: dict[str, Any] = {
        "format": FORMAT,
        "run_id": "run-1",
        "execution_arn": "arn:aws:states:us-east-1:123456789012:execution:redrive:run-1",
        "started_at": STARTED_AT,
        "request": request(**requested),
        "dlq": queue("orders-dlq"),
        "sources": (queue(),),
        "destination": None,
        "quarantine": queue("quarantine"),
        "rate": 50,
        "retention": 1_209_600,
        "waiting": 100,
    }
    return RunPlan(**(values | changes))


def limit(max_rate: float, share: float, name: str = "orders") -> MaxRate:
    return MaxRate(queue=queue(name), max_rate=max_rate, share=share)


def facts(**changes: Any) -> QueueFacts:
    values: dict[str, Any] = {
        "waiting": 100,
        "in_flight": 0,
        "delayed": 0,
        "retention": 1_209_600,
        "has_redrive_policy": False,
    }
    return QueueFacts(**(values | changes))


def execution(name: str = "run-1") -> Execution:
    return Execution(
        id=f"arn:aws:states:us-east-1:123456789012:execution:redrive:{name}",
        name=name,
        started_at=datetime.fromtimestamp(STARTED_AT / 1000, UTC),
    )


def work(**changes: Any) -> LaneWork:
    values: dict[str, Any] = {"lane": 0, "round": 0, "rate": 50, "quota": None}
    return LaneWork(**(values | changes))


def totals(**values: Any) -> dict[str, Any]:
    """Return fields of Totals: counts by name, and reasons by code, whose sums are counted too."""
    reasons: dict[str, Any] = {
        name: values.pop(name) for name in ("skip_reasons", "quarantine_reasons") if name in values
    }
    counts = {name: values.pop(name) for name in Counts.model_fields.keys() & values.keys()}
    if "skip_reasons" in reasons:
        counts.setdefault("skipped", sum(reasons["skip_reasons"].values()))
        counts.setdefault("bounced", reasons["skip_reasons"].get("came-back", 0))
    return {"counts": Counts(**counts), **reasons, **values}


def slice_result(**values: Any) -> SliceResult:
    return SliceResult(**totals(**values))


def tally(**values: Any) -> Tally:
    return Tally(**totals(**values))


def unlogged(message_id: str, error: str) -> None:
    """Fail a test that didn't expect an error of a message."""
    raise AssertionError(f"{message_id} raised {error}")


#: The unique id of the mover's role.
MOVER = "AROAMOVER"


def confirmed(claim: Claim) -> str:
    """Say that a claim is true."""
    return claim.destination


def authority(
    plan: RunPlan,
    find_queue: Callable[[str], QueueRef | Reason | None] = lambda _: None,
    *,
    arns: Iterable[str] = (),
    confirm: Confirm = confirmed,
) -> Authority:
    """Return what says where a run's messages go; claims are true, and `arns` can be delivered to besides queues."""
    return Authority(plan, find_queue, DeliveryPolicy(frozenset(arns)), confirm)


def judge(
    plan: RunPlan,
    find_contract: FindContract = lambda _: None,
    where: Authority | None = None,
    log_error: LogMessageError = unlogged,
) -> Judge:
    """Return the judge of a run whose queues have no contracts unless `find_contract` finds one."""
    return Judge(plan, find_contract, where or authority(plan), frozenset({MOVER}), log_error)


def string(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


def message(
    body: str = "hello",
    *,
    message_id: str | None = None,
    attributes: dict[str, dict[str, Any]] | None = None,
    system: dict[str, str] | None = None,
    sent_at: int = STARTED_AT - 60_000,
    source: str | None = "orders",
    sender: str = "AROAPRODUCER",
) -> dict[str, Any]:
    """Return a message as ReceiveMessage returns it."""
    number = next(_numbers)
    values = {"SentTimestamp": str(sent_at), "ApproximateReceiveCount": "1", "SenderId": f"{sender}:session"}
    if source is not None:
        values["DeadLetterQueueSourceArn"] = queue(source).arn
    answer: dict[str, Any] = {
        "MessageId": message_id or f"00000000-0000-4000-8000-{number:012}",
        "ReceiptHandle": f"handle-{number}",
        "Body": body,
        "Attributes": values | (system or {}),
    }
    if attributes:
        answer["MessageAttributes"] = attributes
    return answer


def received(body: str = "hello", **values: Any) -> ReceivedMessage:
    return ReceivedMessage.from_sqs(message(body, **values))


def store_event(**changes: Any) -> str:
    values = {
        "event_id": "event-1",
        "name": "Shifter",
        "dob": "1945-10-17",
        "gender": "F",
        "ssn_no": "396144610",
        "data_share_consent": False,
        "evnt_time": "2021-02-06T18:56:59.165483",
    }
    return json.dumps(values | changes)


def store_id(value: str = "3") -> dict[str, dict[str, Any]]:
    return {"store_id": {"DataType": "Number", "StringValue": value}}
