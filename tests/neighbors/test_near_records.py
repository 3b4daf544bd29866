"""Records of a failure with something wrong in them: never sent on as if the record were the message.

Every recorded sample of a record is changed in one place, and in two: a key dropped, added, renamed, or in another
case, a value of another type. What must not be mistaken for a record is made of at most two of its keys.
"""

import copy
import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.judging.verdicts import Quarantine, Redrive
from redrive.domain.messages import near_records
from redrive.domain.messages.opened import BlockedReason
from redrive.domain.sampling.summary import Summary
from tests.support import factories, wrapped
from tests.support.samples import EVENTS

NEIGHBORS = settings(max_examples=300, derandomize=True, deadline=None)
REPLAY = factories.queue("replay")
SAMPLES = {path.stem: json.loads(path.read_text()) for path in sorted((EVENTS / "messages").glob("*.json"))}
BODIES = {"lambda-destination", "stream-batch-pointer", "eventbridge-subscriber", "iot-error-action"}
RECORDS = {
    name: json.loads(sample["message"]["Body"]) for name, sample in SAMPLES.items() if sample["envelope"] in BODIES
} | {
    "lambda-record": wrapped.lambda_record({"id": 1}),
    "lambda-record-without-payload": wrapped.invocation(),
    "dynamodb-on-failure": wrapped.batch_record("DDBStreamBatchInfo"),
    "iot-record": wrapped.iot_record(),
}
OTHER_VALUES = [None, 7, 1.5, True, "x", "", [], ["x"], {}, {"x": 1}]

type Path = tuple[str | int, ...]


def paths(value, path: Path = ()) -> list[Path]:
    """Return the places of all keys: of the record, of objects in it, and of objects in its lists."""
    found: list[Path] = []
    if isinstance(value, dict):
        for name, member in value.items():
            found += [(*path, name), *paths(member, (*path, name))]
    elif isinstance(value, list):
        for index, member in enumerate(value):
            found += paths(member, (*path, index))
    return found


def parent_of(record, path: Path):
    for step in path[:-1]:
        record = record[step]
    return record


def dropped(record, path):
    del parent_of(record, path)[path[-1]]


def renamed(change):
    def rename(record, path):
        parent = parent_of(record, path)
        members = [(change(name) if name == path[-1] else name, value) for name, value in parent.items()]
        parent.clear()
        parent.update(members)

    return rename


def retyped(value):
    def retype(record, path):
        parent_of(record, path)[path[-1]] = copy.deepcopy(value)

    return retype


def added(record, path):
    parent_of(record, path)[f"{path[-1]}New"] = 1


CHANGES = {
    "drop": dropped,
    "add": added,
    "rename": renamed("other_{}".format),
    "lower": renamed(str.lower),
    "upper": renamed(str.upper),
    "swap": renamed(str.swapcase),
    **{f"retype-{json.dumps(value)}": retyped(value) for value in OTHER_VALUES},
}
SINGLE = [(name, path, change) for name, record in RECORDS.items() for path in paths(record) for change in CHANGES]


def changed(name, *changes):
    record = copy.deepcopy(RECORDS[name])
    for path, change in changes:
        try:
            CHANGES[change](record, path)
        except (KeyError, TypeError, IndexError, AttributeError):
            # The first change has removed the place of the second.
            continue
    return record


def verdict_on(body, attributes=None):
    return factories.judge(factories.plan(sources=(), destination=REPLAY))(
        factories.received(body, source=None, attributes=attributes)
    )


def sent_as_the_message(body, attributes=None):
    verdict = verdict_on(body, attributes)
    return isinstance(verdict, Redrive) and verdict.outbound.request["MessageBody"] == body


@pytest.mark.parametrize("name", RECORDS)
def test_no_change_of_a_record_makes_it_the_message(name):
    for _, path, change in [single for single in SINGLE if single[0] == name]:
        if name == "lambda-record-without-payload" and path == ("requestContext",):
            # Then only what the function answered is left, which many a message says.
            continue
        body = json.dumps(changed(name, (path, change)))
        assert not sent_as_the_message(body), (name, path, change)
        assert not sent_as_the_message(wrapped.notification(body)), (name, path, change)


