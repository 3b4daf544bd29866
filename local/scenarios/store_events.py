"""An outage of one store's back office fills a dead-letter queue; a redrive empties it and loses nothing.

Run by `make scenario NAME=store-events` and by the demo: 200 events, a fifth of them without `store_id`, and
six from two stores without a valid `ssn_no`. The owner of the stores is notified of the quarantined events,
and a second redrive repairs those that only lack `store_id`.
"""

from __future__ import annotations

import json
import time
from typing import Any

from rich.table import Table

from local.stage import Stage, StageError, id_in_body

EVENTS = 200
BAD_SHARE = 0.2
STORE_WITH_OUTAGE = "2"
# The stores that send invalid events, three each.
INVALID = ("3", "3", "3", "5", "5", "5")
RATE = 20
_REPORT_SECONDS = 20
# The template's 30 seconds, twice, are longer than the rest of the scenario.
_VISIBILITY_SECONDS = 5


def play(stage: Stage) -> bool:
    """Run the scenario; return whether every event is accounted for."""
    with stage.visibility_timeout(stage.resource("StoreEventsQueue"), _VISIBILITY_SECONDS):
        return _play(stage, f"store-events-{int(time.time())}")


def _play(stage: Stage, prefix: str) -> bool:
    reports = _subscribed_queue(stage, "ReportTopic", f"{prefix}-reports")
    notices = _subscribed_queue(stage, "StoreEventsNoticeTopic", f"{prefix}-notices")

    stage.console.rule("1. An outage")
    stage.put_parameter(stage.resource("StoreEventsOutage"), STORE_WITH_OUTAGE)
    order = {"count": EVENTS, "badShare": BAD_SHARE, "prefix": prefix}
    with stage.progress("Sending store events"):
        sent = json.loads(stage.invoke(stage.resource("StoreEventsProducer"), order)["body"])["message"]
    stage.console.print(
        f"{sent['msg_cnt']} store events sent; {sent['bad_msg']} of them lack the attribute "
        f"[b]store_id[/b], and the back office of store {STORE_WITH_OUTAGE} is down."
    )
    invalid = _send_invalid(stage, prefix)
    stage.console.print(f"Stores 3 and 5 send {len(invalid)} events without a valid [b]ssn_no[/b].")
    dead = _wait_for_failures(stage, prefix)
    dlq = stage.queue_name("StoreEventsDLQ")
    stage.console.print(f"{dead} messages are in {dlq}.\n")

    stage.console.rule("2. The outage ends, the redrive starts")
    stage.put_parameter(stage.resource("StoreEventsOutage"), "none")
    stage.redrive({"dlq": dlq, "rate": RATE}, prefix)

    stage.console.rule("3. The report, as a subscribed queue received it")
    report = _receive(stage, reports, prefix)
    stage.console.print_json(json.dumps(report))

    stage.console.rule("4. What the owner of the stores is notified of: counts and examples, no personal data")
    notice = _receive(stage, notices, prefix)
    _show(stage, notice)

    stage.console.rule("5. A repair: events without the attribute store_id have it in their body")
    repair = _repair(stage, prefix)

    stage.console.rule("6. Where every event is now")
    with stage.progress("Waiting for the consumer"):
        stage.until(lambda: stage.depth(stage.resource("StoreEventsQueue")) == 0, "the consumer to process the events")
    event_id = id_in_body("event_id")
    accounted = stage.reconcile(
        {f"{prefix}-{number:05}" for number in range(EVENTS)} | invalid,
        {
            "processed by the consumer": _processed(stage, prefix),
            "in quarantine": stage.ids_in_queue(stage.resource("QuarantineQueue"), event_id),
            "in the source queue": stage.ids_in_queue(stage.resource("StoreEventsQueue"), event_id),
            "in the dead-letter queue": stage.ids_in_queue(stage.resource("StoreEventsDLQ"), event_id),
        },
    )
    for run in (report, repair):
        if run["status"] != "SUCCEEDED":
            stage.console.print(f"[red]Run {run['runId']} ended with status {run['status']}.[/red]")
            return False
    if repair["counts"]["repaired"] != sent["bad_msg"]:
        stage.console.print(
            f"[red]Expected {sent['bad_msg']} repaired events, found {repair['counts']['repaired']}.[/red]"
        )
        return False
    if notice["found"] != report["counts"]["quarantined"]:
        stage.console.print(f"[red]The notice lists only {notice['found']} quarantined events.[/red]")
        return False
    return accounted


