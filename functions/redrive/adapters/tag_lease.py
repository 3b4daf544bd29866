"""Keeps the lease of a run without a stack in a tag of its dead-letter queue, and notices when somebody else has it.

Used by `redrive.adapters.local_runs`. Tags can't be written under a condition, so two runs that begin within the same
moment may both believe that they have the queue, until either one reads the tag again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.clock import aws_time
from redrive.adapters.error_codes import DENIED, error_code
from redrive.aws_session import aws_client
from redrive.domain.errors import LockLostError, RejectedError
from redrive.domain.messages.queues import QueueAddress
from redrive.domain.plan.lease import LEASE_LASTS, LEASE_TAG, Lease, check_lease, lease_in

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})
# Seconds between writing and reading back: longer than another run takes from reading the tag to writing it.
_READ_BACK_AFTER = 2.0
# Seconds between two looks at the tag, and between two renewals. An account has five requests about tags per second
# (SQS developer guide, "Quotas related to queues").
_LOOKS_EVERY = 5.0
_RENEWED_EVERY = 40.0
# Seconds before its end at which a lease that couldn't be renewed counts as lost.
_MARGIN = 20.0


def lease_client() -> SQSClient:
    """Return a client for leases. A lane waits for the answer, so it must come in time."""
    return aws_client("sqs", config=_CONFIG)


class TagLease:
    """The lease of one run on one dead-letter queue.

    Parameters
    ----------
    client : SQSClient
        Makes the requests.
    queue : QueueAddress
        The dead-letter queue.
    run_id, host : str
        The run, and the machine's name.
    clock : Callable[[], float]
        Seconds that also pass while the machine sleeps.
    pause : Callable[[float], None]
        Waits for so many seconds.
    """

    def __init__(
        self,
        client: SQSClient,
        queue: QueueAddress,
        run_id: str,
        host: str,
        *,
        clock: Callable[[], float],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._queue = queue
        self._run = run_id
        self._host = host
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._renewer: threading.Thread | None = None
        self._lost = False
        self._looked_at = float("-inf")
        self._renewed_at = float("-inf")
        self._now = datetime.now(UTC)

    def look(self, own_runs: tuple[str, ...] = ()) -> None:
        """Check that no other run has the lease.

        Parameters
        ----------
        own_runs : tuple[str, ...]
            Ids of runs that are in nobody's way, because this machine knows of them.

        Raises
        ------
        RejectedError
            If one has, or these credentials may not read the tags.
        """
        with self._denied_as_rejected():
            tags, now = self._read()
        check_lease(self._queue, tags, now, (self._run, *own_runs))

    def take(self, own_runs: tuple[str, ...] = ()) -> None:
        """Take the lease, and keep it until `release` or `leave`.

        Parameters
        ----------
        own_runs : tuple[str, ...]
            Ids of runs that are known to be dead.

        Raises
        ------
        RejectedError
            If another run has it, or these credentials may not read or write tags.
        """
        self.look(own_runs)
        with self._denied_as_rejected():
            self._write(self._now)
            self._pause(_READ_BACK_AFTER)
        self.look()
        if self._renewer is None:
            self._renewer = threading.Thread(target=self._keep, name="lease", daemon=True)
            self._renewer.start()

    def check(self) -> None:
        """Check that this run still has the lease; look at the tag, or renew it, if it is time to.

        Raises
        ------
        LockLostError
            If another run has it now, or it couldn't be renewed in time.
        ClientError, BotoCoreError
            If the tag can't be read at the moment.
        """
        with self._lock:
            if self._lost:
                raise self._taken_away()
            now = self._clock()
            if now - self._looked_at < _LOOKS_EVERY:
                return
            expires = self._renewed_at + LEASE_LASTS - _MARGIN
            try:
                tags, aws_now = self._read()
                lease = lease_in(tags)
                if lease is not None and lease.run != self._run and lease.until > aws_now:
                    self._lost = True
                    raise self._taken_away()
                if lease is None or lease.run != self._run or now - self._renewed_at >= _RENEWED_EVERY:
                    self._write(aws_now)
            except (ClientError, BotoCoreError):
                # Others respect the lease until it ends.
                if now >= expires:
                    raise
                self._looked_at = now

    def release(self) -> None:
        """Give up the lease, and remove the tag if it is this run's."""
        self._ended.set()
        tags, _ = self._read()
        lease = lease_in(tags)
        if lease is not None and lease.run == self._run:
            self._client.untag_queue(QueueUrl=self._queue.url, TagKeys=[LEASE_TAG])

    def leave(self) -> None:
        """Stop renewing the lease, which ends by itself."""
        self._ended.set()

    def _keep(self) -> None:
        while not self._ended.wait(_LOOKS_EVERY):
            # Whoever is about to move something gets the error.
            with suppress(LockLostError, ClientError, BotoCoreError):
                self.check()

    @contextmanager
    def _denied_as_rejected(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if error_code(error) not in DENIED:
                raise
            raise RejectedError(
                f"These credentials don't allow {error.operation_name} on {self._queue.name}, so other runs couldn't "
                "see that this one moves its messages. Ask for sqs:ListQueueTags, sqs:TagQueue, and sqs:UntagQueue."
            ) from None

    def _read(self) -> tuple[dict[str, str], datetime]:
        answer = self._client.list_queue_tags(QueueUrl=self._queue.url)
        self._looked_at = self._clock()
        self._now = aws_time(answer)
        return answer.get("Tags", {}), self._now

    def _write(self, now: datetime) -> None:
        lease = Lease(self._run, self._host, now + timedelta(seconds=LEASE_LASTS))
        began = self._clock()
        self._client.tag_queue(QueueUrl=self._queue.url, Tags={LEASE_TAG: lease.to_tag()})
        self._renewed_at = began

    def _taken_away(self) -> LockLostError:
        return LockLostError(
            f"Another run has taken {self._queue.name} meanwhile (its tag {LEASE_TAG}), so this one moves no more "
            "messages. What it kept invisible is visible again. Wait until the other run ends."
        )
