"""Messages near a pointer into S3: real ones go back byte for byte, and anything else is judged like any message."""

import json
import string

import pytest
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
# A client looks for the attribute by its name: any label, any type, and any value will do.
typed_sizes = st.builds(
    "{}{}".format, st.sampled_from(["Number", "String"]), st.sampled_from(["", ".int", ".long", ".java.lang.Integer"])
).flatmap(
    lambda kind: st.integers(0, 2**31).map(lambda size: {"DataType": kind, "StringValue": str(size)})
) | st.sampled_from(
    [
        {"DataType": "Binary", "BinaryValue": b"300000"},
        factories.string("large"),
        wrapped.number("3e5"),
        wrapped.number("-1"),
    ]
)
buckets = st.text(string.ascii_lowercase + string.digits + "-.", min_size=3, max_size=63)
keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


@st.composite
def pointers(draw):
    """Draw a pointer as any version of any library writes it: its body, and its attributes."""
    fields = {"s3BucketName": draw(buckets), "s3Key": draw(keys)}
    if draw(st.booleans()):
        fields = dict(reversed(fields.items()))
    body = json.dumps(
        [draw(st.sampled_from(wrapped.POINTER_CLASSES)), fields],
        separators=draw(separators),
        ensure_ascii=draw(st.booleans()),
    )
    sized = {draw(st.sampled_from(wrapped.SIZE_ATTRIBUTES)): draw(typed_sizes)}
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


def _other_body(change):
    def damaged(body, carried):
        return json.dumps(change(*json.loads(body))), carried

    return damaged


UNKNOWN = [
    _other_body(lambda kind, _fields: [kind]),
    _other_body(lambda kind, fields: [kind, fields, fields]),
    _other_body(lambda kind, fields: [fields, kind]),
    _other_body(lambda _kind, fields: ["Pointer", fields]),
    _other_body(lambda _kind, fields: ["com.example.", fields]),
    _other_body(lambda _kind, fields: [None, fields]),
    _other_body(lambda kind, fields: [kind, [fields]]),
    _other_body(lambda kind, fields: [kind, fields | {"s3Key": ""}]),
    _other_body(lambda kind, fields: [kind, fields | {"s3Key": 7}]),
    _other_body(lambda kind, fields: [kind, fields | {"s3BucketName": None}]),
    _other_body(lambda kind, fields: [kind, fields | {"id": 1}]),
    _other_body(lambda _kind, fields: fields | {"id": 1}),
    _other_body(lambda kind, fields: [kind, {"s3Key": fields["s3Key"]}]),
    _other_body(lambda kind, fields: [kind, {"s3BucketName": fields["s3BucketName"]}]),
    _other_body(lambda kind, fields: [kind, {"S3BucketName": fields["s3BucketName"], "S3Key": fields["s3Key"]}]),
    _other_body(lambda kind, fields: json.dumps([kind, fields])),
    lambda body, carried: (body[:-1], carried),
    lambda body, carried: (body + body, carried),
    lambda _body, carried: (factories.store_event(), carried | factories.store_id()),
    lambda body, carried: (wrapped.notification(body), carried),
]


@NEIGHBORS
@given(pointers(), st.sampled_from(UNKNOWN), st.sampled_from(["orders", None]))
def test_what_has_the_attribute_and_no_known_pointer_stays_where_a_contract_would_have_to_judge_it(
    message, damage, source
):
    body, carried = damage(*message)
    assert verdict_on(body, carried, source=source).reason == "unknown-pointer"


@NEIGHBORS
@given(pointers(), st.sampled_from(UNKNOWN), st.sampled_from(REPAIRS))
def test_no_repair_touches_it_and_without_contract_and_repair_it_goes_back_as_it_is(message, damage, repair):
    body, carried = damage(*message)
    received = factories.received(body, attributes=carried)
    assert sent(factories.judge(factories.plan())(received)) == (body, carried)
    assert factories.judge(factories.plan(repair=repair))(received).reason == "unknown-pointer"


@NEIGHBORS
@given(pointers(), st.sampled_from(["orders", None]))
def test_without_its_attribute_it_is_judged_by_its_contract(message, source):
    body, carried = message
    rest = {name: kept for name, kept in carried.items() if name not in wrapped.SIZE_ATTRIBUTES}
    verdict = verdict_on(body, rest, source=source)
    assert isinstance(verdict, Quarantine)
    assert (verdict.reason, sent(verdict)) == ("invalid-body", (body, rest))


