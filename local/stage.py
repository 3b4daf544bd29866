"""What a scenario plays on: the deployed app on the embedded cloud, with what all scenarios do to it.

`local.scenario` makes one stage for each deployment and hands it to the scenarios in `local/scenarios`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from local.embedded_cloud import EmbeddedCloud

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

PATIENCE_SECONDS = 150.0
_POLL_SECONDS = 0.5
# Enough to look into what went wrong.
_IDS_SHOWN = 10


class StageError(Exception):
    """A scenario did not show what it should."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The deployed app.

    Attributes
    ----------
    cloud : EmbeddedCloud
        Where it runs.
    outputs : dict[str, str]
        The outputs of its stack.
    console : Console
        What the audience sees.
    """

    cloud: EmbeddedCloud
    outputs: dict[str, str]
    console: Console

    @property
    def sqs(self) -> SQSClient:
        """An SQS client."""
        client: SQSClient = self.cloud.client("sqs")
        return client

    def depth(self, url: str) -> int:
        """Return the number of all messages of a queue, invisible ones included."""
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return sum(
            int(found[name])
            for name in (
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "ApproximateNumberOfMessagesDelayed",
            )
        )

    def ids_in_queue(self, url: str, id_of: Callable[[Any], str | None]) -> list[str]:
        """Return the ids of the messages that lie in a queue, leaving them there.

        Parameters
        ----------
        url : str
            The queue. Nobody else may receive from it meanwhile.
        id_of : Callable[[Any], str | None]
            Tells the id of a message, given as ReceiveMessage returns it; None for one that is not looked
            for.

        Raises
        ------
        StageError
            Where not all can be seen: some are in flight, or a FIFO queue has more than ten of a group.
        """
        messages = list(self._look(url))
        for message in messages:
            self.sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        if (depth := self.depth(url)) != len(messages):
            raise StageError(f"{url} holds {depth} messages, but only {len(messages)} of them can be seen.")
        return [found for message in messages if (found := id_of(message)) is not None]

    def _look(self, url: str) -> Iterator[Any]:
        while messages := self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=0,
            VisibilityTimeout=60,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages", []):
            yield from messages

    def until(self, condition: Callable[[], bool], what: str, patience: float = PATIENCE_SECONDS) -> None:
        """Wait until a condition holds.

        Parameters
        ----------
        condition : Callable[[], bool]
            Looks at the deployed app; called twice a second.
        what : str
            What is waited for, to be told where it does not come.
        patience : float
            Seconds to wait at most.

        Raises
        ------
        StageError
            Where it did not hold in time.
        """
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise StageError(f"Waited {patience:.0f} seconds for {what}, in vain.")
            time.sleep(_POLL_SECONDS)

    def progress(self) -> Progress:
        """Return progress bars for the console, to be used in a `with` statement."""
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
        )

    def redrive(
        self, request: dict[str, Any], run_name: str, patience: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Start a run, show its progress, and return its report once it has ended.

        Parameters
        ----------
        request : dict[str, Any]
            The input of the execution, as docs/execution.md describes it; `dlq` is the queue's name.
        run_name : str
            The name of the execution, and so the id of the run.
        patience : float
            Seconds to wait at most for its end.

        Raises
        ------
        StageError
            Where the run does not end in time or ends without a report.
        """
        self.console.print(f"aws stepfunctions start-execution --input '{json.dumps(request)}'")
        url = self.sqs.get_queue_url(QueueName=request["dlq"])["QueueUrl"]
        dead = self.depth(url)
        workflow = self.cloud.client("stepfunctions")
        execution = workflow.start_execution(
            stateMachineArn=self.outputs["RedriveStateMachineArn"], name=run_name, input=json.dumps(request)
        )["executionArn"]
        with self.progress() as progress:
            bar = progress.add_task("letters that left the dead-letter queue", total=dead)

            def ended() -> bool:
                progress.update(bar, completed=max(0, dead - self.depth(url)))
                return bool(workflow.describe_execution(executionArn=execution)["status"] != "RUNNING")

            self.until(ended, "the redrive to end", patience)
        told = workflow.describe_execution(executionArn=execution)
        try:
            report: dict[str, Any] = json.loads(told.get("output") or told.get("cause") or "")
        except ValueError:
            raise StageError(f"The execution ended as {told['status']}, without a report.") from None
        return report

    def invoke(self, function_name: str, payload: Any) -> Any:
        """Invoke a function and return what it answers.

        Raises
        ------
        StageError
            Where the function fails.
        """
        answer = self.cloud.client("lambda").invoke(FunctionName=function_name, Payload=json.dumps(payload))
        told = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise StageError(f"The function {function_name} failed: {told}")
        return told

    def scan(self, table: str) -> list[dict[str, Any]]:
        """Return all items of a table as plain Python values, numbers as Decimal."""
        plain = TypeDeserializer().deserialize
        pages = self.cloud.client("dynamodb").get_paginator("scan").paginate(TableName=table)
        return [
            {name: plain(value) for name, value in item.items()} for page in pages for item in page["Items"]
        ]

    def put_parameter(self, name: str, value: str) -> None:
        """Set an SSM parameter, such as the switch of an outage."""
        self.cloud.client("ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)

    def reconcile(self, expected_ids: set[str], places: dict[str, Collection[str]]) -> bool:
        """Show where every message is; return whether each is in one place, and only once.

        Parameters
        ----------
        expected_ids : set[str]
            The ids of all messages that were sent; other ids that lie about count for nothing.
        places : dict[str, Collection[str]]
            For each place that a message may be in, the ids that were found there.
        """
        ours = {place: [found for found in ids if found in expected_ids] for place, ids in places.items()}
        times = Counter(found for ids in ours.values() for found in ids)
        missing = sorted(expected_ids - times.keys())
        twice = sorted(found for found, number in times.items() if number > 1)
        table = Table("place", "messages", box=None)
        for place, ids in ours.items():
            table.add_row(place, str(len(ids)))
        table.add_row("missing", str(len(missing)))
        table.add_row("in two places", str(len(twice)))
        self.console.print(table)
        for what, ids in (("missing", missing), ("in two places", twice)):
            if ids:
                more = f" and {len(ids) - _IDS_SHOWN} more" if len(ids) > _IDS_SHOWN else ""
                self.console.print(f"[red]{what}: {', '.join(ids[:_IDS_SHOWN])}{more}[/red]")
        if missing or twice:
            return False
        self.console.print(
            f"[green]All {len(expected_ids)} messages are accounted for, each in one place.[/green]"
        )
        return True
