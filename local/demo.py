"""The main job before your eyes: an outage fills a dead-letter queue, a redrive empties it, nothing is lost.

Run by `make demo` on the embedded cloud; exits with 1 where an event is missing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from local.cloud import DEFAULT_PORT, STACK_NAME
from local.embedded_cloud import EmbeddedCloud, EmbeddedCloudError, log_path, recorded

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

EVENTS = 200
BAD_SHARE = 0.2
STORE_WITH_OUTAGE = "2"
RATE = 20
_PATIENCE_SECONDS = 150

console = Console(highlight=False)


class DemoError(Exception):
    """The demo did not show what it should."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The deployed app: its outputs, and the clients that talk to it."""

    cloud: EmbeddedCloud
    outputs: dict[str, str]

    @property
    def sqs(self) -> SQSClient:
        """An SQS client."""
        client: SQSClient = self.cloud.client("sqs")
        return client

    def depth(self, url: str) -> int:
        """Return all messages of a queue, invisible ones included."""
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return sum(
            int(found[name])
            for name in (
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "ApproximateNumberOfMessagesDelayed",
            )
        )

    def set_outage(self, stores: str) -> None:
        """Switch the back office of stores off ("2", "1,2") or all on ("none")."""
        name = self.outputs["StoreEventsOutageParameter"]
        self.cloud.client("ssm").put_parameter(Name=name, Value=stores, Type="String", Overwrite=True)

    def produce(self, prefix: str) -> dict[str, Any]:
        """Send store events; return the counts that the producer tells."""
        answer = self.cloud.client("lambda").invoke(
            FunctionName=self.outputs["StoreEventsProducerName"],
            Payload=json.dumps({"count": EVENTS, "badShare": BAD_SHARE, "prefix": prefix}),
        )
        told = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise DemoError(f"The producer failed: {told}")
        counts: dict[str, Any] = json.loads(told["body"])["message"]
        return counts

    def processed(self, prefix: str) -> set[str]:
        """Return the ids of the events that the consumer has processed."""
        pages = (
            self.cloud.client("dynamodb")
            .get_paginator("scan")
            .paginate(
                TableName=self.outputs["StoreEventsTableName"],
                FilterExpression="begins_with(event_id, :prefix)",
                ExpressionAttributeValues={":prefix": {"S": prefix}},
            )
        )
        return {item["event_id"]["S"] for page in pages for item in page["Items"]}

    def in_queue(self, url: str, prefix: str) -> set[str]:
        """Return the ids of the events that lie in a queue, leaving them there."""
        messages = list(self._look(url))
        ids = {json.loads(message["Body"]).get("event_id", "") for message in messages}
        for message in messages:
            self.sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return {event_id for event_id in ids if event_id.startswith(prefix)}

    def _look(self, url: str) -> Iterator[Any]:
        while messages := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0, VisibilityTimeout=60
        ).get("Messages", []):
            yield from messages


def run(stack: Stack) -> bool:
    """Play the whole story; return whether every event is accounted for."""
    outputs = stack.outputs
    prefix = f"demo-{int(time.time())}"
    reports = _subscribed_queue(stack)

    console.rule("1. An outage")
    stack.set_outage(STORE_WITH_OUTAGE)
    sent = stack.produce(prefix)
    console.print(
        f"{sent['msg_cnt']} store events sent; {sent['bad_msg']} of them lack the attribute "
        f"[b]store_id[/b], and the back office of store {STORE_WITH_OUTAGE} is down."
    )
    dead = _wait_for_dead_letters(stack, prefix)
    console.print(f"{dead} dead letters lie in {outputs['StoreEventsDLQUrl'].rsplit('/', 1)[1]}.\n")

    console.rule("2. The outage ends, the redrive starts")
    stack.set_outage("none")
    request = {"dlq": outputs["StoreEventsDLQUrl"].rsplit("/", 1)[1], "rate": RATE}
    console.print(f"aws stepfunctions start-execution --input '{json.dumps(request)}'")
    execution = stack.cloud.client("stepfunctions").start_execution(
        stateMachineArn=outputs["RedriveStateMachineArn"], name=prefix, input=json.dumps(request)
    )["executionArn"]
    _show_progress(stack, execution, dead)

    console.rule("3. The report, as a subscribed queue received it")
    report = _receive_report(stack, reports, prefix)
    console.print_json(json.dumps(report))

    console.rule("4. Where every event is now")
    _until(lambda: stack.depth(outputs["StoreEventsQueueUrl"]) == 0, "the consumer to finish")
    return _reconcile(stack, prefix, report)


