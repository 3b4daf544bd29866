"""The runs of a stack as an operator sees them from anywhere: starts them, watches them live, and stops them.

Used by the commands only. Reads what the run itself records in the runs table, and how its execution ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import batched, islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from redrive.adapters.account import THREADS, Account
from redrive.adapters.error_codes import DENIED
from redrive.adapters.executions import RUNNING, open_executions
from redrive.adapters.run_records import RunRecords
from redrive.adapters.stack import Stack
from redrive.adapters.table import Table
from redrive.domain.errors import RejectedError
from redrive.domain.moving.results import SliceResult, Totals
from redrive.domain.names import display_name, is_hash
from redrive.domain.runs.continuation import RunProgress
from redrive.domain.runs.record import RunRecord

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Executions in progress that are described; a stack has one per queue.
_MOST_DESCRIBED = 50
_MOST_NAMED = 200
#: Days to search for the latest runs of all queues: by default, records are kept for 90 days.
DAYS = 92


@dataclass(frozen=True, slots=True)
class Lock:
    """Which run holds a queue, and since when."""

    run_id: str
    execution_arn: str
    started_at: datetime
    #: An operator asked the run to stop.
    stopping: bool


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution of the redrive workflow."""

    arn: str
    #: The run that begins with it.
    run_id: str
    #: RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED, or PENDING_REDRIVE.
    status: str
    started_at: datetime
    #: Its input as it came; empty if that is no object.
    given: Mapping[str, Any]
    #: The report as JSON, if it ended with one, or else whatever it ended with.
    result: str | None
    #: Name of the error that it ended with.
    error: str | None

    @property
    def reference(self) -> str:
        """How commands refer to the run: by its id or, if that is a hash, by its ARN."""
        return self.arn if is_hash(self.run_id) else self.run_id

    @property
    def is_on(self) -> bool:
        """Whether it hasn't ended."""
        return self.status in {RUNNING, "PENDING_REDRIVE"}

    @property
    def continues(self) -> str | None:
        """The run that it continues, which began with another execution; None if it continues none.

        Anyone who can start executions could have written it.
        """
        given = self.given.get("continuation")
        run = given.get("run") if isinstance(given, Mapping) else None
        return run if isinstance(run, str) else None


@dataclass(frozen=True, slots=True)
class Live:
    """What a run has recorded so far."""

    #: As of its last round; None before that.
    progress: RunProgress | None
    #: What the lanes have done in all, at most a few seconds ago; None if no lane has begun.
    totals: Totals | None


