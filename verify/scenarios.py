"""The scenarios: each sends messages of its own, lets the deployed redrive act on them, and balances the ledger.

The runner plays them on a stack, and the end-to-end tests on the embedded cloud. Each returns what it has shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from verify import function_failures
from verify.cost import Amounts
from verify.errors import MismatchError
from verify.stage import Entry, Report, Stage, require, require_counts

_TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
# docs/design/moving.md, "Limits".
_MOST_BYTES = 1_048_576
_MOST_ATTRIBUTES = 10
_CHUNK_BYTES = 65_536
_EVERY_KIND = {
    "text": {"DataType": "String", "StringValue": "grüße"},
    "number": {"DataType": "Number", "StringValue": "3.0"},
    "custom": {"DataType": "Number.int", "StringValue": "42"},
    "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
}

# What makes the record of a failure one that can't be redriven.
_SPOILED: tuple[Callable[[Entry], Any], ...] = (
    lambda record: record["requestContext"].pop("condition"),
    lambda record: record.pop("requestPayload"),
    lambda record: record["requestContext"].update(condition="Success"),
)


@dataclass(frozen=True)
class Scenario:
    """One part of what a deployment promises."""

    name: str
    play: Callable[[Stage], str]
    amounts: Amounts
    #: Returns why it can't be played on a stack, and how to enable it, or None.
    obstacle: Callable[[Stage], str | None] = lambda _: None


def valid(stage: Stage) -> str:
    """Valid messages go back as they were, and an empty queue is a success."""
    pair = stage.pair()
    stage.bury(pair, messages := stage.messages(24, lambda key, number: f'not JSON, {key}, {number} "ü"'))
    report = stage.redrive(pair.dlq)
    require_counts(report, "SUCCEEDED", seen=24, redriven=24, quarantined=0, skipped=0, failed=0, remaining=0)
    stage.ledger.expect(pair.source.name, messages)
    empty = stage.redrive(pair.dlq)
    require_counts(empty, "SUCCEEDED", seen=0, redriven=0, remaining=0)
    stage.balance(pair.source, pair.dlq)
    return "24 messages back in their queue, byte for byte"


def attributes(stage: Stage) -> str:
    """Attributes of every type, the trace header, and the message group survive; so do messages at SQS's limits."""
    pair = stage.pair()
    traced = {"AWSTraceHeader": {"DataType": "String", "StringValue": _TRACE}}
    kept = [
        message | {"MessageGroupId": f"tenant-{number}"}
        for number, message in enumerate(
            stage.messages(9, MessageAttributes=_EVERY_KIND, MessageSystemAttributes=traced)
        )
    ]
    ten = {f"attribute-{number}": {"DataType": "String", "StringValue": "x"} for number in range(_MOST_ATTRIBUTES)}
    full = stage.messages(1, MessageAttributes=ten)
    large = stage.messages(1, lambda key, _: key + "x" * (_MOST_BYTES - len(key)))
    stage.bury(pair, everything := [*kept, *full, *large])
    require_counts(stage.redrive(pair.dlq), "SUCCEEDED", redriven=11, remaining=0)
    stage.ledger.expect(pair.source.name, everything)
    stage.balance(pair.source, pair.dlq)
    return "attributes of four types, trace header, message group, ten attributes, 1 MiB"


def invalid(stage: Stage) -> str:
    """Records that say nothing of what failed stay, each with its reason, and valid messages go."""
    dlq, destination = stage.queue("dlq"), stage.queue("destination")
    broken = [_spoiled(stage, spoil) for spoil in _SPOILED]
    fine = stage.messages(5, lambda key, _: json.dumps({"key": key}))
    reasons = {"no-payload": 1, "succeeded": 1, "unreadable-record": 1}
    stage.send(dlq, [*broken, *fine])
    stage.until_depth(dlq, 8)
    looked = stage.redrive(dlq, destination=destination.name, dryRun=True, fullScan=True)
    require_counts(looked, "DRY_RUN", redriven=0, quarantined=0)
    require("what a dry run would quarantine", looked["sample"]["quarantined"], reasons, looked)
    report = stage.redrive(dlq, destination=destination.name, onInvalid="leave")
    require_counts(report, "SUCCEEDED", redriven=5, quarantined=0, skipped=3)
    require("the reasons", report["skipReasons"], reasons, report)
    stage.ledger.expect(destination.name, fine)
    stage.balance(destination, dlq)
    return "3 records left with their reasons, 5 messages redriven"