@NEIGHBORS
@given(st.data())
def test_nor_do_two_changes_of_a_recorded_record_that_leave_its_objects(data):
    name = data.draw(st.sampled_from([name for name in RECORDS if name in SAMPLES]))
    record = RECORDS[name]
    inside = [path for path in paths(record) if path[1:] or not isinstance(record[path[0]], (dict, list))]
    changes = data.draw(st.lists(st.tuples(st.sampled_from(inside), st.sampled_from(sorted(CHANGES))), max_size=2))
    body = json.dumps(changed(name, *changes))
    assert not sent_as_the_message(body), changes


@pytest.mark.parametrize("name", ["lambda-record", "kinesis-stream-on-failure", "pipe-on-failure", "iot-error-action"])
def test_a_record_that_is_not_read_as_a_whole_says_so(name):
    field = {"lambda-record": ("requestContext", "condition"), "iot-error-action": ("topic",)}.get(name)
    record = changed(name, (field or ("context" if "pipe" in name else "requestContext",), "drop"))
    if "kinesis" in name or "pipe" in name:
        record.pop("version")
    body = json.dumps(record)
    verdict = verdict_on(body)
    assert isinstance(verdict, Quarantine)
    assert (verdict.reason, verdict.outbound.request["MessageBody"]) == (BlockedReason.UNREADABLE_RECORD, body)


def test_the_sample_shows_what_it_nearly_is():
    plan = factories.plan(sources=())
    summary, judge = Summary(plan), factories.judge(plan)
    summary.add(judge.judge(factories.received(json.dumps(wrapped.iot_record(topic=7)), source=None)))
    group = summary.sample(factories.execution().started_at, complete=True).groups[0]
    assert (group.envelope, group.reason) == ("iot-error-action", "unreadable-record")


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_in_what_is_nearly_a_notification_is_not_the_message(name):
    notification = json.loads(wrapped.notification(json.dumps(RECORDS[name])))
    for near in (notification | {"Type": "notification"}, notification | {"MessageId": 7}, notification | {"a": 1}):
        assert not sent_as_the_message(json.dumps(near))
    lower = {member.lower(): value for member, value in notification.items()}
    assert not sent_as_the_message(json.dumps(lower))


@pytest.mark.parametrize("name", RECORDS)
def test_what_a_redrive_policy_moved_goes_back_whatever_it_resembles(name):
    for path in paths(RECORDS[name]):
        body = json.dumps(changed(name, (path, "drop")))
        verdict = factories.judge(factories.plan())(factories.received(body, source="orders"))
        assert verdict.outbound.request["MessageBody"] == body


def test_every_telling_key_has_a_word_that_makes_a_body_worth_reading():
    keys = [key for record in near_records._RECORDS for key in record.telling]
    assert all(any(mark in key for mark in near_records.RECORD_MARKS) for key in keys)


# The attributes of EventBridge and its Scheduler


SCHEDULE = {
    **{name: factories.string("x") for name in ("ERROR_CODE", "ERROR_MESSAGE", "EXECUTION_ID", "SCHEDULED_TIME")},
    "SCHEDULE_ARN": factories.string("arn:aws:scheduler:us-east-1:123456789012:schedule/default/s"),
    "TARGET_ARN": factories.string(wrapped.FUNCTION),
    "IS_PAYLOAD_TRUNCATED": factories.string("false"),
}
RULE = SAMPLES["eventbridge-rule-target"]["message"]["MessageAttributes"]


