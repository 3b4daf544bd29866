"""The request: what an operator may ask for, and how a mistake is refused."""

import pytest

from redrive.domain.errors import RejectedError
from redrive.domain.model import Model
from redrive.domain.plan.input_errors import EXPECTED
from redrive.domain.plan.request import OnInvalid, RedriveRequest, parse_request
from redrive.domain.plan.stop_request import parse_stop_request
from redrive.domain.rules.repair import AttributeRule, Repair
from redrive.domain.rules.selection import Selection


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
        "traceHeader": "fresh",
        "trustedDestinations": ["arn:aws:lambda:us-east-1:123456789012:function:on-order"],
        "allowNestedDlq": True,
        "because": "INC-42: the tax service is back",
        "startedBy": "arn:aws:sts::123456789012:assumed-role/Operator/ann",
    }
    assert parse_request(given).model_dump(mode="json", exclude_none=True) == given


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rate": 0}, "rate: expected a number from 0.1 to 10000, found 0"),
        ({"rate": -1}, "rate: expected a number from 0.1 to 10000, found -1"),
        ({"rate": 10_001}, "rate: expected a number from 0.1 to 10000, found 10001"),
        ({"rate": 1e9}, "rate: expected a number from 0.1 to 10000, found a number with many digits"),
        ({"rate": float("nan")}, "rate: expected a number from 0.1 to 10000, found a number that isn't finite"),
        ({"rate": float("inf")}, "rate: expected a number from 0.1 to 10000, found a number that isn't finite"),
        ({"rate": "50"}, "rate: expected a number from 0.1 to 10000, found a string"),
        ({"rate": True}, "rate: expected a number from 0.1 to 10000, found true"),
        ({"rate": None}, "rate: expected a number from 0.1 to 10000, found null"),
        ({"dlq": ""}, "dlq: expected the name, ARN, or URL of a queue, found an empty string"),
        ({"dlq": 5}, "dlq: expected the name, ARN, or URL of a queue, found 5"),
        ({"dlq": ["orders-dlq"]}, "dlq: expected the name, ARN, or URL of a queue, found a list"),
        ({"destination": ""}, "destination: expected the name, ARN, or URL of a queue, found an empty string"),
        ({"because": ""}, "because: expected a reason of 1 to 500 characters on one line, found an empty string"),
        ({"because": " \t"}, "because: expected a reason of 1 to 500 characters on one line, found a string"),
        ({"because": "x" * 501}, "because: expected a reason of 1 to 500 characters on one line, found a string"),
        ({"because": "one\ntwo"}, "because: expected a reason of 1 to 500 characters on one line, found a string"),
        ({"because": "\x1b[2J"}, "because: expected a reason of 1 to 500 characters on one line, found a string"),
        ({"because": "one\u2028two"}, "because: expected a reason of 1 to 500 characters on one line, found a string"),
        ({"because": 42}, "because: expected a reason of 1 to 500 characters on one line, found 42"),
        ({"startedBy": "x" * 201}, "startedBy: expected a name of 1 to 200 characters on one line, found a string"),
        ({"dryRun": "true"}, "dryRun: expected true or false, found a string"),
        ({"dryRun": 1}, "dryRun: expected true or false, found 1"),
        ({"maxMessages": 0}, "maxMessages: expected a whole number of at least 1, found 0"),
        ({"maxMessages": 1.5}, "maxMessages: expected a whole number of at least 1, found 1.5"),
        ({"maxMessages": "10"}, "maxMessages: expected a whole number of at least 1, found a string"),
        ({"sampleSize": 1001}, "sampleSize: expected a whole number from 1 to 1000, found 1001"),
        ({"fullScan": "yes"}, "fullScan: expected true or false, found a string"),
        ({"sampleSize": 0}, "sampleSize: expected a whole number from 1 to 1000, found 0"),
        ({"maxRedrives": 0}, "maxRedrives: expected a whole number of at least 1, found 0"),
        ({"traceHeader": "new"}, 'traceHeader: expected "keep" or "fresh", found a string that is none of them'),
        ({"onInvalid": "drop"}, 'onInvalid: expected "quarantine" or "leave", found a string that is none of them'),
        ({"allowNestedDlq": "yes"}, "allowNestedDlq: expected true or false, found a string"),
        *(
            (
                {"trustedDestinations": [arn]},
                "trustedDestinations.0: expected the ARN of a queue, function, or state machine, without wildcards, "
                "found a string",
            )
            for arn in (
                "orders",
                "arn:aws:sqs:us-east-1:1:jane@example.com",
                "arn:aws:sqs:us-east-1:123456789012:jane@example.com",
                "arn:aws:sqs:us-east-1:123456789012:orders-*",
                "arn:aws:lambda:us-east-1:123456789012:function:on order",
                "arn:aws:sns:us-east-1:123456789012:orders",
            )
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(changes, problem):
    assert refusal_of({"dlq": "orders-dlq"} | changes) == f"The input is invalid. {problem}."


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"select": {}}, "select: expected at least one condition"),
        (
            {"select": {"envelopes": []}},
            "select.envelopes: unknown key; did you mean envelope? (expected one of envelope, ",
        ),
        ({"select": {"envelope": ["message"]}}, "select.envelope.0: expected one of none, lambda-destination, "),
        (
            {"select": {"errorType": []}},
            'select.errorType: expected a list of patterns such as ["Timeout*"], found an empty list',
        ),
        ({"select": {"sentAfter": "2026-01-01T00:00:00"}}, "select.sentAfter: expected a time with an offset"),
        ({"select": {"jmespath": "a.[b"}}, "select.jmespath: not a JMESPath expression: "),
        (
            {"select": {"jmespath": "a" * 3000}},
            "select.jmespath: expected a JMESPath expression of at most 2000 characters, found 3000",
        ),
        ({"select": {"jmespath": "(" * 1500}}, "select.jmespath: not a JMESPath expression"),
        (
            {"select": {"source": ["x" * 256] * 50, "errorType": ["x" * 256] * 50}},
            "select: expected at most 16384 bytes",
        ),
        ({"repair": {}}, "repair: expected at least one of setAttributes"),
        ({"repair": {"project": "a b"}}, "repair.project: not a JMESPath expression: the error is at character 3 of 3"),
        ({"repair": {"patch": [{"op": "put", "path": "/a"}]}}, "repair.patch.0: expected an op, one of add, "),
        (
            {"repair": {"patch": [{"op": "add", "path": "a", "value": 1}]}},
            "repair.patch.0: expected path to be a JSON Pointer",
        ),
        (
            {"repair": {"setAttributes": {"AWS.a": {"value": "1"}}}},
            "repair.setAttributes: expected names of message attributes",
        ),
        (
            {"repair": {"renameAttributes": {"a": "b..c"}}},
            "repair.renameAttributes: expected names of message attributes",
        ),
        (
            {"repair": {"setAttributes": {"a": {}}}},
            "repair.setAttributes.a: expected either `value` or `from`, found neither",
        ),
        (
            {"repair": {"setAttributes": {"a": {"value": "x", "from": "b"}}}},
            "expected either `value` or `from`, found both; remove one",
        ),
        (
            {"repair": {"setAttributes": {"a": {"type": "Number", "value": "x"}}}},
            "expected a value that an attribute of the type Number can have, a number of at most 38 digits",
        ),
        (
            {"repair": {"setAttributes": {"a": {"form": "b"}}}},
            "repair.setAttributes.a.form: unknown key; did you mean from? (expected one of type, value, ",
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
    assert all(
        place in refusal
        for place in ("dlq: expected the name, ARN, or URL of a queue, found nothing", "rate:", "speed:")
    )


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, "null"),
        (True, "true"),
        (5, "5"),
        (5_550_123_456, "a number with many digits"),
        ("orders-dlq", "a string"),
        ([], "an empty list"),
        ([{"dlq": "orders-dlq"}], "a list"),
    ],
)
def test_an_input_that_is_not_an_object_is_refused_with_an_example(given, found):
    assert refusal_of(given) == (
        f'The input is invalid. the input: expected a JSON object such as {{"dlq": "orders-dlq"}}, found {found}.'
    )


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("dry_run", "dryRun"),
        ("DRYRUN", "dryRun"),
        ("maxMesages", "maxMessages"),
        ("errorType", "select.errorType"),
        ("renameAttributes", "repair.renameAttributes"),
    ],
)
def test_a_key_that_nearly_exists_is_refused_with_the_one_that_was_probably_meant(key, meant):
    assert f"{key}: unknown key; did you mean {meant}? (expected one of dlq, " in refusal_of({"dlq": "a", key: True})


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"dry_run": True}, "dry_run"),
        ({"select": {"error_type": ["x"]}}, "select.error_type"),
        ({"repair": {"set_attributes": {"a": {"value": "1"}}}}, "repair.set_attributes"),
        ({"repair": {"setAttributes": {"a": {"from_payload": "a"}}}}, "repair.setAttributes.a.from_payload"),
    ],
)
def test_names_of_python_are_no_keys(given, place):
    assert f"{place}: unknown key" in refusal_of({"dlq": "a", **given})


