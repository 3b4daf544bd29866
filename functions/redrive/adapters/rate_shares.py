"""The shares that runs have of the max rates of queues, in the runs table.

Used by the plan step, by lanes that meet a queue in mid-run, and by the clean-up:

=================  ==========================  ==================================================
pk                 sk                          item
=================  ==========================  ==================================================
destination#ARN    shares                      the shares of a queue, by run
run#ID             share#ARN                   marker: the run may have a share of the queue
=================  ==========================  ==================================================
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.error_codes import error_code
from redrive.adapters.table import Table
from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueRef
from redrive.domain.plan.directories import ExecutionDirectory
from redrive.domain.plan.rates import MaxRate, Share, Shares, nothing_left, share_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Of all that write at the same time, one succeeds, and at most 20 lanes of a few runs do.
_MOST_ATTEMPTS = 200
# Seconds between two attempts.
_LONGEST_PAUSE = 0.05


class RateShares(Table):
    """The shares of all queues that declare a max rate.

    Parameters
    ----------
    name : str
        The runs table.
    executions : ExecutionDirectory
        Tells the shares of runs in progress from those of dead ones.
    pause : Callable[[float], None]
        Waits for some seconds.
    """

    def __init__(
        self,
        name: str,
        executions: ExecutionDirectory,
        client: DynamoDBClient | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(name, client)
        self._executions = executions
        self._pause = pause

    def reserve(self, run_id: str, execution_arn: str, queue: QueueRef, wanted: float, max_rate: float) -> MaxRate:
        """Return a run's share of a queue's max rate: the one that it has, or a new one.

        Parameters
        ----------
        run_id, execution_arn : str
            The run, and its execution: once that has ended, so has the share.
        queue : QueueRef
            The queue that declares the max rate.
        wanted, max_rate : float
            What the run could use, and what the queue declares: messages per second.

        Raises
        ------
        RejectedError
            If too little is left, or the table can't be used.
        """
        try:
            # First the marker, so that the clean-up finds every share there may be.
            self._put(f"run#{run_id}", f"share#{queue.arn}")
            for _ in self._attempts(queue):
                shares, version = self._read(queue.arn)
                share = share_of(run_id, wanted, max_rate, shares)
                if share is None or (share < wanted and run_id not in shares.by_run):
                    shares = shares.without(self._dead(shares))
                    share = share_of(run_id, wanted, max_rate, shares)
                if share is None:
                    raise nothing_left(queue, max_rate, shares)
                mine = {run_id: Share(rate=share, execution_arn=execution_arn)}
                if run_id in shares.by_run or self._write(queue.arn, Shares(by_run=shares.by_run | mine), version):
                    return MaxRate(queue=queue, max_rate=max_rate, share=share)
        except (ClientError, BotoCoreError) as error:
            raise RejectedError(
                f"The rate that other runs have reserved of {queue.name} can't be read or changed "
                f"({error_code(error)}). Start the run again."
            ) from None
        raise AssertionError("unreachable")  # pragma: no cover

    def release(self, run_id: str) -> None:
        """Give up all shares of a run; those of a dead run are dropped by the next one that needs them."""
        for arn in [item["sk"]["S"].removeprefix("share#") for item in self._find(f"run#{run_id}", "share#")]:
            for _ in self._attempts(arn):
                shares, version = self._read(arn)
                if run_id not in shares.by_run or self._write(arn, shares.without({run_id}), version):
                    break

    def _attempts(self, queue: QueueRef | str) -> Iterator[int]:
        for attempt in range(_MOST_ATTEMPTS):
            if attempt:
                self._pause(random.random() * _LONGEST_PAUSE)
            yield attempt
        name = queue if isinstance(queue, str) else queue.name
        raise RejectedError(f"Too many runs reserve a rate of {name} at the same time. Start the run again.")

    def _dead(self, shares: Shares) -> set[str]:
        return {run for run, share in shares.by_run.items() if not self._executions.is_running(share.execution_arn)}

    def _read(self, arn: str) -> tuple[Shares, int]:
        item = self._get(f"destination#{arn}", "shares")
        return (Shares.model_validate_json(item["shares"]["S"]), int(item["version"]["N"])) if item else (Shares(), 0)

    def _write(self, arn: str, shares: Shares, version: int) -> bool:
        """Write the shares unless they have changed since that version; return whether they were written.

        The row is never deleted, not even without shares: a new one would begin with a version that was there before.
        """
        try:
            self._put(
                f"destination#{arn}",
                "shares",
                {"shares": {"S": shares.model_dump_json()}, "version": {"N": str(version + 1)}},
                ConditionExpression="version = :known" if version else "attribute_not_exists(pk)",
                **({"ExpressionAttributeValues": {":known": {"N": str(version)}}} if version else {}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _put(self, pk: str, sk: str, values: dict[str, Any] | None = None, **condition: Any) -> None:
        self._client.put_item(TableName=self._name, Item=self._item(pk, sk, **(values or {})), **condition)
