"""What a scenario runs on: the deployed app on the embedded cloud, with what all scenarios do to it.

`local.scenario` makes one stage for each deployment and passes it to the scenarios in `local/scenarios`.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer
from rich.console import Console
from rich.table import Table

from local.embedded_cloud import EmbeddedCloud, Stack
from local.progress import Report, progress
from local.sam_deployment import tool_environment
from local.workspace import ROOT

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

PATIENCE_SECONDS = 150.0
_POLL_SECONDS = 0.5
# What is installed with the command (requirements/command.in).
_COMMAND_PYTHON = ROOT / ".venvs" / "command" / "bin" / "python"
# Enough to find out what went wrong.
_IDS_LISTED = 10


class StageError(Exception):
    """A scenario did not end as it should."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The deployed app."""

    # Where it runs.
    cloud: EmbeddedCloud
    # Its resources and outputs.
    stack: Stack
    # What the audience sees.
    console: Console
    # Whether the commands of the redrive print JSON.
    as_json: bool = False

    def resource(self, logical_id: str) -> str:
        """Return the physical ID of a resource: the URL of a queue, the ARN of a topic, the name of a function."""
        return self.stack.resource(logical_id)

    def queue_name(self, logical_id: str) -> str:
        """Return the name of a queue."""
        return self.resource(logical_id).rsplit("/", 1)[1]

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
        """Return the IDs of the messages in a queue, and leave them there.

        Parameters
        ----------
        url : str
            The queue. Nothing else may receive from it meanwhile.
        id_of : Callable[[Any], str | None]
            Returns the ID of a message as ReceiveMessage returns it, or None to leave it out.

        Raises
        ------
        StageError
            Not all can be received: some are in flight, or a FIFO queue has more than ten of a group.
        """
        messages = list(self._receive(url))
        for message in messages:
            self.sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        if (depth := self.depth(url)) != len(messages):
            raise StageError(f"{url} holds {depth} messages, but only {len(messages)} of them can be received.")
        return [found for message in messages if (found := id_of(message)) is not None]

    def _receive(self, url: str) -> Iterator[Any]:
        while messages := self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=0,
            VisibilityTimeout=60,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages", []):
            yield from messages

    @contextmanager
    def visibility_timeout(self, url: str, seconds: int) -> Iterator[None]:
        """Shorten a queue's visibility timeout until the block ends, so that its messages fail sooner."""
        before = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(seconds)})
        try:
            yield
        finally:
            self.sqs.set_queue_attributes(QueueUrl=url, Attributes=before["Attributes"])

    def until(self, condition: Callable[[], bool], what: str, patience: float = PATIENCE_SECONDS) -> None:
        """Wait until a condition holds.

        Parameters
        ----------
        condition : Callable[[], bool]
            Checks the deployed app; called twice a second.
        what : str
            What to wait for, named in the error.
        patience : float
            Seconds to wait at most.

        Raises
        ------
        StageError
            It did not hold in time.
        """
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise StageError(f"Expected {what} within {patience:.0f} seconds. It did not happen.")
            time.sleep(_POLL_SECONDS)

    def wait_for_dead_letters(
        self, queue: str, dlq: str, count: int, what: str, patience: float = PATIENCE_SECONDS
    ) -> int:
        """Wait until a queue is empty because its messages failed; return how many are in its dead-letter queue."""
        with self.progress(f"Waiting for {what} to reach the dead-letter queue", count) as report_progress:

            def dead() -> bool:
                empty = self.depth(queue) == 0
                report_progress(self.depth(dlq))
                return empty

            self.until(dead, f"the {what} to reach the dead-letter queue", patience)
        return self.depth(dlq)

    def progress(self, doing: str, total: int | None = None) -> AbstractContextManager[Report]:
        """Show progress, to be used in a `with` statement; see :func:`local.progress.progress`."""
        return progress(self.console, doing, total)

    def redrive(self, *arguments: str) -> None:
        """Show a `redrive` command line, and run it in this terminal as a person would.

        Raises
        ------
        StageError
            It doesn't end with exit code 0.
        """
        # As one line, however long, so that it can be copied.
        line = shlex.join(["redrive", *arguments])
        self.console.print(f"\n$ {line}", style="bold", soft_wrap=True, markup=False, highlight=False)
        sys.stdout.flush()
        command = [str(_COMMAND_PYTHON), "-c", "from redrive.command.main import main; main()", *arguments]
        variables = tool_environment(self.cloud.environment)
        variables |= {"PYTHONPATH": str(ROOT / "functions"), "REDRIVE_STACK": self.stack.name}
        code = subprocess.run([*command, *(["--json"] if self.as_json else [])], env=variables, check=False).returncode
        if code:
            raise StageError(f"Expected exit code 0 of `{line}`, found {code}.")
        self.console.print()

    def invoke(self, function_name: str, payload: Any) -> Any:
        """Invoke a function and return its response.

        Raises
        ------
        StageError
            The function fails.
        """
        answer = self.cloud.client("lambda").invoke(FunctionName=function_name, Payload=json.dumps(payload))
        response = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise StageError(f"The function {function_name} failed: {response}")
        return response

    def scan(self, table: str) -> list[dict[str, Any]]:
        """Return all items of a table as plain Python values, numbers as Decimal."""
        plain = TypeDeserializer().deserialize
        pages = self.cloud.client("dynamodb").get_paginator("scan").paginate(TableName=table)
        return [{name: plain(value) for name, value in item.items()} for page in pages for item in page["Items"]]

    def put_parameter(self, name: str, value: str) -> None:
        """Set an SSM parameter, such as the switch of an outage."""
        self.cloud.client("ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)

    def reconcile(self, expected_ids: set[str], places: dict[str, Collection[str]]) -> bool:
        """Show where every message is; return whether each is in exactly one place, once.

        Parameters
        ----------
        expected_ids : set[str]
            The IDs of all messages that were sent; other IDs are ignored.
        places : dict[str, Collection[str]]
            For each place where a message may be, the IDs that were found there.
        """
        ours = {place: [found for found in ids if found in expected_ids] for place, ids in places.items()}
        times = Counter(found for ids in ours.values() for found in ids)
        missing = sorted(expected_ids - times.keys())
        twice = sorted(found for found, number in times.items() if number > 1)
        table = Table("place", "messages", box=None)
        for place, ids in ours.items():
            table.add_row(place, f"{len(ids):,}")
        table.add_row("missing", str(len(missing)))
        table.add_row("in two places", str(len(twice)))
        self.console.print(table)
        for what, ids in (("missing", missing), ("in two places", twice)):
            if ids:
                more = f" and {len(ids) - _IDS_LISTED} more" if len(ids) > _IDS_LISTED else ""
                self.console.print(f"[red]{what}: {', '.join(ids[:_IDS_LISTED])}{more}[/red]")
        if missing or twice:
            return False
        self.console.print(f"[green]All {len(expected_ids):,} messages are accounted for, each in one place.[/green]")
        return True


def id_in_body(name: str) -> Callable[[Any], str | None]:
    """Return a function that finds the ID under a name in the JSON body of a message."""

    def found(message: Any) -> str | None:
        try:
            body = json.loads(message["Body"])
        except ValueError:
            return None
        return body.get(name) if isinstance(body, dict) else None

    return found
