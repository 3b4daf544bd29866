"""An outage of one store's back office fills a dead-letter queue; a redrive empties it and loses nothing.

`make demo` runs all of it; `make cloud` runs only the outage. It sends 200 events, a fifth of them without `store_id`,
and six more from two stores without a valid `ssn_no`. The owner of the stores gets a notice of the quarantined events,
and a second redrive repairs the events that only lack `store_id`.
"""

from __future__ import annotations

import json
import time
from typing import Any

from rich.table import Table

from local.stage import Stage, StageError, id_in_body
from local.workspace import STATE_DIRECTORY

EVENTS = 200
BAD_SHARE = 0.2
STORE_WITH_OUTAGE = "2"
# The stores that send invalid events, three each.
INVALID = ("3", "3", "3", "5", "5", "5")
RATE = 20
_REPORT_SECONDS = 20
# Waiting twice for the template's 30 seconds would take longer than the rest of the scenario.
_VISIBILITY_SECONDS = 5


def play(stage: Stage) -> bool:
    """Run the scenario; return whether every event is accounted for."""
    console = stage.console
    prefix = f"store-events-{int(time.time())}"
    notices = _subscribed_queue(stage, "StoreEventsNoticeTopic", f"{prefix}-notices")
    queue, dlq, quarantine = map(stage.queue_name, ("StoreEventsQueue", "StoreEventsDLQ", "QuarantineQueue"))

    console.rule("1. An outage")
    invalid = fail(stage, prefix)

    console.rule("2. Which queue needs you?")
    console.print("See where messages pile up, where they come from, and how long SQS will keep them.")
    stage.redrive("queues")

    console.rule("3. What's in it?")
    console.print(
        "Look before you move anything. This works in any account, with nothing deployed. Values that aren't known to "
        "be safe to show are masked."
    )
    stage.redrive("look", dlq)

    console.rule("4. The outage is over: redrive")
    console.print(
        "The stack knows the consumer's contract, so the plan says which messages would only fail again. They go to "
        "quarantine. The rest go back, at 20 per second. Without --yes, the command asks for confirmation."
    )
    because = "The back office of store 2 is up again"
    stage.redrive("start", dlq, "--rate", str(RATE), "--because", because, "--yes", "--watch")
    console.print(f"Open the run's page in your browser: {_page(stage)}", soft_wrap=True)

    console.rule("5. The owner of the stores is notified")
    console.print("SNS delivers counts and reasons by store, without personal data.")
    notice = _receive(stage, notices)
    _show(stage, notice)

    console.rule("6. Repair what can be repaired")
    console.print(
        "Most of the quarantined events lack the attribute store_id, but have it in the body. With --clear, the "
        "command shows one unmasked."
    )
    stage.redrive("messages", quarantine, "--limit", "1", "--clear")
    console.print(
        "\nSo a run on the quarantine sets the attribute from the body. Events without a valid ssn_no stay in "
        "quarantine. --quiet leaves out the plan."
    )
    repair = {"store_id": {"type": "Number", "from": "store_id"}}
    options = ["--select-source", queue, "--repair-set-attributes", json.dumps(repair), "--rate", str(RATE)]
    stage.redrive("start", quarantine, *options, "--yes", "--watch", "--quiet")

    console.rule("7. Who did what, and why")
    console.print("The stack keeps a record of every run for 90 days.")
    stage.redrive("runs")

    console.rule("8. Where every event is now")
    console.print("These counts come from the queues and the consumer's table, not from the redrive.")
    stage.until(lambda: stage.depth(stage.resource("StoreEventsQueue")) == 0, "the consumer to process the events")
    event_id = id_in_body("event_id")
    valid = {f"{prefix}-{number:05}" for number in range(EVENTS)}
    processed = _processed(stage, prefix)
    accounted = stage.reconcile(
        valid | invalid,
        {
            "processed by the consumer": processed,
            "in quarantine": stage.ids_in_queue(stage.resource("QuarantineQueue"), event_id),
            "in the source queue": stage.ids_in_queue(stage.resource("StoreEventsQueue"), event_id),
            "in the dead-letter queue": stage.ids_in_queue(stage.resource("StoreEventsDLQ"), event_id),
        },
    )
    if processed != valid:
        console.print(f"[red]Expected all {EVENTS} valid events to be processed, found {len(processed)}.[/red]")
        return False
    # It counts more if other events failed before.
    quarantined = int(EVENTS * BAD_SHARE) + len(invalid)
    if notice["found"] < quarantined:
        console.print(f"[red]Expected a notice of {quarantined} events, found one of {notice['found']}.[/red]")
        return False
    return accounted


def fail(stage: Stage, prefix: str) -> set[str]:
    """Send events during an outage, until they have failed. Return the IDs of the events that break their contract.

    Parameters
    ----------
    stage : Stage
        Where to run.
    prefix : str
        Start of the events' IDs.
    """
    stage.put_parameter(stage.resource("StoreEventsOutage"), STORE_WITH_OUTAGE)
    order = {"count": EVENTS, "badShare": BAD_SHARE, "prefix": prefix}
    with stage.visibility_timeout(stage.resource("StoreEventsQueue"), _VISIBILITY_SECONDS):
        sent = json.loads(stage.invoke(stage.resource("StoreEventsProducer"), order)["body"])["message"]
        invalid = _send_invalid(stage, prefix)
        stage.console.print(
            f"The back office of store {STORE_WITH_OUTAGE} is down, so the consumer of store events can't process all "
            f"{sent['msg_cnt']} events. {sent['bad_msg']} of them lack the attribute [b]store_id[/b], and "
            f"{len(invalid)} more, of stores 3 and 5, have no valid [b]ssn_no[/b]."
        )
        dead = _wait_for_failures(stage, prefix)
    stage.put_parameter(stage.resource("StoreEventsOutage"), "none")
    stage.console.print(f"{dead} events failed twice, so SQS moved them to the dead-letter queue.")
    return invalid


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


def _page(stage: Stage) -> str:
    """Write the page of the last run to a file, because a browser can't open an embedded bucket."""
    s3, bucket = stage.cloud.client("s3"), stage.stack.outputs["ReportBucketName"]
    newest = max(s3.list_objects_v2(Bucket=bucket)["Contents"], key=lambda found: found["LastModified"])
    path = STATE_DIRECTORY / "report.html"
    path.write_bytes(s3.get_object(Bucket=bucket, Key=newest["Key"])["Body"].read())
    return path.as_uri()


def _show(stage: Stage, notice: dict[str, Any]) -> None:
    """Show a notice as a table by store."""
    table = Table("store", "events", "reasons", box=None)
    for store in notice["stores"]:
        reasons = ", ".join(f"{reason} {number}" for reason, number in store["reasons"].items())
        table.add_row(store["store"], str(store["messages"]), reasons)
    stage.console.print(table)


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


def _receive(stage: Stage, url: str) -> dict[str, Any]:
    """Return the first notice in a queue."""
    deadline = time.monotonic() + _REPORT_SECONDS
    while time.monotonic() < deadline:
        for message in stage.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
            notice: dict[str, Any] = json.loads(message["Body"])
            return notice
    raise StageError(f"Expected a notice in {url} within {_REPORT_SECONDS} seconds, found none.")


def _processed(stage: Stage, prefix: str) -> set[str]:
    """Return the ids of the events that the consumer has processed."""
    items = stage.scan(stage.resource("StoreEventsTable"))
    return {item["event_id"] for item in items if item["event_id"].startswith(prefix)}
