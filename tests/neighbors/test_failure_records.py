"""Records of a failure: opened, or refused with a reason, but never sent on as if the record were the message."""

import json
import string
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.judging.verdicts import Quarantine, Redrive, Skip
from redrive.domain.plan.request import OnInvalid
from redrive.domain.sampling.summary import Summary
from tests.support import factories, wrapped

NEIGHBORS = settings(max_examples=100, derandomize=True, deadline=None)
REPLAY = factories.queue("replay")

words = st.text(string.ascii_letters, min_size=1, max_size=12)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda part: st.lists(part) | st.dictionaries(words, part),
    max_leaves=5,
)
attribute_names = words.filter(lambda name: name != "redrive")


@st.composite
def iot_records(draw):
    """Draw what an IoT rule sends to its error action."""
    actions = st.fixed_dictionaries(
        {"failedAction": st.sampled_from(["S3Action", "DynamoAction", "SqsAction", "LambdaAction"])},
        optional={"failedResource": texts, "errorMessage": texts},
    )
    record = wrapped.iot_record(draw(st.binary(max_size=60)), failures=draw(st.lists(actions, min_size=1, max_size=3)))
    record |= {"ruleName": draw(words), "topic": draw(texts), "clientId": draw(texts)}
    # Fields that come and go, such as the client of a message from the basic ingest.
    for name in draw(st.sets(st.sampled_from(["clientId", "cloudwatchTraceId"]))):
        del record[name]
    return record | draw(st.sampled_from([{}, {"principal": "p"}, {"version": "2016-03-23"}]))


without_payload = (
    st.sampled_from(["KinesisBatchInfo", "DDBStreamBatchInfo", "KafkaBatchInfo"]).map(wrapped.batch_record)
    | st.sampled_from(["KinesisBatchInfo", "DDBStreamBatchInfo"]).map(wrapped.pipe_record)
    | st.just(wrapped.subscriber_record())
    | st.just(wrapped.invocation("RetriesExhausted"))
    # One that was never invoked has no response either.
    | st.just({k: v for k, v in wrapped.invocation("EventAgeExceeded").items() if k != "responseContext"})
    | st.just(wrapped.batch_record("KafkaBatchInfo", responseContext=None))
)


def around(body, depth, as_string=False):
    """Return a body in a number of notifications, or as a JSON string."""
    for _ in range(depth):
        body = wrapped.notification(body)
    return json.dumps(body) if as_string else body


def judged(body, *, source=None, attributes=None, **plan):
    sources = () if source is None else (factories.queue(source),)
    message = factories.received(body, source=source, attributes=attributes)
    made = factories.plan(sources=sources, **plan)
    return factories.judge(made, where=factories.authority(made, arns=[wrapped.FUNCTION]))(message)


def body_sent(verdict):
    return verdict.outbound.request["MessageBody"]


@NEIGHBORS
@given(iot_records(), st.integers(0, 4), st.booleans(), st.sampled_from([None, REPLAY]))
def test_an_iot_record_is_refused_wherever_it_is_sent(record, depth, as_string, destination):
    body = around(json.dumps(record), depth, as_string)
    verdict = judged(body, destination=destination)
    assert isinstance(verdict, Quarantine)
    assert (verdict.reason, body_sent(verdict)) == ("not-redrivable", body)
    assert judged(body, destination=destination, on_invalid=OnInvalid.LEAVE) == Skip("not-redrivable")


@NEIGHBORS
@given(iot_records() | without_payload, st.integers(0, 3))
def test_in_the_dead_letter_queue_of_a_queue_a_record_is_a_message_like_any_other(record, depth):
    body = around(json.dumps(record), depth)
    verdict = judged(body, source="iot-errors")
    assert isinstance(verdict, Redrive)
    assert (body_sent(verdict), verdict.outbound.destination.name) == (body, "iot-errors")


@NEIGHBORS
@given(iot_records() | without_payload | values.map(wrapped.lambda_record), st.integers(0, 3))
def test_out_of_the_quarantine_too(record, depth):
    note = {"run": "r", "count": 0, "id": "i", "sent": 1, "source": factories.queue("iot-errors").arn}
    body = around(json.dumps(record), depth)
    verdict = factories.judge(factories.plan(sources=(factories.queue("iot-errors"),)))(
        factories.received(
            body, source=None, attributes={"redrive": factories.string(json.dumps(note))}, sender=factories.MOVER
        )
    )
    assert (body_sent(verdict), verdict.outbound.destination.name) == (body, "iot-errors")