def forged(stage: Stage) -> str:
    """What a message says of its origin counts for nothing unless AWS's configuration confirms it."""
    dlq, target = stage.queue("dlq"), stage.queue("target")
    nobodys = stage.stack.function_arn(f"{stage.owned.prefix}-nobody")
    claims = stage.messages(1, lambda key, _: _record(stage, key, lambda record: record, function=nobodys))
    rule = {
        "RULE_ARN": nobodys.partition(":lambda:")[0] + f":events:{stage.stack.region}:{stage.stack.account}:rule/none",
        "TARGET_ARN": target.arn,
    }
    event = {name: {"DataType": "String", "StringValue": value} for name, value in rule.items()}
    claims += stage.messages(1, lambda key, _: json.dumps({"detail": key}), MessageAttributes=event)
    stage.send(dlq, claims)
    stage.until_depth(dlq, 2)
    report = stage.redrive(dlq)
    require_counts(report, "INCOMPLETE", redriven=0, skipped=2)
    reasons = {"destination-not-allowed": 1, "destination-not-confirmed": 1}
    require("the reasons", report["skipReasons"], reasons, report)
    stage.balance(dlq, target)
    return "a forged record and a forged event went nowhere"


def shared_dlq(stage: Stage) -> str:
    """In a shared dead-letter queue, each message goes to its own queue, and one of unknown origin stays."""
    one = stage.pair("one")
    other = stage.pair("other", dlq=one.dlq)
    elsewhere = stage.queue("elsewhere")
    stage.bury(one, ones := stage.messages(4))
    stage.bury(other, others := stage.messages(6))
    stage.send(one.dlq, unknown := stage.messages(1))
    stage.until_depth(one.dlq, 11)
    report = stage.redrive(one.dlq)
    require_counts(report, "INCOMPLETE", redriven=10, skipped=1, remaining=1)
    require("the reasons", report["skipReasons"], {"no-destination": 1}, report)
    named = stage.redrive(one.dlq, destination=elsewhere.url)
    require_counts(named, "SUCCEEDED", redriven=1, remaining=0)
    for queue, messages in ((one.source, ones), (other.source, others), (elsewhere, unknown)):
        stage.ledger.expect(queue.name, messages)
    stage.balance(one.source, other.source, elsewhere, one.dlq)
    return "10 messages to two queues, one of unknown origin to the destination of a second run"


def fifo(stage: Stage) -> str:
    """The order in each message group is kept."""
    pair = stage.pair(fifo=True)
    messages = [
        message | {"MessageGroupId": str(number % 3), "MessageDeduplicationId": f"id-{number}"}
        for number, message in enumerate(stage.messages(24))
    ]
    stage.send(pair.dlq, messages)
    stage.until_depth(pair.dlq, 24)
    require_counts(stage.redrive(pair.dlq, rate=200), "SUCCEEDED", redriven=24, remaining=0)
    stage.ledger.expect(pair.source.name, messages)
    stage.balance(pair.source, pair.dlq)
    return "24 messages of 3 groups, in order"


def dry_run(stage: Stage) -> str:
    """A dry run says what a run would do, and moves nothing."""
    pair = stage.pair()
    stage.bury(pair, stage.messages(15))
    report = stage.redrive(pair.dlq, dryRun=True)
    require_counts(report, "DRY_RUN", sampled=10, redriven=0, quarantined=0, remaining=15)
    groups = [(group["verdict"], group["destination"]) for group in report["sample"]["groups"]]
    require("what would happen", groups, [("redrivable", pair.source.name)], report)
    stage.balance(pair.source, pair.dlq)
    return "15 messages sampled and left in their place"


