"""Every parser of what a message holds: nothing but its documented error leaves it, and what it accepts is right."""

import json
import re
import string
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.store_events.contract import STORE_EVENT
from redrive.contracts.contract import ContractViolationError
from redrive.contracts.json_schema import SchemaContract
from redrive.contracts.wildcards import matches
from redrive.contracts.work import TooMuchWorkError
from redrive.domain.errors import RejectedError
from redrive.domain.judging.verdicts import Quarantine, Redrive, Skip
from redrive.domain.messages.arns import arn_name
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.json_text import NotJsonError, member_text, parse, write
from redrive.domain.messages.opening import open_message
from redrive.domain.messages.outbound import is_sendable
from redrive.domain.messages.queue_names import Home, parse_queue
from redrive.domain.rules.json_patch import DoesNotFitError, Patch
from redrive.domain.rules.queries import Query, rule_work
from redrive.domain.rules.repair import Repair
from redrive.domain.rules.selection import Selection, Selector
from redrive.domain.sampling.summary import Summary
from tests.support import factories, wrapped

NEIGHBORS = settings(max_examples=200, derandomize=True, deadline=None)
REPLAY = factories.queue("replay")

# What breaks parsers, each as JSON.
HOSTILE = [
    "1e999999999", "1e-999999999", "1e99999999999999999999", "-1e99999999999999999999", "1e-99999999999999999999",
    "9" * 5_000, "-" + "9" * 5_000, "0." + "9" * 5_000, "-0", "-0.0", "1E400", "1e-400", "0e99999999999999999999",
    "true", "false", "null", "[]", "{}", '""', "[[]]", '{"":{}}', "0", "-1", "1.5", "10000000000000000000000",
    "[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300, "[" * 20_000 + "]" * 20_000,
    r'"\ud800"', r'"\udc00\ud800"', r'"x\ud83d"', r'{"\ud83d":"\ude00"}', r'"\uffff"', r'"\ufffe"', r'"\u0000"',
    '"arn:"', '"arn:aws"', '"arn:aws:sqs"', '"arn:aws:sqs:us-east-1:123456789012"', '"arn:aws:lambda:::function:"',
    '"arn:aws:sqs:us-east-1:123456789012:orders:x"', r'"arn:aws:s3:::\ud800"',
    '"Binary"', '"Number"', '"String."', '"="', '"YQ"', '"é"',
    '"Notification"', '"Success"', '"aws:s3"', '"1.0"', '"' + "x" * 2_000 + '"', '"\U0001f600"',
]  # fmt: skip
hostile = st.sampled_from(HOSTILE)
shallow = hostile.filter(lambda text: "[[[" not in text and '{"a":{"a":' not in text)
numbers = hostile.filter(lambda text: text.lstrip("-")[0].isdigit())


def json_of(texts):
    """Draw JSON whose leaves are of the given texts."""
    return st.recursive(
        texts,
        lambda part: (
            st.lists(part, max_size=4).map(lambda items: f"[{','.join(items)}]")
            | st.dictionaries(st.sampled_from("abc"), part, max_size=4).map(
                lambda members: f"{{{','.join(f'{json.dumps(name)}:{member}' for name, member in members.items())}}}"
            )
        ),
        max_leaves=6,
    )


# JSON


@st.composite
def damaged(draw):
    """Draw JSON with something put in or cut out anywhere."""
    text = draw(json_of(hostile))
    place = draw(st.integers(0, min(len(text), 200)))
    middle = draw(
        st.sampled_from(
            ["", "", ",", ":", "[", "}", '"', "\\", "\\u", "\\ud8", "\n", "\x00", "\ufeff", "NaN", "e", " "]
        )
    )
    return text[:place] + middle + text[place + draw(st.integers(0, 2)) :]


@given(damaged() | st.text(max_size=20))
@NEIGHBORS
def test_json_is_what_the_standard_library_says(text):
    def refuse(_constant):
        raise ValueError

    try:
        expected = json.loads(text, parse_int=str, parse_float=str, parse_constant=refuse)
    except (ValueError, RecursionError):
        expected = None
        with pytest.raises((NotJsonError, TooMuchWorkError)):
            parse(text)
        return
    try:
        written = write(parse(text))
    except TooMuchWorkError:
        assert text.count("[") + text.count("{") > 200
        return
    written.encode()
    assert json.loads(written, parse_int=str, parse_float=str) == expected