class StackRuns:
    """The runs of a stack.

    Parameters
    ----------
    account : Account
        Whose credentials are used.
    stack : Stack
        The stack.
    """

    def __init__(self, account: Account, stack: Stack) -> None:
        self._account = account
        self.stack = stack

    @cached_property
    def _states(self) -> Any:
        return self._account.client("stepfunctions")

    @cached_property
    def _rows(self) -> _Rows:
        return _Rows(self.stack.run_table, self._account.client("dynamodb"))

    def start(self, name: str, given: Mapping[str, Any], *, is_new: bool) -> str:
        """Start a run; return the ARN of its execution.

        Parameters
        ----------
        name : str
            The run's id.
        given : Mapping[str, Any]
            The input.
        is_new : bool
            Nobody else can have chosen this name, so a run that has it is this one, of which an answer got lost.

        Raises
        ------
        RejectedError
            If its name is taken.
        """
        try:
            answer = self._states.start_execution(
                stateMachineArn=self.stack.state_machine_arn, name=name, input=json.dumps(given)
            )
        except self._states.exceptions.ExecutionAlreadyExists:
            if is_new:
                return self.stack.execution_arn(name)
            raise RejectedError(f"There is a run {name} already. Choose another --name.") from None
        return str(answer["executionArn"])

    def ask_to_stop(self, dlq: str) -> Mapping[str, Any]:
        """Ask the run on a queue to stop; return what the stop function answers."""
        answer = self._account.client("lambda").invoke(
            FunctionName=self.stack.stop_function, Payload=json.dumps({"dlq": dlq})
        )
        found: Any = json.loads(answer["Payload"].read())
        return found if isinstance(found, Mapping) else {}

    def described(self, arn: str) -> Execution | None:
        """Return an execution, or None if there is none of that ARN, or Step Functions has forgotten it."""
        try:
            found = self._states.describe_execution(executionArn=arn)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"ExecutionDoesNotExist", "InvalidArn", "ValidationException"}:
                return None
            raise
        return Execution(
            arn=found["executionArn"],
            run_id=display_name(found["name"]),
            status=found["status"],
            started_at=found["startDate"],
            given=_object(found.get("input")),
            result=found.get("output") or found.get("cause"),
            error=found.get("error"),
        )

    def running(self) -> list[Execution]:
        """Return the runs in progress, the newest first, each with the execution that it began with."""
        arns = islice(open_executions(self._states, self.stack.state_machine_arn), _MOST_DESCRIBED)
        found = [self.described(arn) for arn in arns]
        return [execution for execution in found if execution and execution.is_on and execution.continues is None]

    @cached_property
    def records(self) -> RunRecords:
        """The records of runs, kept for `RecordDays` days."""
        return RunRecords(self.stack.run_table, self._account.client("dynamodb"))

    def latest(self, most: int, now: datetime) -> list[RunRecord]:
        """Return the records of the latest runs on all queues, newest first, with one query per day."""
        # The operator's clock may be behind.
        tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
        found: list[RunRecord] = []
        with ThreadPoolExecutor(THREADS) as pool:
            for days in batched((tomorrow - timedelta(days=number) for number in range(DAYS)), THREADS, strict=False):
                for records in pool.map(lambda day: self.records.of_day(day, most), days):
                    found += records
                if len(found) >= most:
                    break
        return found[:most]

    def names(self) -> set[str]:
        """Return the names of the latest runs and their queues, as suggestions; none if access is denied."""
        try:
            latest = self.latest(_MOST_NAMED, datetime.now(UTC))
        except ClientError as error:
            if error.response["Error"]["Code"] not in DENIED:
                raise
            return set()
        return {name for record in latest for name in (record.run_id, record.dlq) if name is not None}

    def statuses_of(self, records: Iterable[RunRecord]) -> list[str | None]:
        """Return the status of each run as `status_of` does."""
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(self.status_of, records))

    def status_of(self, record: RunRecord) -> str | None:
        """Return how a run ended, or `RUNNING`, or how its execution ended without a report; None if unknown."""
        if record.status is not None:
            return record.status
        try:
            execution = self.described(record.known_as)
        except ClientError as error:
            if error.response["Error"]["Code"] in DENIED:
                return None
            raise
        return None if execution is None else RUNNING if execution.is_on else execution.status

    def holder(self, dlq_arn: str) -> Lock | None:
        """Return which run holds a queue, if one does. It may have died."""
        return self._rows.holder(dlq_arn)

    def live(self, run_id: str) -> Live:
        """Return what a run has recorded so far."""
        return self._rows.live(run_id)


class _Rows(Table):
    """What the runs table says about runs (`redrive.adapters.run_table` lists the rows), read only."""

    def __init__(self, name: str, client: DynamoDBClient) -> None:
        super().__init__(name, client)

    def holder(self, dlq_arn: str) -> Lock | None:
        lock = self._get(f"dlq#{dlq_arn}", "lock")
        if lock is None:
            return None
        return Lock(
            run_id=lock["runId"]["S"],
            execution_arn=lock["executionArn"]["S"],
            started_at=datetime.fromtimestamp(int(lock["startedAt"]["N"]) / 1000).astimezone(),
            stopping=bool(lock.get("stop", {}).get("BOOL", False)),
        )

    def live(self, run_id: str) -> Live:
        progress: RunProgress | None = None
        lanes: list[tuple[int, SliceResult]] = []
        for item in self._between(run_id, "lane#", "progress"):
            if item["sk"]["S"] == "progress":
                progress = RunProgress.model_validate_json(item["progress"]["S"])
            elif "result" in item:
                result = SliceResult.as_far_as_readable(json.loads(item["result"]["S"]), SliceResult.from_json_object)
                lanes.append((int(item["round"]["N"]), result))
        # The slices of earlier rounds are in the tally. A lane may have begun a round since its row was read.
        rounds = progress.tally.rounds if progress else 0
        current = [result for round_, result in lanes if round_ >= rounds]
        totals: Totals | None = progress.tally if progress else None
        for result in current:
            totals = (totals or Totals()).plus(result)
        return Live(progress=progress, totals=totals)

    def _between(self, run_id: str, first: str, last: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={":pk": {"S": f"run#{run_id}"}, ":first": {"S": first}, ":last": {"S": last}},
        )
        for page in pages:
            yield from map(self._readable, page.get("Items", []))


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}
