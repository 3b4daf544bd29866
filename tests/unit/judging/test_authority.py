"""Where messages may go: every way to claim a destination, and what it takes to be believed."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.judging.authority import Claim
from redrive.domain.judging.verdicts import Quarantine, Reason, Redrive, Skip
from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.provenance import ATTRIBUTE, Provenance
from tests.support import factories, wrapped

ORDERS, INVOICES, PAYOUTS = (factories.queue(name) for name in ("orders", "invoices", "payouts"))
DLQ, QUARANTINE = factories.queue("orders-dlq"), factories.queue("quarantine")
FUNCTION = wrapped.FUNCTION.removesuffix(":$LATEST")
ALIAS = f"{FUNCTION}:live"
HOME = "us-east-1:123456789012"
WORKFLOW = f"arn:aws:states:{HOME}:stateMachine:orders"
RULE, SCHEDULE = f"arn:aws:events:{HOME}:rule/nightly", f"arn:aws:scheduler:{HOME}:schedule/default/nightly"
QUEUES = {queue.arn: queue for queue in (ORDERS, INVOICES, PAYOUTS)}
EVENT = '{"detail": 1}'


def invocation(function: str) -> dict:
    context = {"requestId": "r", "functionArn": function, "condition": "RetriesExhausted", "approximateInvokeCount": 3}
    record = {"version": "1.0", "timestamp": "t", "requestContext": context, "requestPayload": {"order": 1}}
    return {"body": json.dumps(record)}


def undelivered(origin: str, target: str) -> dict:
    of_rule, of_schedule = {"RULE_ARN": origin}, {"SCHEDULE_ARN": origin, "IS_PAYLOAD_TRUNCATED": "false"}
    values = {"TARGET_ARN": target} | (of_rule if ":rule/" in origin else of_schedule)
    return {"body": EVENT, "attributes": {name: factories.string(value) for name, value in values.items()}}


def noted(source: str | None = None, count: int = 0, **more) -> dict:
    return {ATTRIBUTE: factories.string(Provenance("run-0", count, "m", 1, source, **more).to_json())}


def judged(message, *, confirm=factories.confirmed, arns=(FUNCTION, ALIAS, WORKFLOW), **plan):
    made = factories.plan(**({"sources": ()} | plan))
    authority = factories.authority(made, QUEUES.get, arns=arns, confirm=confirm)
    return factories.judge(made, where=authority)(message)


def noting(asked):
    """Say that each claim is true, and note it."""

    def confirm(claim):
        asked.append(claim)
        return claim.destination

    return confirm


def where(verdict) -> str | None:
    return verdict.outbound.destination.arn if isinstance(verdict, Redrive) else None


CLAIMS = [
    (invocation(FUNCTION), FUNCTION, Claim(Envelope.LAMBDA_DESTINATION, FUNCTION, FUNCTION, DLQ.arn)),
    (
        invocation(f"{FUNCTION}:$LATEST"),
        FUNCTION,
        Claim(Envelope.LAMBDA_DESTINATION, f"{FUNCTION}:$LATEST", FUNCTION, DLQ.arn),
    ),
    (invocation(ALIAS), ALIAS, Claim(Envelope.LAMBDA_DESTINATION, ALIAS, ALIAS, DLQ.arn)),
    (undelivered(RULE, FUNCTION), FUNCTION, Claim(Envelope.EVENTBRIDGE_RULE, RULE, FUNCTION, DLQ.arn)),
    (undelivered(RULE, WORKFLOW), WORKFLOW, Claim(Envelope.EVENTBRIDGE_RULE, RULE, WORKFLOW, DLQ.arn)),
    (undelivered(RULE, PAYOUTS.arn), PAYOUTS.arn, Claim(Envelope.EVENTBRIDGE_RULE, RULE, PAYOUTS.arn, DLQ.arn)),
    (undelivered(SCHEDULE, WORKFLOW), WORKFLOW, Claim(Envelope.EVENTBRIDGE_SCHEDULER, SCHEDULE, WORKFLOW, DLQ.arn)),
]


each_claimed = pytest.mark.parametrize(("values", "destination"), [claim[:2] for claim in CLAIMS])


@pytest.mark.parametrize(("values", "destination", "claim"), CLAIMS)
def test_a_claim_counts_only_if_the_configuration_confirms_it(values, destination, claim):
    asked = []
    message = factories.received(source=None, **values)
    assert where(judged(message, confirm=noting(asked))) == destination
    assert asked == [claim]
    for reason in (Reason.DESTINATION_NOT_CONFIRMED, Reason.CONFIGURATION_UNREADABLE):
        assert judged(message, confirm=lambda _, reason=reason: reason) == Skip(reason)


@pytest.mark.parametrize(("values", "destination", "claim"), CLAIMS)
def test_an_origin_is_confirmed_together_with_the_claim(values, destination, claim):
    plan, message = factories.plan(sources=()), factories.received(source=None, **values)
    for answer, confirmed in ((destination, True), (Reason.DESTINATION_NOT_CONFIRMED, False)):
        authority = factories.authority(plan, QUEUES.get, arns=[destination], confirm=lambda _, answer=answer: answer)
        factories.judge(plan, where=authority)(message)
        assert authority.has_confirmed(claim.origin) is confirmed
        assert not authority.has_confirmed(f"{claim.origin}-2")


@each_claimed
def test_a_claim_counts_if_the_input_trusts_its_destination_and_nobody_is_asked(values, destination):
    message = factories.received(source=None, **values)

    def never(_claim):
        raise AssertionError

    assert where(judged(message, confirm=never, trusted_destinations=(destination,))) == destination
    refuses = {"confirm": lambda _: Reason.DESTINATION_NOT_CONFIRMED}
    for other in (f"{destination}x", destination[:-1], ORDERS.arn):
        verdict = judged(message, trusted_destinations=(other,), **refuses)
        assert verdict == Skip(Reason.DESTINATION_NOT_CONFIRMED)


@each_claimed
@pytest.mark.parametrize("sources", [(ORDERS,), (ORDERS, INVOICES)])
def test_a_claim_never_counts_in_a_queue_that_a_redrive_policy_names(values, destination, sources):
    # Even if it's true, and trusted.
    moved = factories.received(source="orders", **values)
    verdict = judged(moved, sources=sources, trusted_destinations=(destination,))
    assert (where(verdict), verdict.outbound.request["MessageBody"]) == (ORDERS.arn, moved.body)
    sent_here = factories.received(source=None, **values)
    assert isinstance(judged(sent_here, sources=sources, trusted_destinations=(destination,)), Skip)


def test_an_event_that_was_meant_for_the_only_source_goes_there():
    message = factories.received(source=None, **undelivered(RULE, ORDERS.arn))
    assert where(judged(message, sources=(ORDERS,))) == ORDERS.arn


@each_claimed
def test_what_the_deployment_does_not_list_is_never_asked_about(values, destination):
    if destination == PAYOUTS.arn:
        return

    def never(_claim):
        raise AssertionError

    message = factories.received(source=None, **values)
    verdict = judged(message, confirm=never, arns=(f"{destination}-2",), trusted_destinations=(destination,))
    assert verdict == Skip(Reason.DESTINATION_NOT_ALLOWED)


# Notifications say which subscription they were sent for, and not where that one delivers to.

TOPIC = f"arn:aws:sns:{HOME}:orders"
SUBSCRIPTION = f"{TOPIC}:15189ad7-870e-40e5-a7dd-a48898cd9f86"


def notification(subscription: str = SUBSCRIPTION, **changes) -> dict:
    link = f"https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={subscription}"
    content = {"Type": "Notification", "MessageId": "m", "TopicArn": TOPIC, "Message": "{}", "UnsubscribeURL": link}
    return {"body": json.dumps(content | changes)}


def test_a_notification_goes_as_it_is_to_the_endpoint_of_its_subscription():
    asked = []

    def confirm(claim):
        asked.append(claim)
        return PAYOUTS.arn

    verdict = judged(factories.received(source=None, **notification()), confirm=confirm)
    assert (where(verdict), verdict.outbound.request["MessageBody"]) == (PAYOUTS.arn, notification()["body"])
    assert asked == [Claim(Envelope.SNS_NOTIFICATION, TOPIC, SUBSCRIPTION, DLQ.arn)]


@pytest.mark.parametrize("reason", [Reason.DESTINATION_NOT_CONFIRMED, Reason.CONFIGURATION_UNREADABLE])
def test_a_notification_whose_subscription_is_not_confirmed_stays(reason):
    verdict = judged(factories.received(source=None, **notification()), confirm=lambda _: reason)
    assert verdict == Skip(reason)


@pytest.mark.parametrize(
    "values",
    [
        notification(f"arn:aws:sns:{HOME}:others:15189ad7-870e-40e5-a7dd-a48898cd9f86"),
        notification(f"{SUBSCRIPTION}&x=1"),
        notification("PendingConfirmation"),
        notification(TOPIC),
        notification(UnsubscribeURL=5),
        notification(UnsubscribeURL=None),
        notification(TopicArn="arn:"),
    ],
)
def test_a_notification_that_names_no_subscription_of_its_topic_has_no_destination(values):
    def never(_claim):
        raise AssertionError

    assert judged(factories.received(source=None, **values), confirm=never) == Skip(Reason.NO_DESTINATION)


@pytest.mark.parametrize("answer", [DLQ.arn, "arn:aws:sqs", factories.queue("gone").arn, f"{FUNCTION}-2"])
def test_a_subscription_does_not_reach_what_the_run_may_not_deliver_to(answer):
    verdict = judged(factories.received(source=None, **notification()), confirm=lambda _: answer)
    assert isinstance(verdict, Skip)


def test_a_notification_in_a_queue_that_a_redrive_policy_names_goes_to_its_source():
    def never(_claim):
        raise AssertionError

    message = factories.received(source="orders", **notification())
    assert where(judged(message, confirm=never, sources=(ORDERS,))) == ORDERS.arn


def test_each_claim_is_asked_about_once_and_a_flood_of_them_is_cut():
    asked, found = [], []
    made = factories.plan(sources=())

    def confirm(claim):
        asked.append(claim)
        return PAYOUTS.arn if claim.origin == RULE else Reason.DESTINATION_NOT_CONFIRMED

    def find(arn):
        found.append(arn)
        return QUEUES[arn]

    judge = factories.judge(made, where=factories.authority(made, find, confirm=confirm))
    genuine = factories.received(source=None, **undelivered(RULE, PAYOUTS.arn))
    assert where(judge(genuine)) == PAYOUTS.arn
    forged = [factories.received(source=None, **undelivered(f"{RULE}-{n}", PAYOUTS.arn)) for n in range(150)]
    verdicts = [judge(message) for message in forged for _ in range(3)]
    assert len(asked) == len(set(asked)) == 101
    assert verdicts[0] == Skip(Reason.DESTINATION_NOT_CONFIRMED)
    assert verdicts[-1] == Skip(Reason.TOO_MANY_CLAIMS)
    # What was confirmed before still is, and no queue was looked up for the others.
    assert where(judge(genuine)) == PAYOUTS.arn
    assert set(found) == {PAYOUTS.arn}
    assert len(found) == 2


@pytest.mark.parametrize("arn", [DLQ.arn, QUARANTINE.arn, factories.queue("gone").arn, "arn:aws:sqs", "arn:aws:sqs:::"])
def test_a_queue_that_cannot_be_a_destination_is_none(arn):
    message = factories.received(source=None, **undelivered(RULE, arn))
    assert judged(message, trusted_destinations=()) == Skip(Reason.NO_DESTINATION)


# The quarantine: what the mover noted is proof, anything else is not


def test_a_message_out_of_the_quarantine_goes_where_its_note_says_byte_for_byte():
    for values in (claim[0] for claim in CLAIMS):
        first = judged(factories.received(source="orders", **values), sources=(ORDERS,), max_redrives=1)
        assert isinstance(first, Redrive)
        attributes = values.get("attributes", {}) | noted(ORDERS.arn)
        message = factories.received(values["body"], source=None, attributes=attributes, sender=factories.MOVER)
        verdict = judged(message, dlq=QUARANTINE)
        assert (where(verdict), verdict.outbound.request["MessageBody"]) == (ORDERS.arn, values["body"])
        sent = verdict.outbound.request["MessageAttributes"]
        assert {name: value for name, value in sent.items() if name != ATTRIBUTE} == values.get("attributes", {})


@pytest.mark.parametrize("values", [values for values, _, _ in CLAIMS])
def test_a_message_that_the_mover_did_not_put_into_the_quarantine_belongs_nowhere(values):
    attributes = values.get("attributes", {}) | noted(PAYOUTS.arn)
    message = factories.received(values["body"], source=None, attributes=attributes)
    assert judged(message, dlq=QUARANTINE) == Skip(Reason.NO_DESTINATION)
    # Nothing says that it's the record of a failure, so it isn't opened either.
    verdict = judged(message, dlq=QUARANTINE, destination=PAYOUTS)
    assert (where(verdict), verdict.outbound.request["MessageBody"]) == (PAYOUTS.arn, values["body"])


@pytest.mark.parametrize(("values", "destination", "claim"), CLAIMS)
def test_the_record_of_a_failure_is_confirmed_by_the_queue_it_was_quarantined_from(values, destination, claim):
    asked = []
    quarantined = judged(factories.received(source=None, **values), max_redrives=1, on_invalid="quarantine")
    assert isinstance(quarantined, Redrive)
    attributes = values.get("attributes", {}) | noted(dlq=DLQ.arn)
    message = factories.received(values["body"], source=None, attributes=attributes, sender=factories.MOVER)
    assert where(judged(message, confirm=noting(asked), dlq=QUARANTINE)) == destination
    assert asked == [claim]


def test_a_quarantined_record_notes_the_queue_it_was_in():
    pointer = wrapped.batch_record("KinesisBatchInfo")
    verdict = judged(factories.received(json.dumps(pointer), source=None))
    assert isinstance(verdict, Quarantine)
    note = json.loads(verdict.outbound.request["MessageAttributes"][ATTRIBUTE]["StringValue"])
    assert (note["dlq"], note["reason"]) == (DLQ.arn, "no-payload")


# Neighbors: whatever a message says, it goes to its source queue, or to what is confirmed

arns = st.sampled_from([FUNCTION, ALIAS, WORKFLOW, *QUEUES, RULE, SCHEDULE, DLQ.arn, QUARANTINE.arn, "arn:aws:sqs", ""])
notes = st.builds(noted, st.none() | arns, st.integers(0, 9), dlq=st.none() | arns)
claimed = st.builds(invocation, arns) | st.builds(undelivered, st.sampled_from([RULE, SCHEDULE]), arns)
senders = st.sampled_from([factories.MOVER, "AROAPRODUCER", "123456789012", ""])


@given(
    claimed, notes | st.just({}), senders, st.sampled_from([None, "orders", "payouts"]), st.booleans(), st.booleans()
)
@settings(max_examples=500, derandomize=True, deadline=None)
def test_a_message_goes_only_where_something_else_than_the_message_sends_it(
    values, note, sender, source, in_quarantine, has_source
):
    attributes = values.get("attributes", {}) | note
    message = factories.received(values["body"], source=source, attributes=attributes, sender=sender)
    plan = {"sources": (ORDERS,) if has_source else (), "dlq": QUARANTINE if in_quarantine else DLQ}
    verdict = judged(message, confirm=lambda _: Reason.DESTINATION_NOT_CONFIRMED, max_redrives=99, **plan)
    destination = where(verdict)
    proved = json.loads(note[ATTRIBUTE]["StringValue"]).get("source") if note and sender == factories.MOVER else None
    if source is not None:
        assert destination == factories.queue(source).arn
    else:
        assert destination in {None, proved, ORDERS.arn if has_source else None}
    if isinstance(verdict, Redrive) and source is not None:
        assert verdict.outbound.request["MessageBody"] == values["body"]


@given(claimed, notes, st.integers(0, 1_100_000), st.integers(0, 9))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_a_forged_attribute_never_goes_on_however_large_it_is(values, note, padding, number):
    text = note[ATTRIBUTE]["StringValue"] + " " * padding
    attributes = {f"a{n}": factories.string("x") for n in range(number)} | {ATTRIBUTE: factories.string(text)}
    verdict = judged(factories.received(values["body"], attributes=attributes, source="orders"), sources=(ORDERS,))
    assert isinstance(verdict, Redrive)
    assert verdict.foreign
    ours = verdict.outbound.request["MessageAttributes"][ATTRIBUTE]["StringValue"]
    assert json.loads(ours) | {"id": 0, "sent": 0} == {
        "run": "run-1",
        "count": 1,
        "id": 0,
        "sent": 0,
        "source": ORDERS.arn,
    }