def stopping(stage: Stage) -> str:
    """A second run is refused; the first can be stopped, loses nothing, and another goes on where it ended."""
    pair, count = stage.pair(), 60
    stage.bury(pair, messages := stage.messages(count))
    # Slow enough that it isn't done before the counts of SQS say that it moves.
    first = stage.start({"dlq": pair.dlq.name, "rate": 1})
    stage.until(lambda: stage.depth(pair.source.url) > 0, "messages to move")
    second = stage.redrive(pair.dlq)
    require("the second run", second["status"], "REJECTED", second)
    if first not in second["reason"]:
        raise MismatchError("Expected the reason of the second run to name the first; it doesn't.")
    require("what the stop function answers", stage.stop_run(pair.dlq.name).get("runId"), first.rsplit(":", 1)[1])
    stopped = stage.ended(first)
    redriven = stopped["counts"]["redriven"]
    require_counts(stopped, "STOPPED", remaining=count - redriven)
    if not 0 < redriven < count:
        raise MismatchError(f"Expected the stopped run to have redriven some of {count} messages, found {redriven}.")
    third = stage.redrive(pair.dlq, rate=500)
    require_counts(third, "SUCCEEDED", redriven=count - redriven, remaining=0)
    stage.ledger.expect(pair.source.name, messages)
    stage.balance(pair.source, pair.dlq)
    return f"stopped after {redriven} of {count} messages; the next run redrove the rest"


def refusals(stage: Stage) -> str:
    """What can't be right is refused with a reason before anything moves."""
    pair = stage.pair()
    ordered = stage.pair("ordered", fifo=True, dlq=stage.queue("ordered-dlq", fifo=True))
    policy = json.dumps({"deadLetterTargetArn": pair.dlq.arn, "maxReceiveCount": 5})
    standard = stage.queue("standard")
    nested = stage.pair("nested-source", dlq=stage.queue("nested", RedrivePolicy=policy))
    stage.bury(pair, stage.messages(2))
    stage.send(standard, stage.messages(2))
    stage.until_depth(standard, 2)
    missing = f"{stage.owned.prefix}-{stage.owned.run_id}-no-such-queue"
    cases: list[tuple[Any, str]] = [
        ({"dlq": missing}, f"there is no queue {missing}"),
        ({"dlq": pair.dlq.name, "rate": 0}, "rate: expected a number from 0.1 to 10000, found 0"),
        ({"dlq": pair.dlq.name, "dry_run": True}, "dry_run: unknown key; did you mean dryRun?"),
        ({"dlq": pair.source.name}, f"is a source queue; its dead-letter queue is {pair.dlq.name}"),
        ({"dlq": standard.name}, "is not the dead-letter queue of any queue"),
        ({"dlq": ordered.dlq.name, "destination": standard.name}, "is a FIFO queue, but the destination"),
        ({"dlq": nested.dlq.name}, "allowNestedDlq"),
    ]
    for run_input, reason in cases:
        report = stage.redrive(run_input.pop("dlq"), **run_input)
        require(f"a run that expects '{reason}'", report["status"], "REJECTED", report)
        if reason not in report["reason"]:
            raise MismatchError(f"Expected the reason to contain '{reason}', found: {report['reason']}")
    stage.balance(pair.dlq, standard)
    return f"{len(cases)} runs refused, nothing moved"


