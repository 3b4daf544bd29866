"""What a scenario is played on: its queues, its messages, runs of the deployed redrive, and its ledger.

The runner makes one for each scenario. Of the stack it reads attributes, starts executions, and invokes the stop
function; it receives from, sends to, and deletes from queues of its own only.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import batched
from typing import Any

from verify.aws import Aws
from verify.errors import InterruptedByUserError, MismatchError
from verify.ledger import Ledger
from verify.owned import Owned, Queue
from verify.stack import Stack

# Counts of queues "may not achieve consistency until at least 1 minute after the producers stop sending messages" (SQS
# API reference, "GetQueueAttributes").
PATIENCE_SECONDS = 240.0
_POLL_SECONDS = 0.5
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
# SQS developer guide, "Message quotas": a batch has at most 1 MiB, attributes included.
_BATCH_BYTES = 900_000
# Receives without a message after which a queue with a count of 0 is empty.
_EMPTY_RECEIVES = 2
_VISIBILITY_SECONDS = 60

type Entry = dict[str, Any]
type Report = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """A queue and its dead-letter queue."""

    source: Queue
    dlq: Queue


@dataclass
class Stage:
    """What one scenario is played on."""

    aws: Aws
    stack: Stack
    owned: Owned
    #: The name of the scenario, in the names of its queues and in its messages.
    name: str
    #: Set if the verification was interrupted.
    stop: threading.Event
    ledger: Ledger = field(default_factory=Ledger)
    #: Called before the queues are removed, unless the scenario passed.
    if_not_passed: Callable[[], None] | None = None
    #: Messages that may be in a standard queue twice, as the reports say.
    duplicates_allowed: int = 0
    _made: int = 0
    #: Messages that were buried, by the dead-letter queue's name: its own count may lag behind.
    _buried: Counter[str] = field(default_factory=Counter)
    _executions: dict[str, str] = field(default_factory=dict)

    # Queues

    def queue(self, label: str, *, fifo: bool = False, **attributes: str) -> Queue:
        """Create a queue."""
        return self.owned.queue(f"{self.name}-{label}", fifo=fifo, **attributes)

    def pair(self, label: str = "source", *, fifo: bool = False, dlq: Queue | None = None) -> Pair:
        """Create a queue, and a dead-letter queue that gets a message after one receive."""
        dlq = dlq or self.queue("dlq", fifo=fifo)
        policy = json.dumps({"deadLetterTargetArn": dlq.arn, "maxReceiveCount": 1})
        source = self.queue(label, fifo=fifo, RedrivePolicy=policy, VisibilityTimeout="0")
        # Attributes take up to 60 seconds to be known everywhere (SQS API reference, "SetQueueAttributes").
        self.until(lambda: source.name in self._sources_of(dlq), f"SQS to know that {dlq.name} has a source")
        return Pair(source, dlq)

    def _sources_of(self, dlq: Queue) -> list[str]:
        found = self.aws.sqs.list_dead_letter_source_queues(QueueUrl=dlq.url).get("queueUrls", [])
        return [url.rsplit("/", 1)[1] for url in found]

    def depth(self, url: str) -> int:
        """Return the approximate number of messages in a queue, including those in flight."""
        found = self.aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))["Attributes"]
        return sum(int(found[name]) for name in _COUNTS)

    def until_depth(self, queue: Queue, count: int) -> None:
        """Wait until a queue has so many messages."""
        self._until_count(lambda: self.depth(queue.url), count, queue)

    # Messages

    def messages(
        self, count: int, body: Callable[[str, int], str] = lambda key, _: f"{key} ünïcode", **more: Any
    ) -> list[Entry]:
        """Return messages as SendMessageBatch takes them; `body` gets the key that it has to contain, and a number."""
        entries = []
        for number in range(self._made, self._made + count):
            key = f"verify-{self.owned.run_id}-{self.name}-{number:04}"
            entries.append({"MessageBody": body(key, number), **more})
        self._made += count
        return entries

    def send(self, queue: Queue, entries: Iterable[Entry]) -> None:
        """Send messages, which from now on have to be in this queue."""
        for chunk in batched(entries, 10, strict=False):
            numbered = [{"Id": str(place), **entry} for place, entry in enumerate(chunk)]
            size = sum(len(entry["MessageBody"].encode()) for entry in numbered)
            for batch in [numbered] if size < _BATCH_BYTES else [[entry] for entry in numbered]:
                answer = self.aws.sqs.send_message_batch(QueueUrl=queue.url, Entries=batch)
                if failed := answer.get("Failed"):
                    raise MismatchError(f"SQS didn't accept {len(failed)} messages: {failed[0]['Code']}.")
            self.ledger.expect(queue.name, chunk)

    def bury(self, pair: Pair, entries: Sequence[Entry]) -> None:
        """Send messages and let SQS move them to the dead-letter queue, as after too many receives."""
        self.send(pair.source, entries)
        self._buried[pair.dlq.name] += len(entries)
        self.let_die(pair, self._buried[pair.dlq.name])
        self.ledger.expect(pair.dlq.name, entries)

    def let_die(self, pair: Pair, dead: int) -> None:
        """Receive from a queue until its dead-letter queue has so many messages."""

        def received() -> int:
            self.aws.sqs.receive_message(QueueUrl=pair.source.url, MaxNumberOfMessages=10, VisibilityTimeout=0)
            return self.depth(pair.dlq.url)

        self._until_count(received, dead, pair.dlq, pause=0.05)

    def _until_count(self, count: Callable[[], int], wanted: int, queue: Queue, pause: float = _POLL_SECONDS) -> None:
        """Wait until a queue has so many messages, and say how many there were if it doesn't come to that."""
        found = 0

        def reached() -> bool:
            nonlocal found
            found = count()
            return found == wanted

        try:
            self.until(reached, f"{wanted} messages in {queue.name}", pause=pause)
        except MismatchError as error:
            raise MismatchError(f"{error} There were {found} at the end.") from None

    def take(self, queue: Queue) -> None:
        """Receive and delete every message of a queue of ours, and enter them in the ledger."""
        empty = 0

        def emptied() -> bool:
            nonlocal empty
            messages = self.aws.sqs.receive_message(
                QueueUrl=queue.url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=_VISIBILITY_SECONDS,
                WaitTimeSeconds=1 if empty else 0,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            ).get("Messages", [])
            self.ledger.find(queue.name, messages)
            if messages:
                handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)]
                self.aws.sqs.delete_message_batch(QueueUrl=queue.url, Entries=handles)
                empty = 0
                return False
            empty += 1
            return empty >= _EMPTY_RECEIVES and self.depth(queue.url) == 0

        self.until(emptied, f"{queue.name} to be empty", pause=0)

    def balance(self, *queues: Queue) -> None:
        """Take what is in all queues of the scenario, and compare it with what has to be there.

        Raises
        ------
        MismatchError
            A message is missing, altered, in another place, out of order, or there more than once.
        """
        for queue in queues:
            self.take(queue)
        if found := self.ledger.problems(self.duplicates_allowed):
            raise MismatchError(" ".join(found))

    # Runs

    def start(self, run_input: Any) -> str:
        """Start a run; return the ARN of its execution."""
        machine = self.stack.outputs["RedriveStateMachineArn"]
        answer = self.aws.workflow.start_execution(stateMachineArn=machine, input=json.dumps(run_input))
        execution: str = answer["executionArn"]
        self._executions[execution] = run_input.get("dlq", "") if isinstance(run_input, dict) else ""
        return execution

    def ended(self, execution: str) -> Report:
        """Wait until a run has ended, and return its report."""
        described: dict[str, Any] = {}

        def over() -> bool:
            described.update(self.aws.workflow.describe_execution(executionArn=execution))
            return bool(described["status"] != "RUNNING")

        self.until(over, "the run to end")
        self._executions.pop(execution, None)
        try:
            report: Report = json.loads(described.get("output") or described.get("cause") or "")
        except ValueError:
            raise MismatchError(f"Expected a report, found none; {execution} ended as {described['status']}.") from None
        self.duplicates_allowed += report.get("duplicatesPossible", 0)
        return report

    def redrive(self, dlq: Queue | str, **options: Any) -> Report:
        """Start a run, wait until it has ended, and return its report."""
        return self.ended(self.start({"dlq": dlq if isinstance(dlq, str) else dlq.name, **options}))

    def stop_run(self, dlq: str) -> Any:
        """Invoke the stop function, and return its answer."""
        name = self.stack.outputs["StopFunctionName"]
        answer = self.aws.functions.invoke(FunctionName=name, Payload=json.dumps({"dlq": dlq}))
        return json.loads(answer["Payload"].read())

    def end_runs(self) -> None:
        """Stop the runs that this scenario has left behind, and wait until they have ended."""
        for execution, dlq in list(self._executions.items()):
            # On the quarantine, the run that would be stopped may be someone else's.
            if dlq.startswith(self.owned.prefix):
                # Answered with an error if the run has ended or not begun.
                self.stop_run(dlq)
            with suppress(MismatchError):
                self.ended(execution)

    # Checks

    def until(
        self,
        condition: Callable[[], bool],
        what: str,
        *,
        pause: float = _POLL_SECONDS,
    ) -> None:
        """Wait until a condition holds.

        Raises
        ------
        MismatchError
            It didn't hold in time.
        InterruptedByUserError
            The verification was interrupted.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise MismatchError(f"Expected {what} within {PATIENCE_SECONDS:.0f} seconds; it didn't happen.")
            if self.stop.wait(pause):
                raise InterruptedByUserError


def require(what: str, found: Any, expected: Any, report: Report | None = None) -> None:
    """Raise MismatchError unless something is as expected; the report's reason helps to find out why."""
    if found != expected:
        reason = f" The run's reason: {report['reason']}" if report and report.get("reason") else ""
        raise MismatchError(f"Expected {what} to be {expected}, found {found}.{reason}")


def require_counts(report: Report, status: str, **counts: int) -> None:
    """Raise MismatchError unless a run ended with this status and these counts."""
    require("the status", report["status"], status, report)
    for name, count in counts.items():
        require(f"the count {name}", report["counts"][name], count, report)