@given(st.dictionaries(st.sampled_from(["a", "b", r"\u0061", "c d"]), json_of(shallow), min_size=1, max_size=4))
@NEIGHBORS
def test_a_member_is_cut_out_as_it_is(members):
    text = " {" + " , ".join(f'"{name}" :\n{member}' for name, member in members.items()) + "} "
    last = {json.loads(f'"{name}"'): member for name, member in members.items()}
    for name in ("a", "b", "c d", "d"):
        if name in last:
            assert member_text(text, name) == last[name]
        else:
            with pytest.raises(KeyError):
                member_text(text, name)


# JMESPath

ONE = ["abs", "avg", "ceil", "floor", "keys", "length", "max", "min", "not_null", "reverse", "sort", "sum", "to_array",
       "to_number", "to_string", "type", "values", "merge"]  # fmt: skip
TWO = ["contains", "ends_with", "starts_with", "join", "not_null"]
EXPRESSION = ["max_by", "min_by", "sort_by"]


def queries():
    leaves = st.sampled_from(
        ["@", "a", "b", "a[0]", "*", "[*]", "[]", "a[]", "b.*", "[-1]", "[::2]", "[::-1]", "'x'", "`1`", "`1e400`",
         "`-0`", "`[1, \"a\", null]`", "`true`", r'`"\ud800"`', "`1e99999999999999999999`"]
    )  # fmt: skip
    return st.recursive(
        leaves,
        lambda part: st.one_of(
            st.builds("{}({})".format, st.sampled_from(ONE), part),
            st.builds("{}({}, {})".format, st.sampled_from(TWO), part, part),
            st.builds("{}({}, &{})".format, st.sampled_from(EXPRESSION), part, part),
            st.builds("map(&{1}, {0})".format, part, part),
            st.builds("({} {} {})".format, part, st.sampled_from(["==", "!=", "<", ">=", "||", "&&", "|"]), part),
            st.builds("{} | [?{} {} {}]".format, part, part, st.sampled_from(["==", "<", ">"]), part),
            st.builds("[{}, {}]".format, part, part),
            st.builds("{{x: {}, y: {}}}".format, part, part),
            st.builds("!({})".format, part),
        ),
        max_leaves=4,
    ).filter(lambda text: len(text) < 2_000)


@given(queries(), json_of(shallow))
@settings(max_examples=600, derandomize=True, deadline=None)
def test_a_query_finds_json_or_nothing_or_takes_too_much_work(text, body):
    try:
        found = Query(text)(parse(body), len(body))
        written = write(found)
    except TooMuchWorkError:
        return

    def refuse(constant):
        raise AssertionError(constant)

    json.loads(written, parse_constant=refuse, parse_int=str)
    written.encode()


@given(numbers, numbers, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]))
@NEIGHBORS
def test_numbers_of_any_size_are_compared_rightly_or_not_at_all(left, right, operator):
    body = f'{{"left":{left},"right":{right}}}'
    try:
        found = Query(f"left {operator} right")(parse(body), len(body))
    except TooMuchWorkError:
        assert "99999999999999999999" in (left + right)
        return
    # Powers of ten beyond those of decimals, compared by their logarithms.
    order = (Decimal(left) > Decimal(right)) - (Decimal(left) < Decimal(right))
    expected = {"<": order < 0, "<=": order <= 0, "==": order == 0, "!=": order != 0, ">": order > 0, ">=": order >= 0}
    assert found is expected[operator]


# JSON Patch

