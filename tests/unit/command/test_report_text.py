"""What a report looks like in a terminal: every count and reason is there, and fits the terminal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from redrive.command.exits import Exit
from redrive.command.output import Output
from redrive.command.report_text import exit_of, print_report
from redrive.domain.moving.results import Counts
from redrive.domain.runs.ending import Status
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample
from tests.support import factories
from tests.support.reports import report, state_error

numbers = st.integers(0, 300_000)
reasons = st.dictionaries(st.sampled_from(["contract-violated", "too-large", "came-back", "not-selected"]), numbers)


def printed(made: Report, width: int = 200) -> str:
    output = Output(quiet=True)
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    output.__dict__["console"] = console
    with console.capture() as capture:
        print_report(output, made)
    return capture.get()


@settings(max_examples=50, deadline=None)
@given(redriven=numbers, quarantined=reasons, skipped=reasons, failed=reasons, released=numbers, duplicates=numbers)
def test_what_happened_to_messages_is_all_there(redriven, quarantined, skipped, failed, released, duplicates):
    counts = Counts(
        redriven=redriven,
        quarantined=sum(quarantined.values()),
        skipped=sum(skipped.values()),
        failed=sum(failed.values()),
        released=released,
    )
    tally = Tally(
        counts=counts,
        quarantine_reasons=quarantined,
        skip_reasons=skipped,
        failure_codes=failed,
        duplicates_possible=duplicates,
    )
    rows = [line.split() for line in printed(report(tally=tally)).splitlines()]
    assert [f"{redriven:,}", "redriven"] in rows
    for what, by_reason in (("quarantined", quarantined), ("skipped", skipped), ("failed", failed)):
        for reason, number in by_reason.items():
            assert [f"{number:,}", what, reason] in rows
    assert ([f"{released:,}", "released"] in rows) == bool(released)
    assert ([f"{duplicates:,}", "possibly", "delivered", "twice"] in rows) == bool(duplicates)


@pytest.mark.parametrize("width", [40, 80])
def test_a_report_fits_a_narrow_terminal(width):
    tally = Tally(counts=Counts(redriven=229_412, quarantined=583), quarantine_reasons={"contract-violated": 583})
    lines = printed(report(tally=tally), width).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert "229,412" in "".join(lines)


def test_a_rejected_run_says_why_and_lists_no_counts():
    shown = printed(report(plan=None, error=state_error("RejectedError", "dlq: there is no queue orders")))
    assert "REJECTED" in shown
    assert "there is no queue orders" in shown
    assert "MESSAGES" not in shown


def test_a_dry_run_shows_the_forecast():
    sample = Sample(sampled=4, complete=True, redrivable=3, quarantined={"too-large": 1})
    made = report(plan=factories.plan(dry_run=True), sample=sample, in_queue=4)
    rows = [line.split() for line in printed(made).splitlines()]
    assert ["3", "redrive"] in rows
    assert ["1", "quarantine", "too-large"] in rows
    assert exit_of(made) is Exit.LEFT


def test_every_status_has_an_exit_code():
    found = {status: exit_of(report().model_copy(update={"status": status, "sample": None})) for status in Status}
    assert found[Status.SUCCEEDED] == 0
    assert len(set(found.values())) == len(Status) - 1  # a run that succeeded and a dry run are both done


def test_nothing_that_a_terminal_acts_on_is_printed():
    made = report().model_copy(update={"reason": "\x1b[31mred\x07"})
    assert "\x1b" not in printed(made)