@pytest.mark.parametrize("attributes", [RULE, SCHEDULE], ids=["rule", "schedule"])
def test_no_change_of_a_services_attributes_lets_them_go_on_as_the_messages_own(attributes):
    others = [{"DataType": "Binary", "BinaryValue": b"x"}, wrapped.number("7"), factories.string("x")]
    for name in attributes:
        rest = {other: value for other, value in attributes.items() if other != name}
        for near in (rest, rest | {name.lower(): attributes[name]}, *(rest | {name: other} for other in others)):
            verdict = verdict_on("{}", near)
            if isinstance(verdict, Redrive):
                # It's still complete, and has been opened.
                carried = verdict.outbound.request["MessageAttributes"].keys() - {"redrive"}
                assert carried.isdisjoint(map(str.upper, attributes)), near
                assert attributes is RULE or near["IS_PAYLOAD_TRUNCATED"] == factories.string("false")


# Messages that have something in common with a record


KEYS = sorted({path for record in RECORDS.values() for path in paths(record) if len(path) == 1})
words = st.text(string.ascii_letters, min_size=1, max_size=10).filter(
    lambda word: word.lower() not in {str(name).lower() for (name,) in KEYS}
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(words, part, max_size=3),
    max_leaves=6,
)


@NEIGHBORS
@given(
    st.dictionaries(words, values, max_size=5),
    st.lists(st.sampled_from(KEYS), max_size=2),
    st.data(),
)
def test_a_message_that_shares_one_or_two_keys_with_a_record_is_the_message(own, shared, data):
    found = own | {str(name): data.draw(values) for (name,) in shared}
    assert sent_as_the_message(json.dumps(found))
    assert sent_as_the_message(json.dumps(found), {"TARGET_ARN": factories.string("x"), "a": factories.string("b")})


ORDINARY = [
    # API Gateway, in its three formats, and an Application Load Balancer.
    {"resource": "/", "httpMethod": "GET", "requestContext": {"requestId": "r", "stage": "s", "identity": {}}},
    {"version": "2.0", "routeKey": "$default", "requestContext": {"requestId": "r", "http": {"method": "GET"}}},
    {"requestContext": {"routeKey": "$connect", "connectionId": "c", "requestId": "r"}, "isBase64Encoded": False},
    {"requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:r:1:t"}}, "body": "functionArn"},
    # What an API of ours logs.
    {"requestContext": {"requestId": "r"}, "requestPayload": {"a": 1}, "responsePayload": {"b": 2}},
    # Lambda's answer to an invocation, and the configuration of an event source.
    {"StatusCode": 200, "FunctionError": "Unhandled", "ExecutedVersion": "$LATEST", "Payload": "{}"},
    {"functionArn": wrapped.FUNCTION, "eventSourceArn": "arn:aws:kinesis:r:1:stream/s", "batchSize": 100},
    {"shardId": "s", "startSequenceNumber": "1", "endSequenceNumber": "2", "streamArn": "arn:aws:kinesis:r:1:stream/s"},
    {"batchInfo": {"batchSize": 5, "payloadSize": 10, "shardId": "s"}, "context": {"condition": "new"}},
    {"busArn": "b", "targetArn": "t", "retryAttempts": 3, "exhaustedRetryCondition": "none"},
    {"failedMessages": [{"eventId": 1, "eventGroupId": "g"}], "retryAttempts": 3},
    # What a device says, by way of a rule that adds where it came from.
    {"topic": "plant/7", "clientId": "gateway-7", "ruleName": "StoreReadings", "celsius": 21.5},
    {"failures": [{"step": "pack", "errorMessage": "m"}], "topic": "returns", "ruleName": "r"},
    # A message about a record: an alert, an event of a bus, a list.
    {"alert": "failed", "record": wrapped.iot_record()},
    {"alert": "failed", "record": json.dumps(wrapped.lambda_record({}))},
    {"version": "0", "detail-type": "Lambda Function Invocation Result - Failure", "detail": wrapped.lambda_record({})},
    [wrapped.iot_record()],
]


@pytest.mark.parametrize("content", ORDINARY)
def test_what_only_resembles_a_record_is_the_message(content):
    assert sent_as_the_message(json.dumps(content))
    assert sent_as_the_message(wrapped.notification(json.dumps(content)))