pointers = st.lists(st.sampled_from(["a", "b", "0", "-", "1", "01", "~0", "", "é"]), max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
values = json_of(shallow.filter(lambda text: len(text) < 100)).map(json.loads)
operations = st.one_of(
    st.fixed_dictionaries({"op": st.sampled_from(["add", "replace", "test"]), "path": pointers, "value": values}),
    st.fixed_dictionaries({"op": st.just("remove"), "path": pointers}),
    st.fixed_dictionaries({"op": st.sampled_from(["move", "copy"]), "from": pointers, "path": pointers}),
)


def started(size):
    work = rule_work()
    work.start(size)
    return work


@given(st.lists(operations, min_size=1, max_size=4), json_of(shallow))
@NEIGHBORS
def test_a_patch_fits_or_does_not(patch, body):
    try:
        write(Patch(patch)(parse(body), started(len(body)))).encode()
    except (DoesNotFitError, NotJsonError):
        return
    except ValueError as error:
        # A constant of the patch that JSON doesn't have, such as 1e400 as a float.
        assert "JSON" in str(error) or "range" in str(error).lower()


def test_copies_of_copies_do_not_fill_the_memory():
    patch = Patch([{"op": "copy", "from": "", "path": f"/c{number}"} for number in range(50)])
    with pytest.raises(DoesNotFitError):
        patch({"a": "x" * 1_000}, started(1_000))


@pytest.mark.parametrize("number", HOSTILE[:13])
def test_a_number_that_a_repair_does_not_touch_stays_as_it_was_written(number):
    body = f'{{"n":{number},"l":[{number}],"x":1}}'
    for rule in ({"patch": [{"op": "remove", "path": "/x"}]}, {"project": "{n: n, l: l}"}):
        plan = factories.plan(repair=Repair.model_validate(rule))
        verdict = factories.judge(plan)(factories.received(body))
        assert verdict.outbound.request["MessageBody"] == f'{{"n":{number},"l":[{number}]}}'


# ARNs

arn_parts = st.sampled_from(
    ["arn", "aws", "aws-cn", "sqs", "lambda", "states", "us-east-1", "123456789012", "1", "function", "stateMachine",
     "orders", "orders.fifo", "$LATEST", "", "/", "a/b", "é", "\n", "\x00", "\ud800"]
)  # fmt: skip
arns = st.lists(arn_parts, max_size=9).map(":".join) | st.just("arn:aws:sqs:us-east-1:123456789012:orders").flatmap(
    lambda arn: st.integers(0, len(arn)).map(lambda length: arn[:length])
)
HOME = Home("aws", "us-east-1", "https://sqs.us-east-1.amazonaws.com")


@given(arns)
@NEIGHBORS
def test_an_arn_is_read_or_refused(arn):
    name = arn_name(arn)
    assert name is None or (arn.startswith("arn:") and name in arn)
    destination = DeliveryPolicy(frozenset({arn})).destination(arn, REPLAY.arn)
    assert destination is None or destination.name in arn
    try:
        assert parse_queue(arn, HOME).name in arn
    except RejectedError as error:
        error.args[0].encode()


# Characters and attributes that SQS takes


@given(
    st.text(st.characters(), max_size=5)
    | st.text(st.sampled_from("a\x08\t\x0b\x7f\x85\ud800\udfff\ufffd\ufffe\uffff"), max_size=3)
)
@settings(max_examples=500, derandomize=True, deadline=None)
def test_sqs_takes_the_characters_of_xml(text):
    received = factories.received("x")
    try:
        ET.fromstring(f"<a>{escape(text)}</a>".encode())
        expected = True
    except (ET.ParseError, UnicodeEncodeError):
        expected = False
    assert is_sendable(received.with_content("x" + text, {}), received) is expected
    attribute = {"a": {"DataType": "String", "StringValue": "x" + text}}
    assert is_sendable(received.with_content("x", attribute), received) is expected
    before = received.with_content("x" + text, attribute)
    assert is_sendable(before.with_content(before.body, before.attributes), before)


# Envelopes

SAMPLES = [json.loads(path.read_text())["message"] for path in sorted(Path("events/messages").glob("*.json"))]
CONTENTS = [json.loads(message["Body"]) for message in SAMPLES if message["Body"].startswith("{")]


def places(value, path=()):
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


@st.composite
def damaged_envelopes(draw):
    """Draw a real message in which values anywhere are replaced by hostile ones, or missing."""
    content = json.loads(json.dumps(draw(st.sampled_from(CONTENTS))))
    replaced = {}
    for number in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from([place for place in places(content) if place] or [("Type",)]))
        inner = content
        for step in path:
            inner = inner[step]
        if draw(st.integers(0, 4)):
            replaced[f"<{number}>"] = draw(hostile)
            inner[last] = f"<{number}>"
        else:
            inner.pop(last, None) if isinstance(inner, dict) else inner.pop(last)
    body = json.dumps(content)
    for mark, text in replaced.items():
        body = body.replace(json.dumps(mark), text)
    return wrapped.notification(body) if draw(st.booleans()) else body