def quarantine_and_back(stage: Stage) -> str:
    """What failed too often goes to the quarantine, and from there to where it came from."""
    pair, quarantine = stage.pair(), stage.stack.outputs["QuarantineQueueUrl"]
    stage.bury(pair, messages := stage.messages(3))
    require_counts(stage.redrive(pair.dlq), "SUCCEEDED", redriven=3)
    stage.let_die(pair, 3)

    def rescue() -> None:
        # A run is the only way out of the quarantine that touches nothing of others.
        queue = stage.queue("rescue")
        select = {"source": [pair.source.name]}
        report = stage.redrive(quarantine, select=select, destination=queue.name, maxRedrives=1000)
        if report["status"] not in {"SUCCEEDED", "INCOMPLETE"}:
            raise MismatchError(f"Up to 3 messages are left in the quarantine. The run's reason: {report['reason']}")

    stage.if_not_passed = rescue
    report = stage.redrive(pair.dlq, maxRedrives=1)
    require_counts(report, "SUCCEEDED", redriven=0, quarantined=3, remaining=0)
    require("the reasons", report["quarantineReasons"], {"redriven-too-often": 3}, report)
    stage.until(lambda: stage.depth(quarantine) >= 3, "3 messages in the quarantine")
    back = stage.redrive(quarantine, select={"source": [pair.source.name]}, maxRedrives=3)
    require("the messages that came back", back["counts"]["redriven"], 3, back)
    stage.ledger.expect(pair.source.name, messages)
    stage.balance(pair.source, pair.dlq)
    return "3 messages to the quarantine and back to their queue"


def _quarantine_obstacle(stage: Stage) -> str | None:
    count = stage.depth(stage.stack.outputs["QuarantineQueueUrl"])
    if not count:
        return None
    return (
        f"the quarantine isn't empty (about {count} messages, which aren't touched). To enable it, redrive or remove "
        "them first (docs/guides/redrive.md, 'Quarantine, and back')"
    )


def _spoiled(stage: Stage, spoil: Callable[[Entry], Any]) -> Entry:
    (message,) = stage.messages(1, lambda key, _: _record(stage, key, spoil))
    return message


def _record(stage: Stage, key: str, change: Callable[[Entry], Any], function: str | None = None) -> str:
    """Return the body of a record as Lambda writes it for an on-failure destination, changed."""
    record: Report = {
        "version": "1.0",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "requestContext": {
            "requestId": "cd50c989-9a89-5128-aee3-30c7c7496bd9",
            "functionArn": function or stage.stack.function_arn(f"{stage.owned.prefix}-nobody"),
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"key": key},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": key, "errorType": "DownError"},
    }
    change(record)
    return json.dumps(record)


SCENARIOS = (
    Scenario("valid", valid, Amounts(queues=2, redriven_queues=1, messages=24, runs=2)),
    Scenario(
        "attributes",
        attributes,
        Amounts(queues=2, redriven_queues=1, messages=11, runs=1, extra_chunks=_MOST_BYTES // _CHUNK_BYTES),
    ),
    Scenario("invalid", invalid, Amounts(queues=2, redriven_queues=1, messages=8, runs=2)),
    Scenario("forged", forged, Amounts(queues=2, redriven_queues=1, messages=2, runs=1)),
    Scenario("shared-dlq", shared_dlq, Amounts(queues=4, redriven_queues=1, messages=11, runs=2)),
    Scenario("fifo", fifo, Amounts(queues=2, redriven_queues=1, messages=24, runs=1)),
    Scenario("dry-run", dry_run, Amounts(queues=2, redriven_queues=1, messages=15, runs=1)),
    Scenario("stop", stopping, Amounts(queues=2, redriven_queues=1, messages=60, runs=3)),
    # A refused run has no metrics but that it ended.
    Scenario("refusals", refusals, Amounts(queues=7, messages=4, runs=7)),
    Scenario(
        "function-failures",
        function_failures.play,
        Amounts(queues=2, redriven_queues=1, messages=6, runs=1),
        function_failures.obstacle,
    ),
    Scenario(
        "quarantine-and-back",
        quarantine_and_back,
        Amounts(queues=3, redriven_queues=2, messages=3, runs=5),
        _quarantine_obstacle,
    ),
)
