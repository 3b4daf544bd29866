"""The sample: what peeking at some messages shows, and when it ends the run."""

import json
from copy import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.store_events.contract import STORE_EVENT
from redrive.contracts.json_schema import SchemaContract
from redrive.domain.errors import RejectedError
from redrive.domain.judging.judge import Judgment
from redrive.domain.judging.verdicts import Quarantine, Reason, Redrive, Skip, Verdict
from redrive.domain.messages.destinations import quarantine, queue
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.messages.opening import open_message, with_forward
from redrive.domain.messages.outbound import outbound
from redrive.domain.messages.provenance import ATTRIBUTE, Belief, Provenance
from redrive.domain.names import is_hash
from redrive.domain.rules.selection import Selection, Selector
from redrive.domain.sampling.sample import Sample, SampleGroup
from redrive.domain.sampling.summary import (
    MAX_EXAMPLE_BYTES,
    MAX_GROUPS,
    NEAR_EXPIRY_SECONDS,
    Summary,
    interval,
)
from tests.support import factories, wrapped

NOW = datetime.fromtimestamp(factories.STARTED_AT / 1000, UTC)
REDRIVE = Redrive(outbound(factories.received(), queue(factories.queue("orders")), "ours", "id"))


def quarantined(reason: str) -> Quarantine:
    to = quarantine(factories.queue("quarantine"))
    return Quarantine(reason, outbound(factories.received(), to, "ours", "id"))


def judgment(message: ReceivedMessage, verdict: Verdict = REDRIVE) -> Judgment:
    return Judgment(verdict, open_message(message))


def summarize(judgments, plan=None, *, complete=False, show_error_texts=False) -> Sample:
    summary = Summary(plan or factories.plan(), show_error_texts=show_error_texts)
    for found in judgments:
        summary.add(found)
    return summary.sample(NOW, complete=complete)


def groups_of(*messages: ReceivedMessage, **settings: bool) -> tuple[SampleGroup, ...]:
    return summarize(map(judgment, messages), **settings).groups


def test_an_empty_queue_has_an_empty_sample():
    sample = summarize([])
    assert (sample.sampled, sample.groups, sample.oldest_sent_at, sample.sizes.largest) == (0, (), None, 0)


# Groups


def test_messages_are_grouped_by_verdict_reason_and_destination_with_the_largest_group_first():
    verdicts = [REDRIVE, quarantined("not-json"), REDRIVE, Skip(Reason.CAME_BACK), REDRIVE]
    sample = summarize(judgment(factories.received(), verdict) for verdict in verdicts)
    found = [(group.verdict, group.reason, group.destination, group.messages, group.share) for group in sample.groups]
    assert found == [
        ("redrivable", None, "orders", 3, 0.6),
        ("quarantined", "not-json", None, 1, 0.2),
        ("skipped", "came-back", None, 1, 0.2),
    ]


def test_the_share_of_a_small_sample_has_wide_bounds():
    (group,) = groups_of(*[factories.received()] * 10)
    assert (group.share, group.share_high) == (1, 1)
    assert group.share_low == pytest.approx(0.7225, abs=0.001)


def test_the_shares_of_a_full_scan_are_exact():
    judged = [judgment(factories.received()), judgment(factories.received(), Skip("came-back"))]
    groups = summarize(judged, complete=True).groups
    assert {(group.share_low, group.share, group.share_high) for group in groups} == {(0.5, 0.5, 0.5)}