@NEIGHBORS
@given(without_payload, st.integers(0, 4), st.booleans(), st.sampled_from([None, REPLAY]))
def test_a_record_without_a_payload_is_refused(record, depth, as_string, destination):
    body = around(json.dumps(record), depth, as_string)
    verdict = judged(body, destination=destination)
    assert (verdict.reason, body_sent(verdict)) == ("no-payload", body)


BATCHES = [
    *((wrapped.batch_record, name) for name in ("KinesisBatchInfo", "DDBStreamBatchInfo", "KafkaBatchInfo")),
    *((wrapped.pipe_record, name) for name in ("KinesisBatchInfo", "DDBStreamBatchInfo")),
]
sizes = st.integers(1, 10_000) | st.sampled_from([0, -1, 10_001, 10**30, 1.0, "5", None, True, [5], {"a": 5}])


@NEIGHBORS
@given(st.lists(st.tuples(st.sampled_from(BATCHES), sizes), min_size=1, max_size=6), st.integers(0, 2))
def test_the_sample_counts_the_events_that_records_stand_for(drawn, depth):
    plan = factories.plan(sources=())
    summary, judge, expected = Summary(plan), factories.judge(plan), []
    for (make, name), size in drawn:
        summary.add(judge.judge(factories.received(around(json.dumps(make(name, size)), depth), source=None)))
        if type(size) is int and 0 < size <= 10_000:
            expected.append(size)
    groups = summary.sample(factories.execution().started_at, complete=True).groups
    assert {group.reason for group in groups} == {"no-payload"}
    assert sum(group.events or 0 for group in groups) == sum(expected)
    assert (not expected) is all(group.events is None for group in groups)


@NEIGHBORS
@given(st.integers(0, 30))
def test_a_record_of_a_custom_event_bus_stands_for_the_events_that_it_lists(number):
    record = wrapped.subscriber_record(failedMessages=[{"eventId": str(one)} for one in range(number)])
    judgment = factories.judge(factories.plan(sources=())).judge(factories.received(json.dumps(record), source=None))
    assert (judgment.verdict.reason, judgment.opened.events) == ("no-payload", number)


@NEIGHBORS
@given(values, st.integers(0, 4))
def test_a_function_gets_its_payload_from_a_queue_and_through_a_topic(payload, depth):
    written = json.dumps(payload)
    record = json.dumps(wrapped.lambda_record("PAYLOAD")).replace('"PAYLOAD"', written)
    verdict = judged(around(record, depth))
    assert verdict.outbound.destination.address == wrapped.FUNCTION
    assert verdict.outbound.request == {"Payload": written}


# What SNS and Lambda put into a queue: the first adds nothing, the second adds three attributes


@NEIGHBORS
@given(
    texts.filter(bool),
    st.dictionaries(
        attribute_names | st.sampled_from(["RequestID", "ErrorCode", "ErrorMessage"]),
        texts.filter(bool).map(factories.string),
        max_size=5,
    ),
)
def test_a_publishers_attributes_stay_on_what_a_subscription_could_not_deliver(body, attributes):
    verdict = judged(body, attributes=attributes, destination=REPLAY)
    sent = {name: value for name, value in verdict.outbound.request["MessageAttributes"].items() if name != "redrive"}
    assert (body_sent(verdict), sent) == (body, attributes)
    through_topic = wrapped.notification(body, attributes)
    assert body_sent(judged(through_topic, destination=REPLAY)) == through_topic


lambda_attributes = st.builds(
    lambda code, text: {
        "RequestID": factories.string("cd50c989-9a89-5128-aee3-30c7c7496bd9"),
        "ErrorCode": wrapped.number(str(code)),
        "ErrorMessage": factories.string(text),
    },
    st.integers(100, 599),
    texts.filter(bool),
)


@NEIGHBORS
@given(
    values | iot_records(),
    lambda_attributes,
    st.dictionaries(attribute_names, texts.filter(bool).map(factories.string), max_size=3),
)
def test_an_event_that_a_function_could_not_process_is_sent_without_lambdas_attributes(event, added, others):
    body = json.dumps(event)
    verdict = judged(body, attributes=others | added, destination=REPLAY)
    sent = {name: value for name, value in verdict.outbound.request["MessageAttributes"].items() if name != "redrive"}
    assert (body_sent(verdict), sent) == (body, others)


