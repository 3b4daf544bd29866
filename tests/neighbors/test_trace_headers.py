"""X-Ray trace headers: kept as they are, or left out on request, whatever they say; loops are recognized."""

import json
import time
from copy import replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.domain.judging.verdicts import Quarantine, Redrive
from redrive.domain.messages.trace_header import counts_a_loop
from redrive.domain.plan.request import TraceHeader
from redrive.domain.runs.notification import notification_of
from redrive.domain.runs.report import make_report
from redrive.domain.sampling.summary import Summary
from tests.support import factories, wrapped

NEIGHBORS = settings(max_examples=200, derandomize=True, deadline=None)
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
LOOPED = f"{TRACE};Lineage=1:283dea05:16"
DLQS = {name: factories.queue(f"dead-{name}") for name in ("orders", "orders.fifo")}
KEEP, FRESH = TraceHeader.KEEP, TraceHeader.FRESH

hashes = st.text("0123456789abcdef", min_size=1, max_size=8)
# The number of a version, of which AWS says nothing, is no count.
versions = st.sampled_from(["", "1:", "2:", "99:"])
counts = st.integers(0, 40)
other_fields = st.sampled_from(
    ["Root=1-5759e988-bd862e3fe1be46a994272793", "Parent=53995c3f42cd8ad8", "Sampled=?", "Self=1:2:99"]
)
headers = st.none() | st.text(max_size=60) | st.sampled_from([TRACE, LOOPED, ";" * 9, "Lineage=", "Lineage=:::|"])


@st.composite
def lineages(draw):
    """Draw a header, and the counts in it."""
    drawn = draw(st.lists(st.lists(counts, min_size=1, max_size=5), min_size=1, max_size=3))
    fields = draw(st.lists(other_fields, max_size=4))
    for numbers in drawn:
        parts = [f"{draw(versions)}{draw(hashes)}:{number}" for number in numbers]
        field = draw(st.sampled_from(["Lineage=", "lineage=", " Lineage="])) + draw(st.sampled_from("|,")).join(parts)
        fields.insert(draw(st.integers(0, len(fields))), field)
    return ";".join(fields), [number for numbers in drawn for number in numbers]


@NEIGHBORS
@given(lineages())
def test_a_loop_is_what_counts_fifteen_invocations_of_one_function(drawn):
    header, numbers = drawn
    assert counts_a_loop(header) == (max(numbers) >= 15)


@NEIGHBORS
@given(st.text(max_size=200))
@example("Lineage=1:2:²")
@example("Lineage=a:" + "9" * 5_000)
@example("MyLineage=1:2:99")
@example(TRACE + ";Sampled=1:99")
def test_a_header_that_has_no_lineage_or_none_of_its_form_counts_no_loop(header):
    assert not counts_a_loop(header)


@pytest.mark.parametrize("piece", ["Lineage=", ";Lineage=a:9", "|a:", ":0", " ", ";", "9", "0", ":1|"])
def test_reading_a_header_takes_time_in_proportion_to_its_length(piece):
    header = "Lineage=" + piece * (1_000_000 // len(piece))
    began = time.process_time()
    counts_a_loop(header)
    assert time.process_time() - began < 2


def verdict(message, **changes):
    return factories.judge(factories.plan(**changes))(message)


@NEIGHBORS
@given(headers, st.booleans(), st.sampled_from(list(DLQS)))
def test_fresh_leaves_out_the_header_and_changes_nothing_else(header, has_group, name):
    system = {"MessageGroupId": "g"} if has_group or name.endswith(".fifo") else {}
    message = factories.received("hello", source=name, attributes={"a": factories.string("1")}, system=system)
    message = replace(message, trace_header=header)
    kept, fresh = (
        verdict(message, dlq=DLQS[name], sources=(factories.queue(name),), trace_header=choice).outbound
        for choice in (KEEP, FRESH)
    )
    expected = {} if header is None else {"AWSTraceHeader": factories.string(header)}
    assert kept.request.get("MessageSystemAttributes", {}) == expected
    rest = {key: value for key, value in kept.request.items() if key != "MessageSystemAttributes"}
    assert fresh.request == rest
    assert (fresh.size, fresh.deduplicated) == (kept.size, kept.deduplicated)


@pytest.mark.parametrize("choice", TraceHeader)
def test_the_quarantine_keeps_the_header_so_that_a_later_run_can_choose(choice):
    record = json.dumps(wrapped.invocation("Success"))
    found = verdict(replace(factories.received(record, source=None), trace_header=LOOPED), trace_header=choice)
    assert isinstance(found, Quarantine)
    assert found.outbound.request["MessageSystemAttributes"] == {"AWSTraceHeader": factories.string(LOOPED)}


@pytest.mark.parametrize("choice", TraceHeader)
def test_a_repaired_message_keeps_or_loses_its_header_like_any_other(choice):
    message = replace(factories.received('{"a": 1}'), trace_header=LOOPED)
    repair = {"patch": [{"op": "replace", "path": "/a", "value": 2}]}
    found = verdict(message, trace_header=choice, repair=repair)
    assert isinstance(found, Redrive)
    assert found.repaired
    assert ("MessageSystemAttributes" in found.outbound.request) == (choice is KEEP)


def reported(choice, *messages, dry_run=True):
    plan = factories.plan(trace_header=choice, dry_run=dry_run)
    judge, summary = factories.judge(plan), Summary(plan)
    for message in messages:
        summary.add(judge.judge(message))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    sample = summary.sample(now, complete=True).model_copy(update={"explanations": tuple(judge.explanations)})
    return make_report(
        given={},
        execution=factories.execution(),
        plan=plan,
        sample=sample,
        tally=None,
        error=None,
        queue=None,
        in_next_queue=None,
        now=now,
    )


def test_messages_in_a_loop_are_a_group_of_their_own_and_the_report_says_what_to_do():
    looped = replace(factories.received("1"), trace_header=LOOPED)
    report = reported(KEEP, looped, replace(factories.received("2"), trace_header=TRACE))
    assert {group.in_a_loop: group.messages for group in report.sample.groups} == {True: 1, False: 1}
    assert "start a run with traceHeader fresh" in report.reason
    assert "recursive loop" in notification_of(report).message


def test_with_fresh_traces_the_report_says_so_and_has_no_advice_left_to_give():
    report = reported(FRESH, replace(factories.received("1"), trace_header=LOOPED))
    assert report.trace_header is FRESH
    assert report.reason is None
    assert "Traces       fresh" in notification_of(report).message


def test_what_a_function_dropped_as_a_loop_is_recognized_by_its_record():
    record = wrapped.lambda_record({"a": 1}, responsePayload={"errorType": "RecursiveInvocationException"})
    [group] = reported(KEEP, factories.received(json.dumps(record), source=None)).sample.groups
    assert group.in_a_loop
