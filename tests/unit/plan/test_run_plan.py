"""The plan of a run: it carries the whole request, so that a new key needs no other edit."""

import json

import pytest

from redrive.domain.plan.request import OnInvalid, RedriveRequest
from redrive.domain.plan.run_plan import RunPlan
from tests.support import factories


def test_every_key_of_the_request_is_in_the_plan_and_survives_the_workflow():
    plan = factories.plan(
        rate=5,
        max_messages=10,
        select={"source": ["orders"], "minAge": 5},
        repair={"setAttributes": {"store_id": {"type": "Number", "from": "store"}}},
    )
    stored = json.loads(plan.model_dump_json())
    assert stored["request"].keys() == {field.alias for field in RedriveRequest.model_fields.values()}
    assert stored["request"] == plan.request.model_dump(mode="json")
    assert RunPlan.model_validate(stored) == plan


def test_no_key_of_the_request_is_copied_into_the_plan():
    # `dlq` and `destination` are the queues that were found by what the request names; `rate` is what the run keeps to.
    assert RunPlan.model_fields.keys() & RedriveRequest.model_fields.keys() == {"dlq", "destination", "rate"}


@pytest.mark.parametrize(
    ("dlq", "requested", "on_invalid"),
    [
        ("orders-dlq", OnInvalid.QUARANTINE, OnInvalid.QUARANTINE),
        ("orders-dlq", OnInvalid.LEAVE, OnInvalid.LEAVE),
        ("quarantine", OnInvalid.QUARANTINE, OnInvalid.LEAVE),
        ("quarantine", OnInvalid.LEAVE, OnInvalid.LEAVE),
    ],
)
def test_invalid_messages_stay_if_they_are_in_quarantine_or_the_request_says_so(dlq, requested, on_invalid):
    plan = factories.plan(dlq=factories.queue(dlq), on_invalid=requested)
    assert plan.on_invalid is on_invalid
    assert plan.in_quarantine is (dlq == "quarantine")


def test_the_start_is_a_time_in_utc():
    assert factories.plan(started_at=1_760_000_000_250).started.isoformat() == "2025-10-09T08:53:20.250000+00:00"