def test_a_string_where_a_list_is_expected_is_refused_in_plain_words():
    assert refusal_of({"dlq": "a", "select": {"errorType": "Timeout*"}}) == (
        'The input is invalid. select.errorType: expected a list of patterns such as ["Timeout*"], found a string.'
    )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"select": {"jmespath": "nope(@)"}},
            "select.jmespath: not a JMESPath expression: there is no function nope()",
        ),
        ({"repair": {"project": "{a: length(b, c)}"}}, "expected 1 arguments of length(), found 2"),
        ({"repair": {"project": "not_null()"}}, "expected at least 1 arguments of not_null(), found 0"),
        (
            {"repair": {"patch": [{"op": "add", "path": "/a"}]}},
            "repair.patch.0: expected add to have value, found none; add it",
        ),
        (
            {"repair": {"patch": [{"op": "move", "path": "/a"}]}},
            "repair.patch.0: expected move to have from, found none; add it",
        ),
        ({"repair": {"setAttributes": {"redrive": {"value": "1"}}}}, "redrive is the attribute that this app adds"),
        ({"repair": {"renameAttributes": {"redrive": "x"}}}, "redrive is the attribute that this app adds"),
        (
            {"repair": {"setAttributes": {"a": {"value": "\u0000"}}}},
            "expected a value that an attribute of the type String can have",
        ),
        ({"repair": {"setAttributes": {"a": {"type": "Number", "value": "1e999"}}}}, "of the type Number"),
        ({"repair": {"setAttributes": {"a": {"type": "Number", "value": "9" * 39}}}}, "of the type Number"),
        ({"repair": {"setAttributes": {"a": {"type": "Number", "value": "\u0661"}}}}, "of the type Number"),
        ({"repair": {"setAttributes": {"a": {"type": "Number", "value": f"1e{'9' * 30}"}}}}, "of the type Number"),
        ({"select": {"attributes": {"a b": "x"}}}, "select.attributes: expected names of message attributes"),
        ({"select": {"sentAfter": 1_700_000_000}}, "select.sentAfter: expected a time with an offset"),
        ({"select": {"sentAfter": "1700000000"}}, "select.sentAfter: expected a time with an offset"),
        ({"select": {"minAge": 60, "maxAge": 59}}, "select: minAge is above maxAge, so no message can match"),
        (
            {"select": {"sentAfter": "2026-01-02T00:00:00Z", "sentBefore": "2026-01-02T00:00:00Z"}},
            "select: sentAfter isn't before sentBefore, so no message can match",
        ),
    ],
)
def test_what_could_never_work_is_refused_before_a_message_is_read(given, problem):
    assert problem in refusal_of({"dlq": "a", **given})


