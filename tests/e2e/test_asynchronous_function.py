"""A function invoked asynchronously: its failed events are redriven to it, and each takes effect once."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.app import App
from tests.support.eventually import eventually


class Shipments:
    """The shipment notices of the deployed app; each test has its own, with a prefix in their ids."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.failures, self.quarantine = (app.own(name) for name in ("ShipmentNoticesFailures", "QuarantineQueue"))

    def outage(self, carriers: str) -> None:
        self.app.cloud.client("ssm").put_parameter(
            Name=self.app.resource("ShipmentNoticesOutage"),
            Value=carriers,
            Type="String",
            Overwrite=True,
        )
        time.sleep(1.2)  # The function caches the switch for a second.

    def notify(self, shipment_id: str, **changes: Any) -> dict[str, Any]:
        event = {
            "shipment_id": shipment_id,
            "order_id": "order-1",
            "carrier": "post",
            "recipient_name": "Ann Example",
            "shipped_at": "2026-10-08T22:41:00Z",
        } | changes
        self.app.cloud.client("lambda").invoke(
            FunctionName=self.app.resource("ShipmentNotices"),
            InvocationType="Event",
            Payload=json.dumps(event),
        )
        return event

    def entered(self, prefix: str) -> dict[str, str]:
        """Return order ids by shipment id."""
        items = self.app.cloud.client("dynamodb").scan(TableName=self.app.resource("ShipmentsTable"))
        found = {item["shipment_id"]["S"]: item["order_id"]["S"] for item in items["Items"]}
        return {name: order for name, order in found.items() if name.startswith(prefix)}


@pytest.fixture
def shipments(app: App) -> Iterator[Shipments]:
    shipments = Shipments(app)
    yield shipments
    shipments.outage("none")
    for queue in (shipments.failures, shipments.quarantine):
        app.sqs.purge_queue(QueueUrl=queue.url)


def test_what_failed_in_an_outage_is_redriven_to_the_function_and_entered_once(shipments: Shipments):
    app = shipments.app
    shipments.outage("post")
    for number in range(6):
        shipments.notify(f"outage-{number}", carrier="post" if number % 2 else "courier")
    eventually(lambda: app.depth(shipments.failures) == 3)
    assert shipments.entered("outage-").keys() == {"outage-0", "outage-2", "outage-4"}
    shipments.outage("none")
    run = app.redrive(shipments.failures)
    assert (run.report["status"], run.report["counts"]["redriven"]) == ("SUCCEEDED", 3), run.report["reason"]
    assert "Ann Example" not in json.dumps(run.report)
    eventually(lambda: len(shipments.entered("outage-")) == 6)
    assert app.depth(shipments.failures) == 0


def test_an_event_that_breaks_the_contract_goes_into_quarantine_and_the_others_go_on(shipments: Shipments):
    app = shipments.app
    shipments.notify("bad-1", carrier="pigeon")
    eventually(lambda: app.depth(shipments.failures) == 1)
    run = app.redrive(shipments.failures)
    assert run.report["quarantineReasons"] == {"invalid-body": 1}
    (group,) = run.report["sample"]["groups"]
    assert (group["envelope"], group["errorType"]) == ("lambda-destination", "ContractViolationError")
    (message,) = app.take(shipments.quarantine)
    problems = json.loads(message["MessageAttributes"]["redrive"]["StringValue"])["problems"]
    assert problems == ["body.carrier: literal_error"]
    assert shipments.entered("bad-") == {}


def test_a_notice_that_lambda_delivers_twice_is_entered_once(shipments: Shipments):
    event = shipments.notify("twice-1", order_id="order-1")
    eventually(lambda: shipments.entered("twice-1"))
    assert shipments.app.invoke("ShipmentNotices", event | {"order_id": "order-2"}) is None
    assert shipments.entered("twice-1") == {"twice-1": "order-1"}