def _subscribed_queue(stack: Stack) -> str:
    url = stack.sqs.create_queue(QueueName="demo-reports")["QueueUrl"]
    arn = stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    stack.cloud.client("sns").subscribe(
        TopicArn=stack.outputs["ReportTopicArn"],
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true"},
    )
    return url


def _wait_for_dead_letters(stack: Stack, prefix: str) -> int:
    """Wait until each event is processed or dead: two receives, and the visibility timeout after each."""
    queue, dlq = stack.outputs["StoreEventsQueueUrl"], stack.outputs["StoreEventsDLQUrl"]
    with _progress() as progress:
        bar = progress.add_task("events settled", total=EVENTS)

        def settled() -> bool:
            progress.update(bar, completed=min(EVENTS, len(stack.processed(prefix)) + stack.depth(dlq)))
            return stack.depth(queue) == 0

        _until(settled, "the failing events to reach the dead-letter queue")
    return stack.depth(dlq)


def _show_progress(stack: Stack, execution: str, dead: int) -> None:
    workflow = stack.cloud.client("stepfunctions")
    with _progress() as progress:
        bar = progress.add_task("letters redriven or quarantined", total=dead)

        def ended() -> bool:
            progress.update(bar, completed=dead - stack.depth(stack.outputs["StoreEventsDLQUrl"]))
            return bool(workflow.describe_execution(executionArn=execution)["status"] != "RUNNING")

        _until(ended, "the redrive to end")


def _receive_report(stack: Stack, url: str, run_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for message in stack.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
            stack.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            report: dict[str, Any] = json.loads(message["Body"])
            if report["runId"] == run_id:
                return report
    raise DemoError("No report came within 20 seconds.")


def _reconcile(stack: Stack, prefix: str, report: dict[str, Any]) -> bool:
    expected = {f"{prefix}-{number:05}" for number in range(EVENTS)}
    places = {
        "processed by the consumer": stack.processed(prefix),
        "in quarantine": stack.in_queue(stack.outputs["QuarantineQueueUrl"], prefix),
        "in the source queue": stack.in_queue(stack.outputs["StoreEventsQueueUrl"], prefix),
        "in the dead-letter queue": stack.in_queue(stack.outputs["StoreEventsDLQUrl"], prefix),
    }
    found = Counter(event_id for ids in places.values() for event_id in ids)
    missing, twice = expected - found.keys(), [event_id for event_id, times in found.items() if times > 1]
    table = Table("place", "events", box=None)
    for place, ids in places.items():
        table.add_row(place, str(len(ids)))
    table.add_row("missing", str(len(missing)))
    table.add_row("in two places", str(len(twice)))
    console.print(table)
    if missing or twice:
        console.print(f"[red]Not accounted for: {', '.join(sorted(missing) + twice)}[/red]")
        return False
    if report["status"] != "SUCCEEDED":
        console.print(f"[red]The run ended as {report['status']}.[/red]")
        return False
    console.print(f"[green]All {EVENTS} events are accounted for, each in one place.[/green]")
    return True


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise DemoError(f"Waited {_PATIENCE_SECONDS} seconds for {what}, in vain.")
        time.sleep(0.5)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def main() -> int:
    """Deploy to the embedded cloud and play the story; return the exit code.

    A cloud that `make local-up` started is used; without one, the demo starts its own and stops it at the
    end.
    """
    running = recorded(int(os.environ.get("PORT", DEFAULT_PORT)))
    cloud = EmbeddedCloud.at(running) if running else None
    own = None
    try:
        cloud = cloud or (own := EmbeddedCloud.start())
        console.print(f"The embedded cloud runs on {cloud.endpoint_url}. Building and deploying the app ...")
        stack = Stack(cloud, cloud.deploy(STACK_NAME))
        return 0 if run(stack) else 1
    except (DemoError, EmbeddedCloudError) as error:
        console.print(f"[red]{error}[/red]")
        if cloud is not None:
            console.print(f"The emulator's log: {log_path(cloud.port)}")
        return 1
    finally:
        if own is not None:
            own.stop()


if __name__ == "__main__":
    sys.exit(main())