@pytest.mark.parametrize(
    "query", ["items[1:3].a", "[::2]", "a[-1]", "not_null(a, b, c)", "merge(a, b)", "sort_by(a, &b)"]
)
def test_a_query_of_any_form_is_accepted(query):
    assert parse_request({"dlq": "a", "select": {"jmespath": query}})


def test_no_more_than_ten_mistakes_are_listed():
    refusal = refusal_of({f"key_{number}": number for number in range(30)})
    assert refusal.count("unknown key") == 9
    assert refusal.endswith("; and 21 more.")


def test_every_key_of_the_models_says_what_it_expects():
    def paths(model: type[Model], place: tuple[str, ...]) -> set[tuple[str, ...]]:
        return {(*place, field.alias or name) for name, field in model.model_fields.items()}

    rule = ("repair", "setAttributes", "*")
    known = (
        paths(RedriveRequest, ())
        | paths(Selection, ("select",))
        | paths(Repair, ("repair",))
        | paths(AttributeRule, rule)
    )
    assert {path for path in EXPECTED if path and path[-1] != "*"} == known


@pytest.mark.parametrize("given", [None, [], "orders-dlq", {}, {"queue": "orders-dlq"}, {"dlq": 5}, {"dlq": ""}])
def test_a_stop_without_a_queue_is_refused_with_what_was_expected(given):
    with pytest.raises(RejectedError, match=r"^The input is invalid\. .*expected"):
        parse_stop_request(given)


def test_a_stop_with_a_wrong_key_is_refused_with_the_one_key_there_is():
    with pytest.raises(RejectedError) as caught:
        parse_stop_request({"queue": "orders-dlq"})
    assert str(caught.value) == (
        "The input is invalid. dlq: expected the name, ARN, or URL of a queue, found nothing; "
        "queue: unknown key (expected one of dlq)."
    )
    assert parse_stop_request({"dlq": "a"}).dlq == "a"