@given(damaged_envelopes(), st.sampled_from([None, "orders"]), st.sampled_from([None, REPLAY]))
@settings(max_examples=600, derandomize=True, deadline=None)
def test_a_damaged_envelope_is_opened_or_raw_or_undecided(body, source, destination):
    message = factories.received(body, source=source)
    plan = factories.plan(sources=(factories.queue(),), destination=destination)
    # Fails if anything unexpected is raised.
    judgment = factories.judge(plan).judge(message)
    assert isinstance(judgment.verdict, (Redrive, Quarantine, Skip))
    Summary(plan).add(judgment)
    if source is not None:
        assert judgment.verdict.outbound.request["MessageBody"] == body
    try:
        open_message(message)
    except TooMuchWorkError:
        assert judgment.verdict.reason == "undecided"


names = st.text(string.ascii_letters, min_size=1, max_size=5)
sns_attributes = st.dictionaries(
    names | st.sampled_from(["redrive", "AWS.x", "a..b", "é", "", "x" * 300]),
    st.fixed_dictionaries(
        {
            "Type": st.sampled_from(
                ["String", "Number", "Binary", "String.Array", "Number.", "Binary.é", "x", "String.\x01"]
            ),
            "Value": st.sampled_from(["x", "1", "", "YQ==", "abc", "\x00", "\uffff", "1e400", "9" * 40, "-0", "+7"]),
        }
    ),
    max_size=12,
)


@given(sns_attributes, st.booleans(), st.sampled_from(["{}", "[]", '"\uffff"', "1"]))
@settings(max_examples=400, derandomize=True, deadline=None)
def test_raw_delivery_sends_what_sqs_takes_or_nothing(inner, redriven, message):
    note = {"run": "r", "count": 1, "id": "i", "sent": 1, "source": factories.queue().arn}
    outer = {"redrive": factories.string(json.dumps(note))} if redriven else {}
    body = wrapped.notification(message, MessageAttributes=inner)
    contract = SchemaContract("c", {"x-sns-delivery": "raw"})
    received = factories.received(body, attributes=outer, source=None)
    verdict = factories.judge(factories.plan(), lambda _: contract)(received)
    if isinstance(verdict, Skip):
        assert verdict.reason == "not-sendable"
        return
    request = verdict.outbound.request
    attributes = request.get("MessageAttributes", {})
    # A notification that isn't one, such as with bytes that aren't base64, is sent as it is.
    assert request["MessageBody"] in {message, body}
    assert len(attributes) <= 10
    for name, value in attributes.items():
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,256}", name)
        assert value.get("StringValue") or value.get("BinaryValue")
        assert value["DataType"].isprintable()
        if value["DataType"] == "Number":
            assert len(value["StringValue"].lstrip("+-")) <= 38
    assert "\uffff" not in request["MessageBody"]


# Contracts


@given(
    damaged() | json_of(hostile),
    st.dictionaries(names, st.sampled_from(["1e999999999", "9" * 5_000, "x", "1e9999999999999999999"])),
)
@NEIGHBORS
def test_a_contract_decides_or_says_that_it_cannot(body, attributes):
    typed = {name: {"DataType": "Number", "StringValue": value} for name, value in attributes.items()}
    schema = {
        "properties": {"a": {"multipleOf": 0.01}, "b": {"pattern": r"^(?!x)\w+$"}, "c": {"uniqueItems": True}},
        "x-attributes": {"additionalProperties": {"type": "number", "multipleOf": 0.01}},
    }
    for contract in (SchemaContract("c", schema), STORE_EVENT):
        try:
            contract.parse(body, typed)
        except (ContractViolationError, TooMuchWorkError) as error:
            str(error).encode()


# Selection


@given(st.text("ab*?[]!.\n\\", max_size=8).filter(bool), st.text("ab?[]!.\n\\", max_size=8))
@settings(max_examples=500, derandomize=True, deadline=None)
def test_only_an_asterisk_is_special(pattern, text):
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
    assert matches(pattern, text) is expected
    if text:
        selects = Selector(Selection(attributes={"a": pattern}), factories.STARTED_AT)
        assert selects(open_message(factories.received(attributes={"a": factories.string(text)}))) is expected


def test_a_pattern_of_many_asterisks_is_decided_at_once():
    assert not matches("*a" * 128, "a" * 100 + "b" * 1_000_000)
    assert matches("*a" * 100 + "*", "ab" * 500_000)