def _subscribed_queue(stage: Stage, topic: str, name: str) -> str:
    url = stage.sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = stage.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    stage.cloud.client("sns").subscribe(
        TopicArn=stage.resource(topic),
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true"},
    )
    return url


def _send_invalid(stage: Stage, prefix: str) -> set[str]:
    """Send events from known stores that break their contract; return their IDs."""
    ids = [f"{prefix}-invalid-{number}" for number in range(len(INVALID))]
    stage.sqs.send_message_batch(
        QueueUrl=stage.resource("StoreEventsQueue"),
        Entries=[
            {
                "Id": str(place),
                "MessageBody": json.dumps(
                    {"event_id": event_id, "name": "Gale", "dob": "1961-05-04", "ssn_no": "unknown"}
                ),
                "MessageAttributes": {"store_id": {"DataType": "Number", "StringValue": store}},
            }
            for place, (event_id, store) in enumerate(zip(ids, INVALID, strict=True))
        ],
    )
    return set(ids)


def _show(stage: Stage, notice: dict[str, Any]) -> None:
    """Show a notice as a table by store."""
    table = Table(title=f"{notice['found']} of {notice['quarantined']} quarantined events")
    for column in ("store", "events", "reasons", "example"):
        table.add_column(column)
    for store in notice["stores"]:
        reasons = ", ".join(f"{reason} {number}" for reason, number in store["reasons"].items())
        example = "\n".join(f"{name}: {value}" for name, value in (store["example"] or {}).items())
        table.add_row(store["store"], str(store["messages"]), reasons, example)
    stage.console.print(table)


def _repair(stage: Stage, prefix: str) -> dict[str, Any]:
    """Show what a repair would change in the quarantined events, then redrive them with it."""
    request = {
        "dlq": stage.queue_name("QuarantineQueue"),
        "select": {"source": [stage.queue_name("StoreEventsQueue")]},
        "repair": {"setAttributes": {"store_id": {"type": "Number", "from": "store_id"}}},
        "rate": RATE,
    }
    preview = stage.redrive({**request, "dryRun": True, "fullScan": True}, f"{prefix}-preview")
    table = Table(title=f"A dry run sampled {preview['sample']['sampled']} messages and moved none")
    for column in ("messages", "verdict", "message attributes before", "and after"):
        table.add_column(column)
    for group in preview["sample"]["groups"]:
        example = group["example"] or {}
        after = (example.get("repaired") or {}).get("attributes")
        table.add_row(
            str(group["messages"]),
            group["verdict"] + (f", {group['reason']}" if group["reason"] else ""),
            _attributes(example.get("attributes")),
            _attributes(after) if after else "not repaired",
        )
    stage.console.print(table)
    return stage.redrive(request, f"{prefix}-repair")


def _attributes(attributes: dict[str, str] | None) -> str:
    return "\n".join(f"{name}: {value}" for name, value in (attributes or {}).items() if name != "redrive")


def _wait_for_failures(stage: Stage, prefix: str) -> int:
    """Wait until each event is processed or failed: two receives, and the visibility timeout after each."""
    queue, dlq = stage.resource("StoreEventsQueue"), stage.resource("StoreEventsDLQ")
    total = EVENTS + len(INVALID)
    with stage.progress("Waiting for events to be processed or to fail", total) as report_progress:

        def finished() -> bool:
            empty = stage.depth(queue) == 0
            report_progress(min(total, len(_processed(stage, prefix)) + stage.depth(dlq)))
            return empty

        stage.until(finished, "the failing events to reach the dead-letter queue")
    return stage.depth(dlq)


def _receive(stage: Stage, url: str, run_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + _REPORT_SECONDS
    with stage.progress("Waiting for the notification"):
        while time.monotonic() < deadline:
            for message in stage.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
                stage.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                notice: dict[str, Any] = json.loads(message["Body"])
                if notice["runId"] == run_id:
                    return notice
    raise StageError(f"Expected a message about run {run_id} in {url} within {_REPORT_SECONDS} seconds, found none.")


def _processed(stage: Stage, prefix: str) -> set[str]:
    """Return the ids of the events that the consumer has processed."""
    items = stage.scan(stage.resource("StoreEventsTable"))
    return {item["event_id"] for item in items if item["event_id"].startswith(prefix)}
