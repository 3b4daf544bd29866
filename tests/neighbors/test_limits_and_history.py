"""Queues with any size limit, and messages with the attributes of other queues' redrives.

The oracle counts bytes by itself and follows a message from queue to queue.
"""

import json
from copy import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.judging.judge import Judge
from redrive.domain.judging.verdicts import Quarantine, Redrive, Skip
from redrive.domain.messages.message import ReceivedMessage
from redrive.workflow.memory import Memory
from tests.support import factories

generated = settings(max_examples=150, derandomize=True, deadline=None)
LIMITS = [1_024, 2_048, 65_536, 262_144, 1_048_576]


class Facts(dict):
    """The rows of a runs table, in memory."""

    def recall(self, ids):
        return {sent_id: self[sent_id] for sent_id in ids if sent_id in self}

    def record(self, provenance_by_id):
        self.update(provenance_by_id)


MOVERS = frozenset({factories.MOVER})


def judge(plan) -> Judge:
    return factories.judge(plan)


def bytes_of(body: str, attributes: dict) -> int:
    parts = [body, *(text for name, value in attributes.items() for text in (name, *value.values()))]
    return sum(len(part.encode()) for part in parts)


@given(st.sampled_from(LIMITS), st.integers(-700, 400), st.integers(0, 10))
@generated
def test_a_message_goes_with_our_attribute_without_it_or_not_at_all_as_the_queues_limit_says(limit, over, number):
    attributes = {f"a{n}": factories.string("x") for n in range(number)}
    body = "x" * max(1, limit + over - bytes_of("", attributes))
    orders = factories.queue(max_bytes=limit)
    verdict = judge(factories.plan(sources=(orders,)))(factories.received(body, attributes=attributes))
    size = bytes_of(body, attributes)
    if size > limit:
        assert isinstance(verdict, Skip)
        assert verdict.reason == "too-large"
        return
    assert isinstance(verdict, Redrive)
    sent = verdict.outbound.request.get("MessageAttributes", {})
    ours = sent.get("redrive", factories.string(verdict.outbound.unattached or ""))
    fits = number < 10 and bytes_of(body, {**attributes, "redrive": ours}) <= limit
    assert ("redrive" in sent) == fits
    assert bytes_of(body, sent) <= limit
    assert (verdict.outbound.unattached is None) == fits


@given(
    st.sampled_from(LIMITS),
    st.integers(0, 600),
    st.integers(0, 10),
    st.integers(1, 4),
    st.sampled_from(["", "forged"]),
)
@generated
def test_no_message_is_redriven_more_often_than_allowed_however_large_or_full_it_is(limit, room, number, most, note):
    """A message fails again and again; each time it is back in the dead-letter queue under its last id."""
    attributes = {f"a{n}": factories.string("x") for n in range(number)}
    orders = factories.queue(max_bytes=limit)
    if note and number < 10:
        lie = {"run": "r", "count": 0, "id": "m", "sent": 1, "source": orders.arn}
        attributes["redrive"] = factories.string(json.dumps(lie) + " " * 200)
    body = "x" * max(1, limit - room - bytes_of("", attributes))
    if bytes_of(body, attributes) > limit:
        return
    facts, sent_id, sender, redriven = Facts(), "m-0", "AROAPRODUCER", 0
    for run in range(most + 1):
        plan = factories.plan(run_id=f"run-{run}", sources=(orders,), max_redrives=most)
        memory = Memory(plan, facts, MOVERS)
        raw = factories.message(body, message_id=sent_id, attributes=attributes, sender=sender)
        (message,) = memory.received([raw])
        verdict = judge(plan)(message)
        if isinstance(verdict, Quarantine):
            assert verdict.reason == "redriven-too-often"
            break
        assert isinstance(verdict, Redrive)
        redriven, sent_id, sender = redriven + 1, f"m-{redriven + 1}", factories.MOVER
        memory.record(memory.unattached([(verdict.outbound, sent_id)]))
        attributes = dict(verdict.outbound.request.get("MessageAttributes", {}))
    assert redriven == most


