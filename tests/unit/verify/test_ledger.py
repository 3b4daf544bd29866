"""The ledger notices whatever can go wrong with a message, and nothing else."""

import copy
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verify.ledger import Ledger, key_of

QUEUES = ("a", "b", "ordered.fifo")
TEXTS = st.text(max_size=20)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["one", "two", "three"]),
    st.one_of(
        st.builds(lambda value: {"DataType": "String", "StringValue": value}, TEXTS),
        st.builds(lambda value: {"DataType": "Number.int", "StringValue": str(value)}, st.integers()),
        st.builds(lambda value: {"DataType": "Binary", "BinaryValue": value}, st.binary(max_size=5)),
    ),
)


@st.composite
def entries(draw) -> list[tuple[str, dict]]:
    """Messages as SendMessageBatch takes them, each with the name of its queue."""
    found = []
    for number in range(draw(st.integers(2, 8))):
        place = draw(st.sampled_from(QUEUES))
        entry = {
            "MessageBody": f"{draw(TEXTS)} verify-0a1b-some-scenario-{number:04} {draw(TEXTS)}",
            "MessageAttributes": draw(ATTRIBUTES),
        }
        if place.endswith(".fifo") or draw(st.booleans()):
            entry["MessageGroupId"] = draw(st.sampled_from(["g", "h"]))
        if draw(st.booleans()):
            entry["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": draw(TEXTS)}}
        found.append((place, entry))
    return found


def received(number: int, entry: dict) -> dict:
    """Return a message as ReceiveMessage returns it after a faithful redrive."""
    system = {"MessageGroupId": entry["MessageGroupId"]} if "MessageGroupId" in entry else {}
    if "MessageSystemAttributes" in entry:
        system["AWSTraceHeader"] = entry["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"]
    note = {"redrive": {"DataType": "String", "StringValue": f'{{"count": {number}}}'}}
    return {
        "MessageId": f"id-{number}",
        "Body": entry["MessageBody"],
        "Attributes": system,
        "MessageAttributes": copy.deepcopy(entry["MessageAttributes"]) | note,
    }


def delivered(sent: list[tuple[str, dict]]) -> list[tuple[str, dict]]:
    return [(place, received(number, entry)) for number, (place, entry) in enumerate(sent)]


def problems(sent: list[tuple[str, dict]], found: list[tuple[str, dict]], allowed: int = 0) -> list[str]:
    ledger = Ledger()
    for place, entry in sent:
        ledger.expect(place, [entry])
    for place, message in found:
        ledger.find(place, [message])
    return ledger.problems(allowed)


@given(entries())
def test_faithful_messages_balance_however_often_sqs_delivers_them(sent):
    found = delivered(sent)
    assert problems(sent, found) == []
    again = [(place, message) for place, message in found if not place.endswith(".fifo")]
    assert problems(sent, [*found, *again]) == []


def _lost(found: list, at: int) -> str:
    del found[at]
    return "missing from"


def _doubled(found: list, at: int) -> str:
    found.append((found[at][0], found[at][1] | {"MessageId": "id-copy"}))
    return "more than once"


def _elsewhere(found: list, at: int) -> str:
    found[at] = ("elsewhere", found[at][1])
    return "in elsewhere instead of"


def _altered_body(found: list, at: int) -> str:
    found[at][1]["Body"] += " "
    return "an altered body"


def _lost_attributes(found: list, at: int) -> str:
    found[at][1]["MessageAttributes"]["one"] = {"DataType": "String", "StringValue": "altered \x7f"}
    return "an altered attributes"


def _retyped_attribute(found: list, at: int) -> str:
    for value in found[at][1]["MessageAttributes"].values():
        value["DataType"] += ".altered"
    found[at][1]["MessageAttributes"]["four"] = {"DataType": "String", "StringValue": "x"}
    return "an altered attributes"


def _altered_trace(found: list, at: int) -> str:
    found[at][1]["Attributes"]["AWSTraceHeader"] = "altered, longer than any text of the strategy"
    return "an altered trace header"


def _altered_group(found: list, at: int) -> str:
    found[at][1]["Attributes"]["MessageGroupId"] = "altered"
    return "an altered message group"


def _strange(found: list, at: int) -> str:
    found.append((found[at][0], received(99, {"MessageBody": "whose?", "MessageAttributes": {}})))
    return "that nobody sent"


@pytest.mark.parametrize(
    "spoil",
    [
        _lost,
        _doubled,
        _elsewhere,
        _altered_body,
        _lost_attributes,
        _retyped_attribute,
        _altered_trace,
        _altered_group,
        _strange,
    ],
)
@given(sent=entries(), choice=st.integers(0))
def test_whatever_happens_to_one_message_is_noticed(spoil: Callable[[list, int], str], sent, choice):
    found = delivered(sent)
    expected = spoil(found, choice % len(found))
    assert any(expected in problem for problem in problems(sent, found))


@given(entries())
def test_two_messages_of_a_fifo_group_that_changed_places_are_noticed(sent):
    sent = [("ordered.fifo", entry | {"MessageGroupId": "g"}) for _, entry in sent]
    found = delivered(sent)
    found[0], found[-1] = found[-1], found[0]
    assert problems(sent, found) == ["A message group in ordered.fifo is out of order."]


@given(entries(), st.integers(0, 3))
def test_copies_are_forgiven_in_standard_queues_only_and_only_as_many_as_were_reported(sent, allowed):
    sent = [("a", {key: value for key, value in entry.items() if key != "MessageGroupId"}) for _, entry in sent]
    found = delivered(sent)
    place, message = found[0]
    copies = [(place, message | {"MessageId": f"copy-{number}"}) for number in range(2)]
    assert bool(problems(sent, found + copies, allowed)) == (allowed < 2)
    ordered = [("ordered.fifo", entry | {"MessageGroupId": "g"}) for _, entry in sent]
    last = delivered(ordered)[-1][1]
    assert problems(ordered, [*delivered(ordered), ("ordered.fifo", last | {"MessageId": "copy"})], 3) != []


@given(entries())
def test_a_problem_says_nothing_of_what_is_in_a_message(sent):
    secret = "396144610"
    spoiled = [(place, entry | {"MessageBody": entry["MessageBody"] + secret}) for place, entry in sent]
    text = " ".join(problems(spoiled, delivered(sent)))
    assert "an altered body" in text
    assert secret not in text


def test_a_key_is_found_in_any_body():
    assert key_of('{"key": "verify-0a1b-shared-dlq-0012", "n": 1}') == "verify-0a1b-shared-dlq-0012"
    assert key_of("verify-") is None