@NEIGHBORS
@given(values | iot_records(), lambda_attributes)
def test_an_event_in_a_functions_dead_letter_topic_is_sent_as_its_queues_consumer_reads_it(event, added):
    body = wrapped.notification(json.dumps(event), added)
    assert body_sent(judged(body, destination=REPLAY)) == body


ODD = [
    {"ErrorCode": wrapped.number("7")},
    {"ErrorCode": wrapped.number("200.5")},
    {"ErrorCode": wrapped.number("2000")},
    {"ErrorCode": wrapped.number("-200")},
    {"ErrorCode": factories.string("200")},
    {"ErrorCode": {"DataType": "Number.int", "StringValue": "200"}},
    {"ErrorCode": {"DataType": "Binary", "BinaryValue": b"200"}},
    {"RequestID": wrapped.number("7")},
    {"RequestID": {"DataType": "Binary", "BinaryValue": b"r"}},
    {"RequestID": {"DataType": "String.uuid", "StringValue": "r"}},
    {"ErrorMessage": wrapped.number("7")},
    {"ErrorMessage": {"DataType": "Binary", "BinaryValue": b"m"}},
]


@pytest.mark.parametrize("odd", [*ODD, *({name: None} for name in ("RequestID", "ErrorCode", "ErrorMessage"))])
def test_attributes_that_are_not_all_lambdas_are_the_messages_own(odd):
    complete = wrapped.async_attributes()
    attributes = {name: value for name, value in (complete | odd).items() if value is not None}
    verdict = judged("{}", attributes=attributes, destination=REPLAY)
    sent = {name: value for name, value in verdict.outbound.request["MessageAttributes"].items() if name != "redrive"}
    assert sent == attributes


# Nothing that anyone can send breaks a run


@st.composite
def hostile(draw):
    """Draw a body with the names that services use, in places and of types that they don't."""
    names = st.sampled_from(
        ["version", "timestamp", "requestContext", "requestPayload", "responseContext", "responsePayload", "context",
         "functionArn", "condition", "approximateInvokeCount", "requestId", "KinesisBatchInfo", "partnerResourceArn",
         "Records", "eventSource", "Type", "MessageId", "TopicArn", "Message", "MessageAttributes", "Service", "Event",
         "ruleName", "topic", "base64OriginalPayload", "failures", "failedAction", "s3BucketName", "s3Key"]
    )  # fmt: skip
    likely = st.sampled_from(
        ["Notification", wrapped.TOPIC, wrapped.FUNCTION, "aws:s3", "1.0", "2.0", "Binary", "abc", "Success"]
    )
    leaves = st.none() | st.integers() | likely | texts
    content = st.recursive(
        leaves, lambda part: st.lists(part, max_size=3) | st.dictionaries(names, part, max_size=8), max_leaves=25
    )
    return json.dumps(draw(st.dictionaries(names, content, max_size=10)))


BYTES = b64encode(b"x").decode()


@settings(max_examples=300, derandomize=True, deadline=None)
@given(hostile(), st.sampled_from([None, "orders"]), st.sampled_from([None, REPLAY]))
def test_every_message_gets_a_verdict_and_moves_whole(body, source, destination):
    verdict = judged(body, source=source, destination=destination)
    if source is not None or isinstance(verdict, Quarantine):
        assert body_sent(verdict) == body
    else:
        assert isinstance(verdict, (Redrive, Skip))


@pytest.mark.parametrize("value", ["abc", "=", "YQ", "YQ==YQ==", "ü", "", " ", None, 7, [], {}])
@pytest.mark.parametrize("kind", ["Binary", "Binary.png"])
def test_a_notification_with_broken_bytes_is_raw(kind, value):
    body = wrapped.notification("{}", None, MessageAttributes={"a": {"Type": kind, "Value": value}})
    assert body_sent(judged(body, destination=REPLAY)) == body
    fine = wrapped.notification("{}", None, MessageAttributes={"a": {"Type": kind, "Value": BYTES}})
    assert body_sent(judged(fine, destination=REPLAY)) == fine