@given(st.lists(st.sampled_from(["orders", "invoices", "payments"]), min_size=2, max_size=6))
@generated
def test_a_redrive_counts_for_the_queue_it_was_made_for_and_for_no_other(path):
    """A message passes through queues, is redriven in each, and keeps all its attributes on the way.

    A consumer sends it on with all of its attributes, under its own name.
    """
    attributes: dict = {}
    sender = "AROAPRODUCER"
    counts, expected = [], []
    for step, name in enumerate(path):
        plan = factories.plan(run_id=f"run-{step}", sources=(factories.queue(name),), max_redrives=100)
        if step and path[step - 1] != name:
            sender = "AROACONSUMER"
        verdict = judge(plan)(factories.received(source=name, attributes=attributes, sender=sender))
        sender = factories.MOVER
        assert isinstance(verdict, Redrive)
        attributes = dict(verdict.outbound.request["MessageAttributes"])
        counts.append(json.loads(attributes["redrive"]["StringValue"])["count"])
        expected.append(expected[-1] + 1 if step and path[step - 1] == name else 1)
    assert counts == expected


@given(st.sampled_from(["lambda-destination", "async-dlq"]), st.integers(0, 5), st.integers(1, 5))
@generated
def test_a_function_that_fails_on_a_redriven_event_is_recognized_by_its_request(kind, count, most):
    request = f"12345678-1234-4234-8234-{count:012}"
    function = "arn:aws:lambda:us-east-1:123456789012:function:f"
    if kind == "lambda-destination":
        context = {"requestId": request, "functionArn": function, "condition": "RetriesExhausted"}
        record = {
            "version": "1.0",
            "timestamp": "2026-01-01T00:00:00.000Z",
            "requestContext": context | {"approximateInvokeCount": 3},
            "requestPayload": {"requestId": "ffffffff-ffff-4fff-8fff-ffffffffffff"},
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "responsePayload": {"errorType": "E", "errorMessage": "m"},
        }
        raw = factories.message(json.dumps(record), source=None)
    else:
        codes = {"RequestID": factories.string(request), "ErrorMessage": factories.string("m")}
        codes["ErrorCode"] = {"DataType": "Number", "StringValue": "200"}
        raw = factories.message('{"a": 1}', source=None, attributes=codes)
    recorded = {"run": "run-0", "count": count, "id": "m", "sent": 1}
    plan = factories.plan(max_redrives=most, sources=(), destination=factories.queue())
    (message,) = Memory(plan, Facts({request: json.dumps(recorded)}), MOVERS).received([raw])
    assert isinstance(judge(plan)(message), Quarantine if count >= most else Redrive)


@given(st.one_of(st.text(min_size=1, max_size=60), st.text("ab-", min_size=2_000, max_size=2_100)))
@generated
def test_nothing_but_a_request_id_is_looked_up_whatever_a_message_claims_as_one(claimed):
    asked: list[str] = []

    class Asked(Facts):
        def recall(self, ids):
            asked.extend(ids)
            return super().recall(ids)

    plan = factories.plan(sources=())
    context = {"requestContext": {"requestId": claimed}}
    by_attribute = factories.message("x", source=None, attributes={"RequestID": factories.string(claimed)})
    by_body = factories.message(json.dumps(context), source=None)
    Memory(plan, Asked(), MOVERS).received([by_attribute, by_body])
    assert all(len(found) == 36 and set(found) <= set("0123456789abcdefABCDEF-") for found in asked)


def test_a_plain_message_asks_the_runs_table_nothing():
    class Unasked(Facts):
        def recall(self, ids):
            raise AssertionError(ids)

    plan = factories.plan()
    (message,) = Memory(plan, Unasked(), MOVERS).received([factories.message("hello")])
    assert message == replace(message, recorded=None)
    assert isinstance(message, ReceivedMessage)


def test_a_sender_that_is_a_mover_means_that_the_table_knows_what_the_message_does_not_carry():
    plan = factories.plan(sources=(factories.queue(max_bytes=1_048_576),))
    raw = factories.message("hello", system={"SenderId": f"{factories.MOVER}:session"})
    note = json.dumps({"run": "run-0", "count": 3, "id": "first", "sent": 1, "source": factories.queue().arn})
    (message,) = Memory(plan, Facts({raw["MessageId"]: note}), MOVERS).received([raw])
    assert message.recorded == note
