"""No plan is so large that a step can't be passed what it needs: the plan fits, or the run is rejected before it moves.

The oracle weighs what the workflow passes to its steps, with everything next to the plan as large as it can get.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.domain.errors import RejectedError
from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.queues import QueueCounts
from redrive.domain.moving.results import Counts, SliceResult, Totals
from redrive.domain.plan.planning import plan_run
from redrive.domain.plan.request import parse_request
from redrive.domain.runs.tally import MAX_LANES, Tally, first_tally
from redrive.domain.sampling.sample import Example, Sample, SampleGroup
from redrive.domain.sampling.summary import MAX_EXAMPLE_BYTES, MAX_GROUPS
from tests.support import factories
from tests.support.fakes import FakeQueues

# Step Functions developer guide, "Quotas"; API reference, LambdaFunctionFailedEventDetails.
MAX_PAYLOAD, MAX_CAUSE = 262_144, 32_768
QUARANTINE, DLQ = factories.queue("quarantine"), factories.queue("d" * 80)
SMILE = "\U0001f600"

REASONS = {reason.value: 10**9 for reason in Reason}
COUNTS = Counts(**dict.fromkeys(Counts.model_fields, 10**9))
TOTALS = Totals(
    counts=COUNTS,
    quarantine_reasons=REASONS,
    skip_reasons=REASONS,
    failure_codes={f"{'Exception' * 5}{number}": 10**9 for number in range(20)},
    duplicates_possible=10**9,
    unaccounted=10**9,
)
SLICE = SliceResult(**dict(TOTALS), calls=dict.fromkeys("abcdefgh", 10**9), seconds=1 / 3, failure="x" * 600)
GROUP = SampleGroup(
    verdict="quarantined",
    reason="r" * 30,
    destination="d" * 80,
    envelope=max(Envelope, key=len),
    origin="o" * 256,
    origin_kind="schedule",
    error_type="E" * 100,
    error_text_hash="h" * 20,
    events=10**12,
    error_message=SMILE * 160 + "…",
    contract="c" * 80,
    messages=10**6,
    share=1 / 3,
    share_low=1 / 3,
    share_high=1 / 3,
)
LARGEST = GROUP.model_copy(update={"example": Example(body="b" * MAX_EXAMPLE_BYTES, attributes={})})
SAMPLE = Sample(sampled=10**6, quarantined=REASONS, skipped=REASONS, groups=(LARGEST,) + (GROUP,) * (MAX_GROUPS - 1))


def weight(payload: Any) -> int:
    return len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())


def payloads(given: Any, plan: dict[str, Any], tally: dict[str, Any]) -> dict[str, Any]:
    """Return what the steps are passed, as statemachines/redrive.asl.yaml says."""
    execution = factories.execution("r" * 80).model_dump(mode="json")
    sample, run = SAMPLE.model_dump(mode="json"), {"plan": plan, "tally": tally}
    failure = {"Error": "E" * 256, "Cause": '"' * MAX_CAUSE}
    return {
        "sample": {"plan": plan, "retries": 3},
        "move": {"plan": plan, "work": tally["lanes"][0]},
        "tally": {**run, "sample": sample, "slices": [SLICE.model_dump(mode="json")] * MAX_LANES},
        "resumed": {**run, "sample": sample},
        "report": {**run, "sample": sample, "input": given, "execution": execution, "failure": failure},
    }


@settings(max_examples=60, deadline=None)
@given(
    sources=st.integers(0, 700),
    length=st.integers(4, 80),
    limited=st.booleans(),
    selected=st.integers(0, 14_000),
    patched=st.integers(0, 14_000),
    sign=st.sampled_from(["a", '"', "é", SMILE]),
)
@example(sources=300, length=30, limited=False, selected=1, patched=0, sign="a")
@example(sources=320, length=40, limited=False, selected=0, patched=0, sign="a")
@example(sources=95, length=80, limited=True, selected=14_000, patched=14_000, sign="a")
def test_every_step_can_be_passed_its_plan_or_the_run_is_rejected(sources, length, limited, selected, patched, sign):
    queues = FakeQueues()
    queues.add(DLQ, factories.facts())
    queues.add(QUARANTINE, factories.facts())
    tags = {"redrive:max-rate": "1000"} if limited else {}
    for number in range(sources):
        queues.add(factories.queue(f"{number:0{length}}"), factories.facts(), dlq=DLQ.name, tags=tags)
    given: dict[str, Any] = {"dlq": DLQ.name, "rate": 10_000}
    signs = selected // len(json.dumps(sign, ensure_ascii=False).encode()) // 50
    if signs:
        given["select"] = {"errorType": [sign * min(256, signs)] * 50}
    if patched:
        given["repair"] = {"patch": [{"op": "add", "path": "/a", "value": sign * (patched // 6)}]}
    try:
        plan = plan_run(parse_request(given), factories.execution("r" * 80), queues, QUARANTINE.arn)
    except RejectedError as error:
        assert f"the {sources} queues whose dead-letter queue is {DLQ.name}" in str(error)
        # A few hundred queues are no reason to be rejected.
        assert sources * (1 + limited) > 100
        return
    tally = Tally(
        **dict(TOTALS),
        queue=QueueCounts(visible=1, delayed=1, in_flight=1),
        successor="s" * 80,
        lanes=first_tally(plan).lanes,
    )
    passed = payloads(given, plan.model_dump(mode="json"), tally.model_dump(mode="json"))
    assert {name: size for name, payload in passed.items() if (size := weight(payload)) > MAX_PAYLOAD} == {}


@pytest.mark.parametrize("sources", [1, 200, 250])
def test_a_dead_letter_queue_of_some_hundred_queues_can_be_redriven(sources):
    queues = FakeQueues()
    queues.add(DLQ, factories.facts())
    queues.add(QUARANTINE, factories.facts())
    for number in range(sources):
        queues.add(factories.queue(f"{number:080}"), factories.facts(), dlq=DLQ.name)
    plan = plan_run(parse_request({"dlq": DLQ.name}), factories.execution(), queues, QUARANTINE.arn)
    assert len(plan.sources) == sources