@given(st.integers(1, 2000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_bounds_enclose_the_share(numbers):
    found, of = numbers
    low, high = interval(found, of)
    assert 0 <= low <= found / of <= high <= 1


def test_messages_of_different_origins_are_in_different_groups():
    groups = groups_of(*(factories.received(source=name) for name in ("orders", "invoices", "orders")))
    assert [(group.origin, group.messages) for group in groups] == [("orders", 2), ("invoices", 1)]


def test_the_origin_of_a_quarantined_message_is_the_same_to_the_selection_and_to_the_sample():
    # SQS doesn't say where a quarantined message came from; our attribute does.
    kept = Provenance("run-0", 0, "m-1", 5, factories.queue("orders").arn).to_json("invalid-body", ())
    attributes = {ATTRIBUTE: factories.string(kept)}
    message = factories.received(source=None, attributes=attributes, sender=factories.MOVER)
    opened = open_message(message, Belief(frozenset({factories.MOVER}), quarantine=True))
    assert message.source_arn is None
    selected = Selector(Selection(source=("orders",)), factories.STARTED_AT)(opened)
    (group,) = summarize([Judgment(REDRIVE, opened)]).groups
    assert (selected, group.origin, group.origin_kind) == (True, "orders", "queue")


@pytest.mark.parametrize(
    ("arn", "kind"),
    [
        ("arn:aws:lambda:us-east-1:123456789012:function:call-0800-123", "function"),
        ("arn:aws:sns:us-east-1:123456789012:evil.example/free", "topic"),
        ("arn:aws:s3:::evil.example", "bucket"),
        ("arn:aws:sqs:us-east-1:123456789012:evil", "queue"),
        ("arn:x:y:evil", None),
        ("arn:a:evil:c:d:evil", None),
        ("evil", None),
    ],
)
def test_of_an_origin_that_only_the_message_names_the_kind_is_shown_and_no_more(arn, kind):
    opened = replace(open_message(factories.received(source=None)), origin=arn)
    (group,) = summarize([Judgment(Skip(Reason.NOT_SELECTED), opened)]).groups
    assert (group.origin, group.origin_kind) == (None, kind)
    assert "evil" not in group.model_dump_json()


def test_a_run_on_the_quarantine_selects_and_reports_messages_by_the_same_origin():
    kept = [Provenance("run-0", 0, "m-1", 5, factories.queue(name).arn).to_json("x", ()) for name in ("a", "b", "b")]
    messages = [
        factories.received(source=None, attributes={ATTRIBUTE: factories.string(value)}, sender=factories.MOVER)
        for value in kept
    ]
    plan = factories.plan(
        dlq=factories.queue("quarantine"),
        sources=(),
        destination=factories.queue("b"),
        select={"source": ["b"]},
    )
    judge = factories.judge(plan)
    groups = summarize((judge.judge(message) for message in messages), plan).groups
    # Only the note on the message says that it came from a.
    assert [(group.origin, group.origin_kind, group.verdict, group.messages) for group in groups] == [
        ("b", "queue", "redrivable", 2),
        (None, "queue", "skipped", 1),
    ]


def failed_with(error_type: str, message: str | None = None, payload: object = 1):
    context = {
        "requestId": "r",
        "functionArn": "arn:f",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 1,
    }
    record = {"version": "1.0", "timestamp": "t", "requestContext": context, "requestPayload": payload}
    return factories.received(
        json.dumps(record | {"responsePayload": {"errorType": error_type, "errorMessage": message}}),
        source=None,
    )


def test_messages_of_functions_are_grouped_by_the_error_they_failed_with():
    groups = groups_of(failed_with("TimeoutError"), failed_with("KeyError"), failed_with("TimeoutError"))
    assert [(group.envelope, group.error_type, group.messages) for group in groups] == [
        ("lambda-destination", "TimeoutError", 2),
        ("lambda-destination", "KeyError", 1),
    ]


def test_an_error_type_that_does_not_look_like_one_is_shown_as_a_hash():
    groups = groups_of(*(failed_with(f"no store for {store}") for store in ("Ada", "Ada", "Bob")))
    assert [group.messages for group in groups] == [2, 1]
    assert all(is_hash(group.error_type) for group in groups)


def test_errors_that_differ_only_in_numbers_are_one_group_with_a_hash_of_their_text():
    (group,) = groups_of(*(failed_with("TimeoutError", f"no answer within {seconds} s") for seconds in (3, 30, 3)))
    assert (group.error_message, group.messages, is_hash(group.error_text_hash)) == (None, 3, True)


def test_the_same_error_text_has_another_hash_in_each_sample():
    hashes = {groups_of(failed_with("TimeoutError", "no answer"))[0].error_text_hash for _ in range(3)}
    assert len(hashes) == 3


def test_a_deployment_can_show_error_texts_without_what_they_quote():
    message = failed_with("ValueError", "no customer Shifter in store 12", {"name": "Shifter"})
    (group,) = groups_of(message, show_error_texts=True)
    assert group.error_message == "no customer … in store #"
    assert groups_of(message)[0].error_message is None


def test_groups_beyond_the_limit_are_counted_together():
    judged = [judgment(factories.received(), Skip(f"reason-{number}")) for number in range(MAX_GROUPS + 5)]
    sample = summarize(judged)
    assert (len(sample.groups), sample.other_groups, sample.in_other_groups) == (MAX_GROUPS, 5, 5)


def test_a_full_scan_counts_every_message_however_many_groups_there_are():
    judged = [judgment(factories.received(), Skip(f"reason-{number}")) for number in range(1_100)]
    sample = summarize(judged, complete=True)
    assert sample.sampled == 1_100
    assert sample.in_other_groups == 1_100 - MAX_GROUPS


# Examples


def judged_by_contract(message: ReceivedMessage, repaired: ReceivedMessage | None = None) -> Judgment:
    opened = open_message(message)
    after = None if repaired is None else with_forward(opened, repaired)
    return Judgment(Redrive(REDRIVE.outbound, "store-event"), opened, STORE_EVENT, after)


def test_a_group_has_the_contract_that_its_messages_were_judged_with():
    judged = [judged_by_contract(factories.received(factories.store_event())), judgment(factories.received())]
    assert {group.contract for group in summarize(judged).groups} == {"store-event", None}


def test_an_example_shows_in_clear_what_the_contract_marks_as_safe_and_nothing_else():
    message = factories.received(factories.store_event(), attributes=factories.store_id("3"))
    (group,) = summarize([judged_by_contract(message)]).groups
    assert group.example.attributes == {"store_id": "3"}
    assert group.example.body == {
        "event_id": "event-1",
        "name": "<hidden>",
        "dob": "<hidden>",
        "gender": "<string 1>",
        "ssn_no": "<hidden>",
        "data_share_consent": "<boolean>",
        "evnt_time": "2021-02-06T18:56:59.165483",
    }


def test_an_example_that_breaks_its_contract_shows_nothing_in_clear():
    message = factories.received(factories.store_event(event_id=""), attributes=factories.store_id("3"))
    broken = Judgment(quarantined("invalid-body"), open_message(message), STORE_EVENT)
    (group,) = summarize([broken]).groups
    assert group.example.attributes == {"store_id": "<string 1>"}
    assert group.example.body["evnt_time"] == "<string 26>"


def test_an_example_of_a_topics_message_is_masked_as_its_contract_judged_it():
    schema = {"properties": {"id": {"x-safe": True}}, "x-sns-delivery": "raw"}
    schema["x-attributes"] = {"properties": {"store": {"x-safe": True}}, "required": ["store"]}
    contract = SchemaContract("ssm:/order", schema)
    inner = {"store": factories.string("3")}
    opened = open_message(factories.received(wrapped.notification('{"id": "o-1"}', inner), source=None))
    (group,) = summarize([Judgment(REDRIVE, opened, contract)]).groups
    assert (group.example.body, group.example.attributes) == ({"id": "o-1"}, {"store": "3"})


def test_an_example_shows_what_the_repair_makes_of_it():
    before = factories.received(factories.store_event())
    after = factories.received(factories.store_event(), attributes=factories.store_id("3"))
    (group,) = summarize([judged_by_contract(before, after)]).groups
    assert group.repaired
    assert (group.example.attributes, group.example.repaired.attributes) == ({}, {"store_id": "3"})


def test_an_example_that_only_the_repair_made_valid_shows_nothing_in_clear_before_it():
    before = factories.received(factories.store_event())
    after = factories.received(factories.store_event(), attributes=factories.store_id("3"))
    (group,) = summarize([judged_by_contract(before, after)]).groups
    assert group.example.body["event_id"] == "<string 7>"
    assert group.example.repaired.body["event_id"] == "event-1"


def test_examples_never_take_more_than_their_part_of_the_report():
    opened = open_message(factories.received(json.dumps([{f"member_{n}": "x" for n in range(40)}] * 3)))
    contract = SchemaContract("ssm:/order", {"items": {"properties": {f"member_{n}": {} for n in range(40)}}})
    judged = [Judgment(Skip(f"reason-{number}"), opened, contract) for number in range(MAX_GROUPS)]
    examples = [group.example for group in summarize(judged).groups if group.example]
    assert 1 < len(examples) < MAX_GROUPS
    assert sum(len(example.model_dump_json()) for example in examples) <= MAX_EXAMPLE_BYTES


def test_nothing_of_a_body_or_an_attribute_is_in_the_sample():
    message = factories.received("secret", attributes={"token": factories.string("secret")})
    assert "secret" not in summarize([judgment(message)]).model_dump_json()


# Ages and sizes


def test_the_sizes_show_how_they_are_distributed():
    sizes = summarize(judgment(factories.received("x" * size)) for size in range(1, 102)).sizes
    assert (sizes.smallest, sizes.median, sizes.p90, sizes.largest) == (1, 51, 91, 101)


def test_the_sample_has_the_times_of_the_oldest_and_the_newest_message():
    messages = [factories.received(sent_at=2_000), factories.received(sent_at=5_000), factories.received(sent_at=3_000)]
    sample = summarize(map(judgment, messages))
    assert (sample.oldest_sent_at, sample.newest_sent_at) == (
        datetime.fromtimestamp(2, UTC),
        datetime.fromtimestamp(5, UTC),
    )


@pytest.mark.parametrize(("spare_seconds", "near"), [(NEAR_EXPIRY_SECONDS + 1, 0), (NEAR_EXPIRY_SECONDS - 1, 1)])
def test_messages_that_sqs_drops_within_a_day_are_counted(spare_seconds, near):
    plan = factories.plan(retention=1_209_600)
    sent_at = factories.STARTED_AT - (plan.retention - spare_seconds) * 1000
    assert summarize([judgment(factories.received(sent_at=sent_at))], plan).near_expiry == near


# Messages without a known destination


def test_a_queue_that_no_redrive_policy_names_is_refused_if_its_messages_do_not_say_where_they_belong():
    plan = factories.plan(sources=())
    unroutable = judgment(factories.received(source=None), Skip(Reason.NO_DESTINATION))
    with pytest.raises(RejectedError, match=r"is not the dead-letter queue of any queue.*with a destination"):
        summarize([unroutable], plan)
    with pytest.raises(RejectedError, match="is not the dead-letter queue of any queue"):
        summarize([], plan)


def test_an_empty_quarantine_is_not_refused():
    plan = factories.plan(dlq=factories.queue("quarantine"), sources=())
    assert summarize([], plan).sampled == 0


def test_a_queue_of_which_nothing_could_be_sampled_is_refused_without_counting_messages():
    with pytest.raises(RejectedError) as caught:
        summarize([], factories.plan(sources=()))
    assert "0 of 0" not in str(caught.value)
    assert "no message could be received from it that says where it belongs" in str(caught.value)


@pytest.mark.parametrize("sampled", [0, 1])
@pytest.mark.parametrize("plan", [{"sources": ()}, {"sources": (), "dlq": factories.queue("quarantine")}, {}])
def test_a_run_with_a_destination_is_never_refused_for_where_messages_came_from(plan, sampled):
    judged = [judgment(factories.received(source=None))] * sampled
    assert summarize(judged, factories.plan(destination=factories.queue("other"), **plan)).sampled == sampled


@pytest.mark.parametrize(
    "plan",
    [
        {"sources": ()},
        {"sources": (factories.queue("orders"), factories.queue("invoices"))},
        {"sources": (), "dlq": factories.queue("quarantine")},
    ],
)
def test_a_message_that_belongs_nowhere_does_not_keep_the_others(plan):
    unroutable = judgment(factories.received(source=None), Skip(Reason.NO_DESTINATION))
    found = summarize([unroutable, judgment(factories.received())], factories.plan(**plan))
    assert (found.skipped, found.redrivable) == ({"no-destination": 1}, 1)


# Envelopes that say more than the notification around them


@pytest.mark.parametrize(
    ("body", "attributes", "envelope"),
    [
        (wrapped.pointer(), wrapped.size_attribute(), "s3-pointer"),
        (
            wrapped.notification(wrapped.pointer(), wrapped.size_attribute()),
            None,
            "s3-pointer",
        ),
        (wrapped.notification("hello"), None, "sns-notification"),
        ("hello", None, "none"),
    ],
)
def test_a_group_shows_the_envelope_that_matters_most(body, attributes, envelope):
    sample = summarize([judgment(factories.received(body, attributes=attributes))])
    (group,) = sample.groups
    assert (group.envelope, group.contract) == (envelope, None)


def test_an_example_of_a_pointer_shows_only_its_size():
    pointer = factories.received(wrapped.pointer(key="jane"), attributes=wrapped.size_attribute())
    (group,) = summarize([judgment(pointer)]).groups
    assert group.example.body == f"<text {len(pointer.body)} bytes>"
