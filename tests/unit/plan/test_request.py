"""The request: what an operator may ask for, and how a mistake is refused."""

import pytest

from redrive.domain.errors import RejectedError
from redrive.domain.plan.request import OnInvalid, parse_request


def refusal_of(given) -> str:
    with pytest.raises(RejectedError) as caught:
        parse_request(given)
    return str(caught.value)


def test_the_queue_is_all_that_a_request_needs():
    request = parse_request({"dlq": "orders-dlq"})
    assert (request.rate, request.dry_run, request.sample_size, request.max_messages) == (50, False, 10, None)
    assert (request.on_invalid, request.max_redrives, request.allow_nested_dlq) == (
        OnInvalid.QUARANTINE,
        3,
        False,
    )


def test_every_key_can_be_set():
    given = {
        "dlq": "orders-dlq",
        "destination": "orders",
        "dryRun": True,
        "rate": 0.5,
        "maxMessages": 10,
        "sampleSize": 1000,
        "fullScan": True,
        "select": {"envelope": ["none"], "jmespath": "store"},
        "repair": {"renameAttributes": {"store": "store_id"}},
        "onInvalid": "leave",
        "maxRedrives": 1,
        "allowNestedDlq": True,
    }
    assert parse_request(given).model_dump(mode="json", exclude_none=True) == given


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rate": 0}, "rate: Input should be greater than or equal to 0.1"),
        ({"rate": -1}, "rate: Input should be greater than or equal to 0.1"),
        ({"rate": 10_001}, "rate: Input should be less than or equal to 10000"),
        ({"rate": float("nan")}, "rate: Input should be a finite number"),
        ({"rate": float("inf")}, "rate: Input should be a finite number"),
        ({"rate": "50"}, "rate: Input should be a valid number"),
        ({"rate": True}, "rate: Input should be a valid number"),
        ({"rate": None}, "rate: Input should be a valid number"),
        ({"dlq": ""}, "dlq: String should have at least 1 character"),
        ({"dlq": 5}, "dlq: Input should be a valid string"),
        ({"dlq": ["orders-dlq"]}, "dlq: Input should be a valid string"),
        ({"destination": ""}, "destination: String should have at least 1 character"),
        ({"dryRun": "true"}, "dryRun: Input should be a valid boolean"),
        ({"dryRun": 1}, "dryRun: Input should be a valid boolean"),
        ({"maxMessages": 0}, "maxMessages: Input should be greater than or equal to 1"),
        ({"maxMessages": 1.5}, "maxMessages: Input should be a valid integer"),
        ({"maxMessages": "10"}, "maxMessages: Input should be a valid integer"),
        ({"sampleSize": 1001}, "sampleSize: Input should be less than or equal to 1000"),
        ({"fullScan": "yes"}, "fullScan: Input should be a valid boolean"),
        ({"sampleSize": 0}, "sampleSize: Input should be greater than or equal to 1"),
        ({"maxRedrives": 0}, "maxRedrives: Input should be greater than or equal to 1"),
        ({"onInvalid": "drop"}, "onInvalid: Input should be 'quarantine' or 'leave'"),
        ({"allowNestedDlq": "yes"}, "allowNestedDlq: Input should be a valid boolean"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(changes, problem):
    assert refusal_of({"dlq": "orders-dlq"} | changes) == f"The input is invalid. {problem}."


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"select": {}}, "select: expected at least one condition"),
        ({"select": {"envelopes": []}}, "select.envelopes: unknown key (expected one of envelope, "),
        ({"select": {"envelope": ["message"]}}, "select.envelope.0: Input should be 'none'"),
        ({"select": {"errorType": []}}, "select.errorType: Tuple should have at least 1 item"),
        ({"select": {"sentAfter": "2026-01-01T00:00:00"}}, "select.sentAfter: Input should have timezone"),
        ({"select": {"jmespath": "a.[b"}}, "select: not a JMESPath expression: "),
        (
            {"select": {"jmespath": "a" * 3000}},
            "select: expected a JMESPath expression of at most 2000 characters, found 3000",
        ),
        ({"select": {"jmespath": "(" * 1500}}, "select: not a JMESPath expression"),
        (
            {"select": {"source": ["x" * 256] * 50, "errorType": ["x" * 256] * 50}},
            "select: expected at most 16384 bytes",
        ),
        ({"repair": {}}, "repair: expected at least one of setAttributes"),
        ({"repair": {"project": "a b"}}, "repair: not a JMESPath expression"),
        ({"repair": {"patch": [{"op": "put", "path": "/a"}]}}, "repair.patch: not a JSON Patch"),
        ({"repair": {"patch": [{"op": "add", "path": "a", "value": 1}]}}, "repair.patch: not a JSON Patch"),
        ({"repair": {"setAttributes": {"AWS.a": {"value": "1"}}}}, "'AWS.a' can't be the name"),
        ({"repair": {"renameAttributes": {"a": "b..c"}}}, "'b..c' can't be the name"),
        ({"repair": {"setAttributes": {"a": {}}}}, "repair.setAttributes.a: expected either `value` or `from`"),
        (
            {"repair": {"setAttributes": {"a": {"type": "Number", "value": "x"}}}},
            "the value can't be an attribute of the type Number",
        ),
        (
            {"repair": {"setAttributes": {"a": {"form": "b"}}}},
            "repair.setAttributes.a.form: unknown key (expected one of type, value, from, overwrite)",
        ),
        (
            {"repair": {"project": "a", "patch": [{"op": "add", "path": "/a", "value": "x" * 17000}]}},
            "repair: expected at most 16384 bytes",
        ),
    ],
)
def test_a_wrong_condition_or_repair_is_refused_with_its_place(changes, problem):
    assert problem in refusal_of({"dlq": "orders-dlq", **changes})


def test_an_unknown_key_is_refused_with_the_known_ones():
    assert refusal_of({"dlq": "orders-dlq", "speed": 5}).startswith(
        "The input is invalid. speed: unknown key (expected one of dlq, destination, dryRun, "
    )


def test_all_mistakes_are_reported_at_once():
    refusal = refusal_of({"rate": 0, "speed": 5})
    assert all(place in refusal for place in ("dlq: Field required", "rate:", "speed:"))


@pytest.mark.parametrize("given", [None, 5, "orders-dlq", [], [{"dlq": "orders-dlq"}]])
def test_an_input_that_is_not_an_object_is_refused_with_an_example(given):
    assert refusal_of(given) == (
        'The input is invalid. the input: expected a JSON object such as {"dlq": "orders-dlq"}.'
    )
