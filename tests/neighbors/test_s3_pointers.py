"""Messages near a pointer into S3: real ones go back byte for byte, and anything else is judged like any message."""

import json
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from examples.store_events.contract import STORE_EVENT
from redrive.domain.judging.verdicts import Quarantine, Redrive
from redrive.domain.plan.request import OnInvalid
from tests.support import factories, wrapped

# A contract that no pointer satisfies, and neither do the attributes below.
CONTRACTS = {"orders": STORE_EVENT, "replay": STORE_EVENT}.get
NEIGHBORS = settings(max_examples=100, derandomize=True, deadline=None)

# Not the name of the attribute that the redrive adds.
attribute_names = st.text(string.ascii_lowercase, min_size=3, max_size=8).filter(lambda name: name != "redrive")
attributes = st.dictionaries(attribute_names, st.text(string.printable, min_size=1).map(factories.string), max_size=3)
sizes = st.integers(0, 2**31).map(str)
buckets = st.text(string.ascii_lowercase + string.digits + "-.", min_size=3, max_size=63)
keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


@st.composite
def pointers(draw):
    """Draw a pointer as any version of any library writes it: its body, and its attributes."""
    fields = {"s3BucketName": draw(buckets), "s3Key": draw(keys)} | draw(st.sampled_from([{}, {"region": "eu-west-1"}]))
    if draw(st.booleans()):
        fields = dict(reversed(fields.items()))
    body = json.dumps(
        [draw(st.sampled_from(wrapped.POINTER_CLASSES)), fields],
        separators=draw(separators),
        ensure_ascii=draw(st.booleans()),
    )
    sized = {draw(st.sampled_from(wrapped.SIZE_ATTRIBUTES)): wrapped.number(draw(sizes))}
    return body, draw(attributes) | sized


@st.composite
def messages(draw):
    """Draw a pointer as it is, or in notifications, one in another."""
    body, carried = draw(pointers())
    for _ in range(draw(st.integers(0, 3))):
        body, carried = wrapped.notification(body, carried), draw(attributes)
    return body, carried


def verdict_on(body, carried, *, source="orders", **plan):
    return factories.judge(factories.plan(**plan), CONTRACTS)(
        factories.received(body, attributes=carried, source=source)
    )


def sent(verdict):
    request = verdict.outbound.request
    carried = {name: value for name, value in request.get("MessageAttributes", {}).items() if name != "redrive"}
    return request["MessageBody"], carried


@NEIGHBORS
@given(messages(), st.sampled_from(["orders", None]), st.sampled_from(list(OnInvalid)))
def test_a_pointer_goes_back_as_it_is_and_counts_as_not_judged_by_a_contract(message, source, on_invalid):
    verdict = verdict_on(*message, source=source, on_invalid=on_invalid)
    assert isinstance(verdict, Redrive)
    assert (sent(verdict), verdict.contract, verdict.repaired) == (message, None, False)


REPAIRS = [
    {"patch": [{"op": "replace", "path": "", "value": {"id": 1}}]},
    {"patch": [{"op": "replace", "path": "/1/s3Key", "value": "other"}]},
    {"patch": [{"op": "add", "path": "/Message", "value": "other"}]},
    {"patch": [{"op": "remove", "path": "/1"}]},
    {"project": "{id: `1`}"},
    {"project": "[1]"},
    {"project": "@"},
    {"setAttributes": {"store_id": {"from": "[1].s3Key"}}},
    {"setAttributes": {"store_id": {"from": "type(@)"}}},
    {"renameAttributes": {"ExtendedPayloadSize": "size", "SQSLargePayloadSize": "size"}},
    {"setAttributes": {name: {"type": "Number", "value": 5, "overwrite": True} for name in wrapped.SIZE_ATTRIBUTES}},
    {"patch": [{"op": "test", "path": "", "value": 1}], "setAttributes": {"store_id": {"value": "1"}}},
]


@NEIGHBORS
@given(messages(), st.sampled_from(REPAIRS))
def test_no_repair_touches_a_pointer(message, repair):
    verdict = verdict_on(*message, repair=repair)
    assert (sent(verdict), verdict.repaired) == (message, False)


@NEIGHBORS
@given(messages())
def test_a_constant_is_the_only_thing_that_a_repair_adds_to_a_pointer(message):
    body, carried = message
    verdict = verdict_on(body, carried, repair={"setAttributes": {"STORE": {"value": "north"}}})
    assert sent(verdict) == (body, carried | {"STORE": factories.string("north")})


def _other_value(value):
    return lambda body, carried: (
        body,
        {name: value if name in wrapped.SIZE_ATTRIBUTES else kept for name, kept in carried.items()},
    )


def _other_body(change):
    def damaged(body, carried):
        return json.dumps(change(*json.loads(body))), carried

    return damaged


DAMAGES = [
    lambda body, carried: (body, {name: kept for name, kept in carried.items() if name not in wrapped.SIZE_ATTRIBUTES}),
    _other_value(factories.string("300000")),
    _other_value({"DataType": "Binary", "BinaryValue": b"300000"}),
    _other_value({"DataType": "Number.int", "StringValue": "300000"}),
    _other_value(wrapped.number("-1")),
    _other_value(wrapped.number("3e5")),
    _other_value(wrapped.number("")),
    _other_body(lambda _kind, fields: fields),
    _other_body(lambda kind, _fields: [kind]),
    _other_body(lambda kind, fields: [kind, fields, fields]),
    _other_body(lambda kind, fields: [fields, kind]),
    _other_body(lambda kind, fields: [kind + "X", fields]),
    _other_body(lambda kind, fields: [kind.upper(), fields]),
    _other_body(lambda _kind, fields: ["com.example.Pointer", fields]),
    _other_body(lambda _kind, fields: [None, fields]),
    _other_body(lambda kind, fields: [kind, [fields]]),
    _other_body(lambda kind, fields: [kind, fields | {"s3Key": ""}]),
    _other_body(lambda kind, fields: [kind, fields | {"s3Key": 7}]),
    _other_body(lambda kind, fields: [kind, fields | {"s3BucketName": None}]),
    _other_body(lambda kind, fields: [kind, {"s3Key": fields["s3Key"]}]),
    _other_body(lambda kind, fields: [kind, {"s3BucketName": fields["s3BucketName"]}]),
    _other_body(lambda kind, fields: [kind, {"S3BucketName": fields["s3BucketName"], "S3Key": fields["s3Key"]}]),
    _other_body(lambda kind, fields: json.dumps([kind, fields])),
    lambda body, carried: (body[:-1], carried),
    lambda body, carried: (body + body, carried),
]


@NEIGHBORS
@given(pointers(), st.sampled_from(DAMAGES), st.sampled_from(["orders", None]))
def test_what_fits_only_in_part_is_judged_by_its_contract(message, damage, source):
    body, carried = damage(*message)
    verdict = verdict_on(body, carried, source=source)
    assert isinstance(verdict, Quarantine)
    assert verdict.reason in {"invalid-body", "not-json"}
    assert sent(verdict) == (body, carried)


@NEIGHBORS
@given(pointers(), attributes)
def test_the_attribute_belongs_where_the_pointer_is(message, others):
    body, carried = message
    size = {name: value for name, value in carried.items() if name in wrapped.SIZE_ATTRIBUTES}
    assert isinstance(verdict_on(wrapped.notification(body, others), size), Quarantine)
    assert isinstance(verdict_on(wrapped.notification("{}", size), others), Quarantine)
