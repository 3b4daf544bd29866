"""The runs table: which run holds a queue's lock, how far runs and lanes are, which messages are kept invisible.

Used by every step that changes a run's state; `redrive.adapters.checkpoints` has the lanes' part. A DynamoDB
table with the keys `pk` and `sk`:

=================  ==========================  ==================================================
pk                 sk                          item
=================  ==========================  ==================================================
dlq#ARN            lock                        the run that holds the queue's lock; `stop` asks it to end
dlq#ARN            automatic                   the automatic runs on the queue
trigger#ID         automatic                   the execution that handles an alarm's or a schedule's event
dlq#ARN            undeleted#TIME#LANE#N       messages sent but possibly not deleted, and those deleted later
run#ID             progress                    plan, sample, and tally of the run after its last round
run#ID             lane#LANE                   checkpoint of the lane's current slice, and whose it is
run#ID             held#TIME#LANE#N            messages kept invisible until the run ends
run#ID             metrics#STEP                marker: the step's counts were published
=================  ==========================  ==================================================

Each item has the `format` that `redrive.adapters.table` writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.table import Table
from redrive.domain.errors import LockLostError

if TYPE_CHECKING:
    from redrive.domain.automatic.limits import Record
    from redrive.domain.plan.run_plan import RunIdentity, RunPlan
    from redrive.domain.runs.continuation import RunProgress
    from redrive.domain.runs.tally import Tally


class MetricsClaimError(Exception):
    """DynamoDB didn't say whether a step's counts were published before; the text is the error's code."""


