"""Shares of max rates in the runs table: never more than a queue declares, whoever reserves at the same time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from redrive.adapters.rate_shares import RateShares
from redrive.domain.errors import RejectedError
from redrive.domain.plan.rates import MaxRate
from tests.support import factories
from tests.support.fakes import FakeExecutions
from tests.support.moto_cloud import MotoCloud, moto_cloud

ORDERS = factories.queue("orders")
RUNS = [f"run-{number}" for number in range(12)]


class Account:
    """A runs table, and the executions that are running."""

    def __init__(self, cloud: MotoCloud) -> None:
        self.name = cloud.run_table()
        self.executions = FakeExecutions(set(RUNS))

    def shares(self, client: Any = None) -> RateShares:
        return RateShares(self.name, self.executions, client, pause=lambda _: None)

    def reserve(self, run: str, wanted: float, max_rate: float = 20, queue: str = "orders") -> float:
        return self.shares().reserve(run, run, factories.queue(queue), wanted, max_rate).share


@pytest.fixture
def account() -> Iterator[Account]:
    with moto_cloud() as cloud:
        yield Account(cloud)


def test_a_share_is_reserved_for_a_run(account):
    reserved = account.shares().reserve("run-1", "run-1", ORDERS, 5, 20)
    assert reserved == MaxRate(queue=ORDERS, max_rate=20, share=5)


def test_the_next_run_gets_what_is_left_and_the_one_after_it_learns_who_has_it(account):
    assert account.reserve("run-1", 5) == 5
    assert account.reserve("run-2", 50) == 15
    with pytest.raises(RejectedError, match=r"have reserved shares of it: run-1 \(5\) and run-2 \(15\)"):
        account.reserve("run-3", 1)


def test_all_lanes_and_attempts_of_a_run_have_the_same_share(account):
    assert [account.reserve("run-1", wanted) for wanted in (5, 50, 1)] == [5, 5, 5]


def test_each_queue_has_its_own_shares(account):
    assert [account.reserve(run, 20, queue=queue) for run, queue in (("run-1", "orders"), ("run-2", "bills"))] == [
        20,
        20,
    ]


def test_a_run_that_has_ended_has_no_share(account):
    account.reserve("run-1", 20)
    account.executions.running.remove("run-1")
    assert account.reserve("run-2", 20) == 20
    # Its share is gone, not just left out.
    account.executions.running.add("run-1")
    with pytest.raises(RejectedError, match=r"run-2 \(20\)"):
        account.reserve("run-1", 20)


def test_nobody_asks_whether_other_runs_have_ended_if_enough_is_left(account):
    account.reserve("run-1", 5)
    account.executions.running.clear()
    assert account.reserve("run-2", 5) == 5
    account.executions.running.update(RUNS)
    assert account.reserve("run-3", 20) == 10


def test_a_run_gives_up_all_of_its_shares(account):
    for queue in ("orders", "bills"):
        account.reserve("run-1", 20, queue=queue)
    account.reserve("run-2", 20, queue="letters")
    for _ in range(2):
        account.shares().release("run-1")
    assert [account.reserve("run-3", 20, queue=queue) for queue in ("orders", "bills")] == [20, 20]
    with pytest.raises(RejectedError):
        account.reserve("run-3", 20, queue="letters")


def test_of_a_hundred_reservations_at_once_none_is_lost_and_no_queue_is_overbooked(account):
    def reserve(place: int) -> float:
        try:
            return account.reserve(RUNS[place % len(RUNS)], 3, max_rate=20)
        except RejectedError:
            return 0

    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(reserve, range(60)))
    by_run = {run: {got[place] for place in range(60) if RUNS[place % len(RUNS)] == run} for run in RUNS}
    assert all(len(found - {0}) <= 1 for found in by_run.values()), "a run has two shares"
    assert 15 <= sum(max(found) for found in by_run.values()) <= 20


class Throttled:
    """A client whose every call fails."""

    def __init__(self, client: Any, call: str) -> None:
        self._client = client
        self._call = call

    def __getattr__(self, name: str) -> Any:
        if name == self._call:
            return self._fail
        return getattr(self._client, name)

    def _fail(self, **_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "PutItem")


@pytest.mark.parametrize("call", ["put_item", "get_item"])
def test_a_table_that_does_not_answer_means_no_share(account, call):
    client = Throttled(boto3.client("dynamodb"), call)
    with pytest.raises(RejectedError, match=r"of orders can't be read or changed \(ThrottlingException\)"):
        account.shares(client).reserve("run-1", "run-1", ORDERS, 5, 20)


class Contended:
    """A client before whose every write another run writes."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_item(self, **request: Any) -> Any:
        if request["Item"]["sk"]["S"] == "shares":
            self._client.put_item(**{**request, "Item": {**request["Item"], "shares": {"S": '{"byRun":{}}'}}})
        return self._client.put_item(**request)


def test_a_run_that_is_always_overtaken_gives_up_at_some_point(account):
    with pytest.raises(RejectedError, match="Too many runs reserve a rate of orders at the same time"):
        account.shares(Contended(boto3.client("dynamodb"))).reserve("run-1", "run-1", ORDERS, 5, 20)