@NEIGHBORS
@given(pointers(), attributes)
def test_the_attribute_belongs_where_the_pointer_is(message, others):
    body, carried = message
    size = {name: value for name, value in carried.items() if name in wrapped.SIZE_ATTRIBUTES}
    assert verdict_on(wrapped.notification(body, others), size).reason == "unknown-pointer"
    assert verdict_on(wrapped.notification("{}", size), others).reason == "unknown-pointer"


# Every client


CLIENTS = wrapped.pointers()
CLAIMS = sorted({name for _, name in CLIENTS.values() if name})


def claim(name, value, kind="String"):
    """Return the attribute of a client; only one says more than its name."""
    text = "(large)0c1cfa3e-6d54-4a55-9f0c-5b2f9a1c7f10" if name == "S3MessageBodyKey" else value
    return {name: {"DataType": kind, "StringValue": text}} if name else {}


types = st.sampled_from(["String", "String.text", "Number", "Number.int", "Number.long"])


@NEIGHBORS
@given(st.sampled_from(sorted(CLIENTS)), types, attributes, st.integers(0, 2), st.sampled_from(["orders", None]))
def test_the_pointer_of_every_client_goes_back_as_it_is(client, kind, others, depth, source):
    body, name = CLIENTS[client]
    carried = others | claim(name, "300000", kind)
    for _ in range(depth):
        body, carried = wrapped.notification(body, carried), others
    verdict = verdict_on(body, carried, source=source)
    assert (sent(verdict), verdict.contract) == ((body, carried), None)


@NEIGHBORS
@given(st.sampled_from(sorted(CLIENTS)), st.sampled_from(CLAIMS), types)
def test_the_form_of_one_client_with_the_attribute_of_another_is_never_taken_for_the_payload(client, name, kind):
    body, own = CLIENTS[client]
    verdict = verdict_on(body, claim(name, "300000", kind))
    sizes = {*wrapped.SIZE_ATTRIBUTES}
    if name == own or {name, own} <= sizes:
        assert isinstance(verdict, Redrive)
    else:
        assert verdict.reason == "unknown-pointer"


def changed(value):
    """Return JSON values near a pointer's body: a member more, one less, one of another type or name."""
    if isinstance(value, list):
        return [[value[0], inner] for inner in changed(value[1])] + [[*value, 1]]
    near = [value | {"id": 1}]
    for name, member in value.items():
        rest = {other: kept for other, kept in value.items() if other != name}
        near += [rest, rest | {name: 7}, rest | {name.swapcase(): member}]
        near += [rest | {name: inner} for inner in changed(member)] if isinstance(member, dict) else []
    return near


JSON_CLIENTS = {client: found for client, found in CLIENTS.items() if not client.startswith("dvla")}


@pytest.mark.parametrize("client", sorted(JSON_CLIENTS))
def test_a_near_miss_of_every_client_is_never_taken_for_the_payload(client):
    body, name = JSON_CLIENTS[client]
    accepted = 0
    for near in changed(json.loads(body)):
        verdict = verdict_on(json.dumps(near), claim(name, "300000"))
        if isinstance(verdict, Redrive):
            # Without the identifier of a hefty message, which its first version didn't write.
            accepted += 1
            assert near == {name: value for name, value in json.loads(body).items() if name != "identifier"}
        else:
            assert verdict.reason == ("unknown-pointer" if name else "invalid-body")
    assert accepted == (client == "hefty")


@given(st.text(min_size=1, max_size=40) | st.just(factories.store_event()))
@NEIGHBORS
def test_no_payload_is_smuggled_past_a_contract_as_its_own_key(body):
    forged = {"S3MessageBodyKey": factories.string(f"(large){body}")}
    assert not isinstance(verdict_on(body, forged | factories.store_id()), Redrive)


def test_the_attribute_of_nservicebus_claims_a_pointer_only_on_its_own_messages():
    event, key = factories.store_event(), {"S3BodyKey": factories.string("k")}
    assert isinstance(verdict_on(event, key | factories.store_id()), Redrive)
    native = {"MessageTypeFullName": factories.string("Sales.OrderAccepted")}
    assert verdict_on(event, key | native | factories.store_id()).reason == "unknown-pointer"
