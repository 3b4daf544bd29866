"""However a run ends: the status and the one sentence say what became of every message.

The oracle knows only what was put into the queue, and the rule in words: a run succeeds if nothing is left that it
would have moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.domain.messages.queues import QueueCounts
from redrive.domain.moving.results import Counts, SliceResult
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import MAX_WAITS, Next, Tally, final_tally, tally_round
from tests.support import factories
from tests.support.reports import report

STAYS = ("came-back", "arrived-after-start", "invalid-body", "missing-attribute", "not-json", "no-payload")
BLOCKS = ("group-waits", "undecided", "no-destination", "destination-not-allowed", "contract-unusable", "unheard-of")
CODES = ("InvalidParameterValue", "InvalidMessageContents", "InternalError", "SomethingNew")


@dataclass(frozen=True)
class Queue:
    """What a dead-letter queue held when a run began, by what becomes of it."""

    redriven: int = 0
    quarantined: int = 0
    unselected: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    delayed: int = 0
    elsewhere: int = 0
    unreturned: int = 0
    selects: bool = False
    fifo: bool = False

    @property
    def held(self) -> int:
        return self.unselected + sum(self.skipped.values()) + sum(self.refused.values())

    @property
    def left(self) -> int:
        return self.held + self.delayed + self.elsewhere + self.unreturned


def run(queue: Queue, *, lanes: int = 1, later: QueueCounts | None = None) -> Report:
    """Play a run's rounds on a queue that others leave alone, and return its report."""
    plan = factories.plan(
        dlq=factories.queue("orders-dlq.fifo" if queue.fifo else "orders-dlq"),
        **({"select": {"source": ["orders"]}} if queue.selects else {}),
        rate=500.0 * lanes,
    )
    skips = {**queue.skipped, **({"not-selected": queue.unselected} if queue.unselected else {})}
    first = SliceResult(
        counts=Counts(
            redriven=queue.redriven,
            quarantined=queue.quarantined,
            skipped=sum(skips.values()),
            bounced=skips.get("came-back", 0),
            failed=sum(queue.refused.values()),
        ),
        skip_reasons=skips,
        failure_codes=queue.refused,
        drained=True,
    )
    counts = QueueCounts(visible=queue.unreturned, delayed=queue.delayed, in_flight=queue.held + queue.elsewhere)
    tally = tally_round(plan, Tally(), [first] + [SliceResult(drained=True)] * (lanes - 1), queue=counts)
    for _ in range(MAX_WAITS + 1):
        if tally.next is Next.CLEAN_UP:
            break
        tally = tally_round(plan, tally, [SliceResult(drained=True)] * lanes, queue=counts)
    assert tally.next is Next.CLEAN_UP
    records = [("skip", reason, number) for reason, number in skips.items()]
    records += [("fail", code, number) for code, number in queue.refused.items()]
    held = [
        HeldRecord(f"{kind}-{why}-{place}", "handle", why, kind == "fail")
        for kind, why, number in records
        for place in range(number)
    ]
    after = QueueCounts(visible=queue.unreturned + queue.held, delayed=queue.delayed, in_flight=queue.elsewhere)
    return report(plan=plan, tally=final_tally(tally, [], held), queue=later or after)


numbers = st.sampled_from([0, 0, 0, 1, 2, 7, 25, 137])
some = st.integers(1, 40)
queues = st.builds(
    Queue,
    redriven=numbers,
    quarantined=numbers,
    unselected=numbers,
    skipped=st.dictionaries(st.sampled_from([*STAYS, *BLOCKS]), some, max_size=3),
    refused=st.dictionaries(st.sampled_from(CODES), some, max_size=2),
    delayed=numbers,
    elsewhere=numbers,
    unreturned=numbers,
    selects=st.just(True),
    fifo=st.booleans(),
)


def expected_status(queue: Queue) -> str:
    matched = queue.redriven + queue.quarantined + sum(queue.refused.values())
    matched += sum(number for reason, number in queue.skipped.items() if reason in STAYS[2:] + BLOCKS[1:])
    stuck = queue.delayed + queue.elsewhere + queue.unreturned + sum(queue.refused.values())
    stuck += sum(number for reason, number in queue.skipped.items() if reason in BLOCKS)
    return "INCOMPLETE" if stuck or (queue.unselected and not matched) else "SUCCEEDED"


@given(queues, st.integers(1, 3))
@example(Queue(redriven=15, delayed=25), 1)
@example(Queue(redriven=15, elsewhere=25), 1)
@example(Queue(refused={"InvalidParameterValue": 10}), 1)
@example(Queue(unselected=137, selects=True), 1)
@example(Queue(unselected=119_990, selects=True), 1)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_a_run_succeeds_if_nothing_is_left_that_it_would_have_moved(queue: Queue, lanes: int):
    made = run(queue, lanes=1 if queue.fifo else lanes)
    assert made.status == expected_status(queue)
    assert (made.reason is None) == (queue.left == 0)
    counts = made.counts
    assert counts.seen == queue.redriven + queue.quarantined + queue.held
    assert counts.seen == counts.redriven + counts.quarantined + counts.skipped + counts.failed + counts.released
    assert counts.remaining == queue.left
    assert counts.repaired <= counts.redriven
    assert counts.bounced == queue.skipped.get("came-back", 0)


