"""Leases in tags, with moto: one run has the queue, a lost lease is noticed, and a dead one ends by itself."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redrive.adapters import tag_lease
from redrive.adapters.clock import aws_time
from redrive.adapters.tag_lease import TagLease
from redrive.domain.errors import LockLostError, RejectedError
from redrive.domain.plan.lease import LEASE_LASTS, LEASE_TAG, lease_in

START = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)


class Account:
    """SQS as leases see it, on a clock of its own; `errors` are raised by operation."""

    def __init__(self, cloud: Any) -> None:
        self.cloud = cloud
        self.queue = cloud.queue("orders-dlq")
        self.now = 0.0
        self.errors: dict[str, str] = {}
        self.calls: list[str] = []
        #: Called at the beginning of each pause.
        self.meanwhile: Callable[[], None] = lambda: None

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.calls.append(operation)
            if operation in self.errors:
                raise ClientError({"Error": {"Code": self.errors[operation]}}, operation)
            answer = getattr(self.cloud.sqs, operation)(**arguments)
            date = START + timedelta(seconds=self.now)
            answer["ResponseMetadata"]["HTTPHeaders"] = {"date": f"{date:%a, %d %b %Y %H:%M:%S GMT}"}
            return answer

        return call

    def lease(self, run: str) -> TagLease:
        client: Any = self
        return TagLease(client, self.queue, run, "laptop", clock=lambda: self.now, pause=self.pass_time)

    def pass_time(self, seconds: float) -> None:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        self.now += seconds

    @property
    def holder(self) -> str | None:
        lease = lease_in(self.cloud.queues.tags(self.queue))
        return lease.run if lease and lease.until > START + timedelta(seconds=self.now) else None


@pytest.fixture(autouse=True)
def no_thread(monkeypatch):
    """Let a test decide when a lease is looked at."""
    monkeypatch.setattr(threading.Thread, "start", lambda _self: None)


@pytest.fixture
def account(cloud):
    return Account(cloud)


def test_one_run_has_the_lease_until_it_gives_it_up(account):
    first, second = account.lease("a"), account.lease("b")
    first.take()
    with pytest.raises(RejectedError, match="The run a on the machine laptop"):
        second.take()
    first.release()
    assert account.cloud.queues.tags(account.queue) == {}
    second.take()
    assert account.holder == "b"


def test_the_lease_of_a_dead_run_ends_by_itself_and_sooner_for_who_knows_that_it_is_dead(account):
    account.lease("a").take()
    account.lease("b").take(("a",))
    account.now += LEASE_LASTS + 1
    account.lease("c").take()
    assert account.holder == "c"


def test_it_is_renewed_in_time_with_few_requests(account):
    lease = account.lease("a")
    lease.take()
    account.calls.clear()
    for _ in range(600):
        account.now += 1
        lease.check()
        assert account.holder == "a"
    # An account has five requests about tags per second.
    assert len(account.calls) / 600 < 0.25


def test_a_lease_that_another_run_has_taken_is_lost_and_stays_the_others(account):
    lease = account.lease("a")
    lease.take()
    account.lease("b").take(("a",))
    account.now += 5
    for _ in range(2):
        with pytest.raises(LockLostError, match="orders-dlq"):
            lease.check()
    lease.release()
    assert account.holder == "b"


def test_two_that_begin_in_the_same_moment_end_with_one(account):
    first, second = account.lease("a"), account.lease("b")
    account.meanwhile = lambda: account.cloud.sqs.untag_queue(QueueUrl=account.queue.url, TagKeys=[LEASE_TAG])
    first.take()
    # Both have read the tag before either wrote it, and the second one wrote last.
    account.cloud.sqs.untag_queue(QueueUrl=account.queue.url, TagKeys=[LEASE_TAG])
    second.take()
    account.now += 5
    with pytest.raises(LockLostError):
        first.check()
    second.check()


def test_a_lease_that_is_somebody_elses_when_it_is_read_back_is_not_taken(account):
    first, second = account.lease("a"), account.lease("b")

    def overwrite():
        account.cloud.sqs.untag_queue(QueueUrl=account.queue.url, TagKeys=[LEASE_TAG])
        second.take()

    account.meanwhile = overwrite
    with pytest.raises(RejectedError, match="The run b on the machine laptop"):
        first.take()
    assert account.holder == "b"


@given(
    delays=st.tuples(*[st.floats(0, 3)] * 2),
    writes=st.tuples(*[st.floats(0, 4)] * 2),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_of_two_that_begin_at_about_the_same_time_one_is_left_after_a_look(delays, writes):
    """Each reads the tag, writes it after a while, waits, and reads it again."""
    events = sorted(
        (at, run, what)
        for run, begins, write in zip("ab", delays, writes, strict=True)
        for at, what in (
            (begins, "read"),
            (begins + write, "write"),
            (begins + write + tag_lease._READ_BACK_AFTER, "again"),
        )
    )
    tag, alive = None, {"a": True, "b": True}
    for _, run, what in events:
        if what == "write" and alive[run]:
            tag = run
        elif tag not in {None, run}:
            alive[run] = False
    # What `check` finds from then on.
    left = [run for run in alive if alive[run] and tag == run]
    assert len(left) == 1
    if all(alive.values()):
        # Until that look, both may move messages: only if one took longer from reading to writing than the other waits.
        assert max(writes) > tag_lease._READ_BACK_AFTER


def test_a_lease_survives_requests_that_fail_until_it_would_end(account):
    lease = account.lease("a")
    lease.take()
    account.errors = {"list_queue_tags": "ThrottlingException"}
    while account.now < LEASE_LASTS - 25:
        account.now += 5
        lease.check()
    account.now += 10
    with pytest.raises(ClientError):
        lease.check()
    account.errors = {}
    lease.check()
    assert account.holder == "a"


def test_after_a_night_asleep_the_tag_decides(account):
    lease = account.lease("a")
    lease.take()
    account.now += 8 * 3600
    account.lease("b").take()
    with pytest.raises(LockLostError):
        lease.check()


def test_after_a_night_alone_the_run_goes_on(account):
    lease = account.lease("a")
    lease.take()
    account.now += 8 * 3600
    lease.check()
    assert account.holder == "a"


@pytest.mark.parametrize("operation", ["list_queue_tags", "tag_queue"])
def test_without_permission_for_tags_nothing_begins(account, operation):
    account.errors = {operation: "AccessDenied"}
    with pytest.raises(RejectedError, match="sqs:TagQueue"):
        account.lease("a").take()


def test_a_tag_that_somebody_removed_is_written_again(account):
    lease = account.lease("a")
    lease.take()
    account.cloud.sqs.untag_queue(QueueUrl=account.queue.url, TagKeys=[LEASE_TAG])
    account.now += 5
    lease.check()
    assert account.holder == "a"


def test_other_tags_stay(account):
    account.cloud.sqs.tag_queue(QueueUrl=account.queue.url, Tags={"team": "orders"})
    lease = account.lease("a")
    lease.take()
    lease.release()
    assert account.cloud.queues.tags(account.queue) == {"team": "orders"}


def test_the_time_is_that_of_aws_or_of_this_machine():
    answer = {"ResponseMetadata": {"HTTPHeaders": {"date": "Sun, 29 Nov 2026 03:00:00 GMT"}}}
    assert aws_time(answer) == START
    for odd in ({}, {"ResponseMetadata": {"HTTPHeaders": {"date": "soon"}}}):
        assert abs((aws_time(odd) - datetime.now(UTC)).total_seconds()) < 60