class RunTable(Table):
    """The runs table: locks, the progress of runs, metrics, and automatic runs."""

    # The lock

    def lock(self, plan: RunPlan, instead_of: str | None = None) -> str | None:
        """Take the queue's lock.

        Parameters
        ----------
        plan : RunPlan
            The run that wants it.
        instead_of : str | None
            ARN of an ended execution whose lock the run takes over.

        Returns
        -------
        str | None
            None if the run now holds the lock, otherwise the ARN of the execution that holds it.
        """
        after: tuple[str, ...] = ()
        if instead_of is not None and (ended := self._get(f"dlq#{plan.dlq.arn}", "lock")) is not None:
            after = (*_after(ended), ended["runId"]["S"])
        try:
            self._client.put_item(
                TableName=self._name,
                Item=self._item(
                    f"dlq#{plan.dlq.arn}",
                    "lock",
                    runId={"S": plan.run_id},
                    executionArn={"S": plan.execution_arn},
                    startedAt={"N": str(plan.started_at)},
                    after={"L": [{"S": run_id} for run_id in after]},
                ),
                ConditionExpression="attribute_not_exists(pk) OR executionArn = :ended",
                ExpressionAttributeValues={":ended": {"S": instead_of or "none"}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            lock: dict[str, Any] = error.response["Item"]  # type: ignore[typeddict-item]
            # An earlier attempt at the same step may have taken it.
            return None if lock["runId"]["S"] == plan.run_id else lock["executionArn"]["S"]
        return None

    def taken_over_from(self, plan: RunIdentity) -> tuple[str, ...]:
        """Return the ids of the ended runs whose lock this run took over, the first one first."""
        return _after(self._get(f"dlq#{plan.dlq.arn}", "lock") or {})

    def lost(self, plan: RunIdentity) -> bool:
        """Return whether another run holds the queue's lock."""
        lock = self._get(f"dlq#{plan.dlq.arn}", "lock")
        return lock is not None and lock["runId"]["S"] != plan.run_id

    def unlock(self, plan: RunIdentity) -> None:
        """Release the lock if this run holds it."""
        try:
            self._client.delete_item(
                TableName=self._name,
                Key=self._key(f"dlq#{plan.dlq.arn}", "lock"),
                ConditionExpression="runId = :run",
                ExpressionAttributeValues={":run": {"S": plan.run_id}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            # Another run considered this one dead and took over the lock.
            return

    def wants_stop(self, plan: RunPlan) -> bool:
        """Return whether an operator asked the run to stop.

        Raises
        ------
        LockLostError
            If the run doesn't hold the queue's lock and must not move any messages.
        """
        lock = self._get(f"dlq#{plan.dlq.arn}", "lock") or {}
        if lock.get("runId", {}).get("S") != plan.run_id:
            raise LockLostError(
                f"Expected the run {plan.run_id} to hold the lock of {plan.dlq.name}, but it doesn't. "
                "The run moves no more messages; start a new run."
            )
        return bool(lock.get("stop", {}).get("BOOL", False))

    def ask_to_stop(self, dlq_arn: str) -> tuple[str, str] | None:
        """Ask the run that holds the queue's lock to stop; return its id and its execution's ARN, or None."""
        try:
            response = self._client.update_item(
                TableName=self._name,
                Key=self._key(f"dlq#{dlq_arn}", "lock"),
                UpdateExpression="SET stop = :yes",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues={":yes": {"BOOL": True}},
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        lock = response["Attributes"]
        return lock["runId"]["S"], lock["executionArn"]["S"]

    # Progress

    def record(self, progress: RunProgress) -> Tally:
        """Record how far a run is after a round.

        The table keeps the first record of a round, because the run may have followed its decision already. It fits in
        an item: Step Functions passes at most 256 KiB to the step that records it, and an item can hold 400 KB
        (DynamoDB developer guide, "Quotas").

        Returns
        -------
        Tally
            The recorded tally: the given one, or that of an earlier attempt whose answer got lost.
        """
        try:
            self._client.put_item(
                TableName=self._name,
                Item=self._item(
                    f"run#{progress.plan.run_id}",
                    "progress",
                    rounds={"N": str(progress.tally.rounds)},
                    progress={"S": progress.model_dump_json()},
                ),
                ConditionExpression="attribute_not_exists(pk) OR rounds < :rounds",
                ExpressionAttributeValues={":rounds": {"N": str(progress.tally.rounds)}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            return _progress_in(error.response["Item"]).tally  # type: ignore[typeddict-item]
        return progress.tally

    def progress(self, run_id: str) -> RunProgress | None:
        """Return how far a run was after its last round; None if it hasn't finished one."""
        item = self._get(f"run#{run_id}", "progress")
        return _progress_in(item) if item else None

    # Metrics

    def claim_metrics(self, run_id: str, step: str) -> bool:
        """Return whether to publish the counts of a step: True only for the first call.

        Raises
        ------
        MetricsClaimError
            If DynamoDB can't be asked.
        """
        try:
            self._client.put_item(
                TableName=self._name,
                Item=self._item(f"run#{run_id}", f"metrics#{step}"),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except ClientError as error:
            raise MetricsClaimError(error.response["Error"]["Code"]) from error
        except BotoCoreError as error:
            raise MetricsClaimError(type(error).__name__) from error
        return True

    # Automatic runs

    def holder(self, dlq_arn: str) -> str | None:
        """Return the ARN of the execution that holds the queue's lock, or None if none does."""
        lock = self._get(f"dlq#{dlq_arn}", "lock")
        return lock["executionArn"]["S"] if lock else None

    def is_first(self, trigger_id: str, execution_arn: str) -> bool:
        """Claim the trigger; return whether no other execution claimed it before."""
        try:
            self._client.put_item(
                TableName=self._name,
                Item=self._item(f"trigger#{trigger_id}", "automatic", executionArn={"S": execution_arn}),
                ConditionExpression="attribute_not_exists(pk) OR executionArn = :me",
                ExpressionAttributeValues={":me": {"S": execution_arn}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def automatic(self, dlq_arn: str) -> tuple[Record, int]:
        """Return the record of a queue's automatic runs and its version; version 0 if there is no record yet."""
        # Only automatic starts need it.
        from redrive.domain.automatic.limits import Record  # noqa: PLC0415

        item = self._get(f"dlq#{dlq_arn}", "automatic")
        if item is None:
            return Record(), 0
        return Record.model_validate_json(item["record"]["S"]), int(item["version"]["N"])

    def note_automatic(self, dlq_arn: str, record: Record, version: int) -> bool:
        """Write the record unless it has changed since that version; return whether it was written."""
        try:
            self._client.put_item(
                TableName=self._name,
                Item=self._item(
                    f"dlq#{dlq_arn}",
                    "automatic",
                    record={"S": record.model_dump_json()},
                    version={"N": str(version + 1)},
                ),
                ConditionExpression="attribute_not_exists(pk) OR version = :known",
                ExpressionAttributeValues={":known": {"N": str(version)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _progress_in(item: dict[str, Any]) -> RunProgress:
    # Only the coordinator needs it.
    from redrive.domain.runs.continuation import RunProgress  # noqa: PLC0415

    return RunProgress.model_validate_json(item["progress"]["S"])


def _after(lock: dict[str, Any]) -> tuple[str, ...]:
    return tuple(run_id["S"] for run_id in lock.get("after", {}).get("L", []))