@given(queues)
@settings(deadline=None, derandomize=True, max_examples=100)
def test_the_sentence_has_every_number_that_is_left_and_why(queue: Queue):
    made = run(queue)
    if not queue.left:
        return
    reason = made.reason or ""
    assert reason.endswith(".")
    assert "\n" not in reason
    parts = [(queue.delayed, "delayed"), (queue.elsewhere, "in flight elsewhere"), (queue.unreturned, "visible")]
    parts += [(number, code) for code, number in queue.refused.items()]
    parts += [(number, f"skipped as {why}") for why, number in queue.skipped.items()]
    for number, word in parts:
        if number:
            assert word in reason, (word, reason)
            assert f"{number:,}" in reason
    if queue.delayed:
        assert "within 15 minutes" in reason
    if queue.elsewhere:
        assert "12 hours" in reason
    if not queue.refused:
        assert "refused" not in reason


@pytest.mark.parametrize("select_others", [0, 1, 25])
@pytest.mark.parametrize("unselected", [1, 2, 137, 5_000])
@pytest.mark.parametrize("came_back", [0, 3])
def test_a_selection_that_matches_nothing_is_named(unselected, select_others, came_back):
    skipped = {"came-back": came_back} if came_back else {}
    made = run(Queue(redriven=select_others, unselected=unselected, skipped=skipped, selects=True))
    sentence = f"select matched none of {unselected:,} message"
    assert (sentence in (made.reason or "")) == (select_others == 0)
    assert made.status == ("SUCCEEDED" if select_others else "INCOMPLETE")


@pytest.mark.parametrize("limit", [1, 20, 1000])
@pytest.mark.parametrize("rest", [0, 1, 80, 229_000])
@pytest.mark.parametrize("refused", [0, 2])
def test_a_run_that_took_as_many_as_it_may_succeeds_and_says_how_many_are_left(limit, rest, refused):
    plan = factories.plan(max_messages=limit)
    done = SliceResult(counts=Counts(redriven=limit, failed=refused), failure_codes={"X": refused} if refused else {})
    tally = tally_round(plan, Tally(), [done], queue=QueueCounts(visible=rest, in_flight=refused))
    held = [HeldRecord(f"m-{place}", "h", "X", True) for place in range(refused)]
    made = report(plan=plan, tally=final_tally(tally, [], held), queue=QueueCounts(visible=rest + refused))
    assert made.status == "SUCCEEDED"
    left = rest + refused
    assert (made.reason is None) == (left == 0)
    if left:
        assert f"maxMessages ({limit:,})" in (made.reason or "")
        assert f"{left:,} message" in (made.reason or "")
    assert (f"{refused} refused" in (made.reason or "")) == bool(refused)


@pytest.mark.parametrize("remaining", [0, 1, 40])
@pytest.mark.parametrize("released", [0, 1, 12])
@pytest.mark.parametrize("code", [None, "InternalError"])
def test_a_run_that_was_stopped_says_what_is_left(remaining, released, code):
    failed = {code: 3} if code else {}
    counts = Counts(redriven=5, released=released, failed=sum(failed.values()))
    tally = Tally(counts=counts, failure_codes=failed, stopped=True, queue=QueueCounts(visible=remaining, delayed=9))
    left = remaining + released + counts.failed
    made = report(tally=tally, queue=QueueCounts(visible=left))
    assert made.status == "STOPPED"
    assert made.counts.seen == 5 + released + counts.failed
    assert ("nothing is left" in (made.reason or "")) == (left == 0)
    assert (f"{released} received and released" in (made.reason or "")) == bool(released)
    assert ("InternalError" in (made.reason or "")) == bool(code)


@pytest.mark.parametrize("in_flight", [115_000, 119_991, 120_000, 120_004])
@pytest.mark.parametrize("visible", [0, 1, 50_000])
@pytest.mark.parametrize("fifo", [False, True])
def test_a_run_at_the_limit_of_messages_in_flight_does_not_succeed(in_flight, visible, fifo):
    made = run(Queue(redriven=9, unselected=in_flight, unreturned=visible, selects=True, fifo=fifo))
    assert made.status == "INCOMPLETE"
    assert "120,000" in (made.reason or "")


@pytest.mark.parametrize("delay", [0, 1, 60, 900])
@pytest.mark.parametrize("delayed", [1, 25])
@pytest.mark.parametrize("dlq", ["orders-dlq", "orders-dlq.fifo"])
def test_the_sentence_says_when_delayed_messages_come_back(delay, delayed, dlq):
    plan = factories.plan(delay=delay, dlq=factories.queue(dlq))
    tally = Tally(queue=QueueCounts(delayed=delayed))
    made = report(plan=plan, tally=tally, queue=QueueCounts(delayed=delayed))
    # In a standard queue, each message can have a timer of its own.
    when = f"{delay} seconds" if delay and dlq.endswith(".fifo") else "15 minutes"
    assert f"{delayed} delayed (they become visible within {when}" in (made.reason or "")
    assert made.status == "INCOMPLETE"


@pytest.mark.parametrize("elsewhere", [0, 3])
@pytest.mark.parametrize("waiting", [0, 9])
@pytest.mark.parametrize("unreturned", [0, 20])
def test_what_waits_in_a_fifo_queue_waits_for_whoever_has_the_message_in_front(waiting, unreturned, elsewhere):
    skipped = {"group-waits": waiting} if waiting else {}
    queue = Queue(unselected=1, skipped=skipped, unreturned=unreturned, elsewhere=elsewhere, selects=True, fifo=True)
    reason = run(queue).reason or ""
    assert ("select matched none of 1 message" in reason) == (not waiting and not unreturned)
    assert ("1 skipped as not-selected" in reason) == bool(waiting or unreturned)
    assert ("that this run left" in reason) == bool(unreturned)
    assert (" or in flight elsewhere; " in reason) == bool(unreturned and elsewhere)
    assert "first message" not in reason


def test_counts_that_lagged_behind_do_not_make_a_run_incomplete():
    assert run(Queue(redriven=9, unreturned=3), later=QueueCounts()).status == "SUCCEEDED"
