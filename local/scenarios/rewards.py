"""Payouts fail while the payment gateway is down; a redrive keeps their headers and the gateway's limits.

Run by `make scenario NAME=rewards`. It replays an incident with 230,000 payouts: they were moved back at full
speed and without their headers, all failed again, and the workers nearly went down. REWARDS=500 sets the
number of payouts.
"""

from __future__ import annotations

import bisect
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from local.stage import PATIENCE_SECONDS, Stage, StageError, id_in_body

PAYOUTS = 2000
MEMBERS = 150
CAMPAIGNS = 7
# More than the queue's tag allows, which is 40.
REQUESTED_RATE = 500
# The limits of the payment gateway (template.yaml, RewardPayoutsConsumer).
CALLS_AT_ONCE = 2
CALLS_PER_SECOND = 50


@dataclass(frozen=True, slots=True)
class Call:
    """A call to the payment gateway, in seconds since 1970."""

    began: float
    ended: float


def play(stage: Stage) -> bool:
    """Run the scenario; return whether every payout was paid once and the gateway's limits were kept."""
    count = _count()
    prefix = f"rewards-{int(time.time())}"

    stage.console.rule("1. The payment gateway goes down")
    stage.put_parameter(stage.resource("PaymentGatewaySwitch"), "down")
    order = {"count": count, "members": min(MEMBERS, count), "prefix": prefix}
    with stage.progress("Sending payouts"):
        owed: dict[str, int] = stage.invoke(stage.resource("RewardPayoutsProducer"), order)["owed"]
    stage.console.print(
        f"{count:,} payouts to {len(owed)} members sent, {_euro(sum(owed.values()))} in all. Each carries its "
        "campaign in a header and can't be paid without it."
    )
    queue, dlq = stage.resource("RewardsQueue"), stage.resource("RewardsDLQ")
    # Two receives, and the visibility timeout after each.
    dead = stage.wait_for_dead_letters(queue, dlq, count, "payouts", _patience(count))
    stage.console.print(f"The dead-letter queue has {dead:,} payouts.\n")

    stage.console.rule("2. The gateway is back, the redrive starts")
    stage.put_parameter(stage.resource("PaymentGatewaySwitch"), "none")
    back_at = time.time()
    stage.redrive("start", stage.queue_name("RewardsDLQ"), "--rate", str(REQUESTED_RATE), "--yes", "--watch")
    with stage.progress("Waiting for the consumer"):
        stage.until(lambda: stage.depth(queue) == 0, "the consumer to pay the redriven payouts", _patience(count))

    stage.console.rule("3. Load on the payment gateway")
    calls = _calls(stage, prefix)
    gentle = _show_load(stage, [call for call in calls if call.began >= back_at])

    stage.console.rule("4. The books")
    ledger = [item for item in stage.scan(stage.resource("RewardsLedgerTable")) if _is_ours(item, prefix)]
    right = _show_books(stage, owed, ledger, prefix)

    stage.console.rule("5. Where every payout is now")
    payout_id = id_in_body("payout_id")
    accounted = stage.reconcile(
        {f"{prefix}-{number:05}" for number in range(count)},
        {
            "paid and in the ledger": [item["payout_id"] for item in ledger],
            "in quarantine": stage.ids_in_queue(stage.resource("QuarantineQueue"), payout_id),
            "in the source queue": stage.ids_in_queue(queue, payout_id),
            "in the dead-letter queue": stage.ids_in_queue(dlq, payout_id),
        },
    )
    return accounted and gentle and right


def most_at_once(calls: Iterable[Call]) -> int:
    """Return the largest number of calls that were in progress at the same time."""
    # If one ends when another begins, the end comes first.
    changes = sorted([(call.began, 1) for call in calls] + [(call.ended, -1) for call in calls])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def most_in_a_second(calls: Iterable[Call]) -> int:
    """Return the largest number of calls that began within any second, wherever it starts."""
    began = sorted(call.began for call in calls)
    return max((bisect.bisect_left(began, start + 1) - place for place, start in enumerate(began)), default=0)


def _count() -> int:
    text = os.environ.get("REWARDS", str(PAYOUTS))
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise StageError(f"Expected REWARDS to be a number of payouts from 1 to 10000, found {text!r}.")
    return int(text)


def _patience(count: int) -> float:
    """Return how many seconds any of the steps may take: ten payouts a second on a busy machine."""
    return PATIENCE_SECONDS + count / 10


def _calls(stage: Stage, prefix: str) -> list[Call]:
    items = stage.scan(stage.resource("PaymentGatewayTable"))
    return [
        Call(float(call["began"]), float(call["ended"]))
        for item in items
        if _is_ours(item, prefix)
        for call in item["calls"]
    ]


def _show_load(stage: Stage, calls: Sequence[Call]) -> bool:
    at_once, in_a_second = most_at_once(calls), most_in_a_second(calls)
    table = Table("payment gateway", "measured", "limit", box=None)
    table.add_row("calls since it came back", f"{len(calls):,}", "")
    table.add_row("calls in the worst second", str(in_a_second), str(CALLS_PER_SECOND))
    table.add_row("calls at once", str(at_once), str(CALLS_AT_ONCE))
    stage.console.print(table)
    return at_once <= CALLS_AT_ONCE and in_a_second <= CALLS_PER_SECOND


def _show_books(stage: Stage, owed: Mapping[str, int], ledger: Sequence[Mapping[str, Any]], prefix: str) -> bool:
    balances = {
        item["member_id"]: int(item["EUR"])
        for item in stage.scan(stage.resource("RewardsBalancesTable"))
        if item["member_id"] in owed
    }
    paid = [item for item in stage.scan(stage.resource("PaymentGatewayTable")) if _is_ours(item, prefix)]
    entered: dict[str, int] = {}
    for item in ledger:
        entered[item["member_id"]] = entered.get(item["member_id"], 0) + int(item["amount_minor"])
    kept = sum(item["campaign_id"] == _campaign_of(item["payout_id"], prefix) for item in ledger)
    total = sum(owed.values())
    wrong = sum(not owed[member] == balances.get(member) == entered.get(member) for member in owed)
    table = Table("books", "found", "expected", box=None)
    table.add_row("sent by the producer", _euro(total), "")
    table.add_row("paid by the gateway", _euro(sum(int(item["paid_minor"]) for item in paid)), _euro(total))
    table.add_row("entered in the ledger", _euro(sum(entered.values())), _euro(total))
    table.add_row("members' balances", _euro(sum(balances.values())), _euro(total))
    table.add_row("members with a wrong balance", str(wrong), "0")
    table.add_row("payouts that kept their header", f"{kept:,}", f"{len(ledger):,}")
    stage.console.print(table)
    sums = {sum(int(item["paid_minor"]) for item in paid), sum(entered.values()), sum(balances.values())}
    return sums == {total} and not wrong and kept == len(ledger)


def _campaign_of(payout_id: str, prefix: str) -> str:
    return f"{prefix}-campaign-{int(payout_id.rsplit('-', 1)[1]) % CAMPAIGNS}"


def _is_ours(item: Mapping[str, Any], prefix: str) -> bool:
    return str(item["payout_id"]).startswith(f"{prefix}-")


def _euro(minor: int) -> str:
    return f"{minor // 100:,}.{minor % 100:02} EUR"
