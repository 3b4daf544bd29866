"""An outage of one store's back office fills a dead-letter queue, a redrive empties it, nothing is lost.

Played by `make scenario NAME=store-events` and by the demo: 200 events, a fifth of them without `store_id`,
and some of two stores that have no valid `ssn_no`. The stores' owner is told what was quarantined, and a
repair brings those back that only lack `store_id`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from local.stage import Stage, StageError

EVENTS = 200
BAD_SHARE = 0.2
STORE_WITH_OUTAGE = "2"
# Stores that send spoilt events, three each.
SPOILT = ("3", "3", "3", "5", "5", "5")
RATE = 20
_REPORT_SECONDS = 20


def play(stage: Stage) -> bool:
    """Play the whole story; return whether every event is accounted for."""
    outputs = stage.outputs
    prefix = f"store-events-{int(time.time())}"
    reports = _subscribed_queue(stage, "ReportTopicArn", f"{prefix}-reports")
    notices = _subscribed_queue(stage, "StoreEventsNoticeTopicArn", f"{prefix}-notices")

    stage.console.rule("1. An outage")
    stage.put_parameter(outputs["StoreEventsOutageParameter"], STORE_WITH_OUTAGE)
    order = {"count": EVENTS, "badShare": BAD_SHARE, "prefix": prefix}
    sent = json.loads(stage.invoke(outputs["StoreEventsProducerName"], order)["body"])["message"]
    stage.console.print(
        f"{sent['msg_cnt']} store events sent; {sent['bad_msg']} of them lack the attribute "
        f"[b]store_id[/b], and the back office of store {STORE_WITH_OUTAGE} is down."
    )
    spoilt = _send_spoilt(stage, prefix)
    stage.console.print(f"Stores 3 and 5 send {len(spoilt)} events without a valid [b]ssn_no[/b].")
    dead = _wait_for_dead_letters(stage, prefix)
    dlq = outputs["StoreEventsDLQUrl"].rsplit("/", 1)[1]
    stage.console.print(f"{dead} dead letters lie in {dlq}.\n")

    stage.console.rule("2. The outage ends, the redrive starts")
    stage.put_parameter(outputs["StoreEventsOutageParameter"], "none")
    stage.redrive({"dlq": dlq, "rate": RATE}, prefix)

    stage.console.rule("3. The report, as a subscribed queue received it")
    report = _receive(stage, reports, prefix)
    stage.console.print_json(json.dumps(report))

    stage.console.rule("4. What the owner of the stores is told: counts and examples, nothing personal")
    notice = _receive(stage, notices, prefix)
    _show(stage, notice)

    stage.console.rule("5. Events that lack store_id have it in their body: a repair")
    mended = _mend(stage, prefix)

    stage.console.rule("6. Where every event is now")
    stage.until(lambda: stage.depth(outputs["StoreEventsQueueUrl"]) == 0, "the consumer to finish")
    accounted = stage.reconcile(
        {f"{prefix}-{number:05}" for number in range(EVENTS)} | spoilt,
        {
            "processed by the consumer": _processed(stage, prefix),
            "in quarantine": stage.ids_in_queue(outputs["QuarantineQueueUrl"], _event_id),
            "in the source queue": stage.ids_in_queue(outputs["StoreEventsQueueUrl"], _event_id),
            "in the dead-letter queue": stage.ids_in_queue(outputs["StoreEventsDLQUrl"], _event_id),
        },
    )
    for run in (report, mended):
        if run["status"] != "SUCCEEDED":
            stage.console.print(f"[red]The run {run['runId']} ended as {run['status']}.[/red]")
            return False
    if mended["counts"]["repaired"] != sent["bad_msg"]:
        stage.console.print(f"[red]Only {mended['counts']['repaired']} events were repaired.[/red]")
        return False
    if notice["found"] != report["counts"]["quarantined"]:
        stage.console.print(f"[red]The notice tells of {notice['found']} quarantined events only.[/red]")
        return False
    return accounted


def _subscribed_queue(stage: Stage, topic: str, name: str) -> str:
    url = stage.sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = stage.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    stage.cloud.client("sns").subscribe(
        TopicArn=stage.outputs[topic],
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true"},
    )
    return url


def _send_spoilt(stage: Stage, prefix: str) -> set[str]:
    """Send events of known stores that break their contract; return their ids."""
    ids = [f"{prefix}-spoilt-{number}" for number in range(len(SPOILT))]
    stage.sqs.send_message_batch(
        QueueUrl=stage.outputs["StoreEventsQueueUrl"],
        Entries=[
            {
                "Id": str(place),
                "MessageBody": json.dumps(
                    {"event_id": event_id, "name": "Gale", "dob": "1961-05-04", "ssn_no": "not told"}
                ),
                "MessageAttributes": {"store_id": {"DataType": "Number", "StringValue": store}},
            }
            for place, (event_id, store) in enumerate(zip(ids, SPOILT, strict=True))
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
        table.add_row(store["store"], str(store["letters"]), reasons, example)
    stage.console.print(table)


def _mend(stage: Stage, prefix: str) -> dict[str, Any]:
    """Look at what a repair would make of the quarantined events, then redrive them with it."""
    request = {
        "dlq": stage.outputs["QuarantineQueueUrl"].rsplit("/", 1)[1],
        "select": {"source": [stage.outputs["StoreEventsQueueUrl"].rsplit("/", 1)[1]]},
        "repair": {"setAttributes": {"store_id": {"type": "Number", "from": "store_id"}}},
        "rate": RATE,
    }
    look = stage.redrive({**request, "dryRun": True, "census": True}, f"{prefix}-look")
    table = Table(title=f"A dry run looked at {look['sample']['sampled']} letters and moved none")
    for column in ("letters", "verdict", "message attributes before", "and after"):
        table.add_column(column)
    for group in look["sample"]["groups"]:
        example = group["example"] or {}
        after = (example.get("repaired") or {}).get("attributes")
        table.add_row(
            str(group["letters"]),
            group["verdict"] + (f", {group['reason']}" if group["reason"] else ""),
            _attributes(example.get("attributes")),
            _attributes(after) if after else "not repaired",
        )
    stage.console.print(table)
    return stage.redrive(request, f"{prefix}-mend")


def _attributes(told: dict[str, str] | None) -> str:
    return "\n".join(f"{name}: {value}" for name, value in (told or {}).items() if name != "redrive")


def _wait_for_dead_letters(stage: Stage, prefix: str) -> int:
    """Wait until each event is processed or dead: two receives, and the visibility timeout after each."""
    queue, dlq = stage.outputs["StoreEventsQueueUrl"], stage.outputs["StoreEventsDLQUrl"]
    with stage.progress() as progress:
        bar = progress.add_task("events settled", total=EVENTS + len(SPOILT))

        def settled() -> bool:
            done = len(_processed(stage, prefix)) + stage.depth(dlq)
            progress.update(bar, completed=min(EVENTS + len(SPOILT), done))
            return stage.depth(queue) == 0

        stage.until(settled, "the failing events to reach the dead-letter queue")
    return stage.depth(dlq)


def _receive(stage: Stage, url: str, run_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + _REPORT_SECONDS
    while time.monotonic() < deadline:
        for message in stage.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
            stage.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            told: dict[str, Any] = json.loads(message["Body"])
            if told["runId"] == run_id:
                return told
    raise StageError(f"Nothing about the run came to {url} within {_REPORT_SECONDS} seconds.")


def _processed(stage: Stage, prefix: str) -> set[str]:
    """Return the ids of the events that the consumer has processed."""
    items = stage.scan(stage.outputs["StoreEventsTableName"])
    return {item["event_id"] for item in items if item["event_id"].startswith(prefix)}


def _event_id(message: Mapping[str, Any]) -> str | None:
    try:
        body = json.loads(message["Body"])
    except ValueError:
        return None
    return body.get("event_id") if isinstance(body, dict) else None
