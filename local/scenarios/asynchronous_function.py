"""A function fails on asynchronous events in an outage; after a redrive, each event has taken effect once.

Run by `make scenario NAME=asynchronous-function`: 12 shipment notices, a third of them for a carrier whose
tracking is down; three that break the contract; three records of failures that are in their queue twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from local.stage import Stage

# They are invoked all at once, so each gets its own process.
NOTICES = 12
BAD = 3
TWICE = 3
CARRIERS = ("post", "courier", "pickup")
CARRIER_WITH_OUTAGE = "post"
RATE = 20


def play(stage: Stage) -> bool:
    """Run the scenario; return whether every shipment is accounted for."""
    console = stage.console
    run_name = f"asynchronous-function-{int(time.time())}"
    failures = stage.resource("ShipmentNoticesFailures")

    console.rule("1. An outage")
    stage.put_parameter(stage.resource("ShipmentNoticesOutage"), CARRIER_WITH_OUTAGE)
    good = {f"{run_name}-{number:03}": CARRIERS[number % len(CARRIERS)] for number in range(NOTICES)}
    bad = {f"{run_name}-bad-{number}": "pigeon" for number in range(BAD)}
    for shipment_id, carrier in (good | bad).items():
        _notify(stage, shipment_id, carrier)
    console.print(
        f"{NOTICES} shipment notices sent; tracking at [b]{CARRIER_WITH_OUTAGE}[/b] is down. "
        f"{BAD} more name a carrier that the contract doesn't allow."
    )
    failing = sum(carrier == CARRIER_WITH_OUTAGE for carrier in good.values()) + BAD
    _wait_for_failures(stage, failing)
    _duplicate(stage, TWICE)
    console.print(
        f"{failing} events failed three times each. The queue has {failing + TWICE} records of them, {TWICE} of them "
        "duplicates.\n"
    )

    console.rule("2. The outage ends, the redrive starts")
    stage.put_parameter(stage.resource("ShipmentNoticesOutage"), "none")
    stage.redrive("start", stage.queue_name("ShipmentNoticesFailures"), "--rate", str(RATE), "--yes", "--watch")

    console.rule("3. Where every shipment is now")
    with stage.progress("Waiting for the function"):
        stage.until(
            lambda: len(_entered(stage, run_name)) + stage.depth(failures) >= NOTICES,
            "the function to process the redriven events",
        )
    return stage.reconcile(
        {*good, *bad},
        {
            "in the shipments table": _entered(stage, run_name),
            # A record that was there twice may be of one of these.
            "in quarantine": set(stage.ids_in_queue(stage.resource("QuarantineQueue"), _shipment_id)),
            "in the failure queue": stage.ids_in_queue(failures, _shipment_id),
        },
    )


def _notify(stage: Stage, shipment_id: str, carrier: str) -> None:
    event = {
        "shipment_id": shipment_id,
        "order_id": f"order of {shipment_id}"[:64],
        "carrier": carrier,
        "recipient_name": "Ann Example",
        "shipped_at": "2026-10-08T22:41:00Z",
    }
    stage.cloud.client("lambda").invoke(
        FunctionName=stage.resource("ShipmentNotices"),
        InvocationType="Event",
        Payload=json.dumps(event),
    )


def _wait_for_failures(stage: Stage, expected: int) -> None:
    url = stage.resource("ShipmentNoticesFailures")
    with stage.progress("Waiting for Lambda to give up on events", expected) as report_progress:

        def failed() -> bool:
            report_progress(found := stage.depth(url))
            return found >= expected

        stage.until(failed, "Lambda to give up on the failing events")


def _duplicate(stage: Stage, count: int) -> None:
    """Send some records of failures to their queue a second time."""
    url = stage.resource("ShipmentNoticesFailures")
    found = stage.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=count)["Messages"]
    for message in found:
        stage.sqs.send_message(QueueUrl=url, MessageBody=message["Body"])
        stage.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)


def _entered(stage: Stage, run_name: str) -> set[str]:
    items = stage.scan(stage.resource("ShipmentsTable"))
    return {item["shipment_id"] for item in items if item["shipment_id"].startswith(run_name)}


def _shipment_id(message: Mapping[str, Any]) -> str | None:
    try:
        body = json.loads(message["Body"])
    except ValueError:
        return None
    event = body.get("requestPayload", body) if isinstance(body, dict) else {}
    shipment_id: str | None = event.get("shipment_id") if isinstance(event, dict) else None
    return shipment_id
