"""Letters: sizes as SQS counts them, the room that our attribute takes, and that everything travels."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.letters import (
    MAX_ATTRIBUTES,
    MAX_BYTES,
    Letter,
    attribute_size,
    outgoing,
    with_attribute,
)
from tests.support import factories

DESTINATION = factories.queue().url


def request_for(letter: Letter, deduplication_id: str | None = None) -> dict:
    return dict(outgoing(letter, letter.attributes, letter.size, deduplication_id).request)


def strings(number: int) -> dict:
    return {f"a{n}": factories.string("x") for n in range(number)}


@pytest.mark.parametrize(
    ("body", "attributes", "size"),
    [
        ("hello", {}, 5),
        ("grüße", {}, 7),
        ("\U0001f4ee", {}, 4),
        ("", {"n": {"DataType": "Number.int", "StringValue": "42"}}, len("n" + "Number.int" + "42")),
        ("", {"b": {"DataType": "Binary", "BinaryValue": b"\x00\xff\x00"}}, len("b" + "Binary") + 3),
        ("", {"s": {"DataType": "String", "StringValue": "ü"}}, len("s" + "String") + 2),
        ("hi", {"a": factories.string("1"), "b": factories.string("2")}, 2 + 2 * len("aString1")),
    ],
)
def test_the_size_is_body_and_attribute_names_types_and_values_in_bytes(body, attributes, size):
    assert factories.letter(body, attributes=attributes).size == size


def test_a_message_is_read_with_what_sqs_says_of_it():
    message = factories.message(
        "hello",
        sent_at=1_700_000_000_000,
        source="orders",
        system={"ApproximateReceiveCount": "4", "MessageGroupId": "g", "AWSTraceHeader": "Root=1-2"},
    )
    letter = Letter.from_message(message)
    assert (letter.sent_at, letter.receive_count) == (1_700_000_000_000, 4)
    assert (letter.source_arn, letter.group_id, letter.trace_header) == (
        factories.queue("orders").arn,
        "g",
        "Root=1-2",
    )


def test_a_message_sent_straight_to_the_queue_has_no_source():
    assert factories.letter(source=None).source_arn is None


def test_our_attribute_is_added_to_the_letters_own():
    letter = factories.letter("hi", attributes={"a": factories.string("1")})
    attributes, size = with_attribute(letter, "redrive", "told")
    assert attributes == {"a": factories.string("1"), "redrive": factories.string("told")}
    assert size == letter.size + len("redrive" + "String" + "told")


def test_our_attribute_replaces_an_earlier_one_of_its_name():
    letter = factories.letter("hi", attributes={"redrive": factories.string("long ago")})
    attributes, size = with_attribute(letter, "redrive", "now")
    assert attributes == {"redrive": factories.string("now")}
    assert size == len("hi" + "redrive" + "String" + "now")


def test_nine_attributes_leave_room_for_ours():
    attributes, _ = with_attribute(factories.letter(attributes=strings(9)), "redrive", "told")
    assert len(attributes) == MAX_ATTRIBUTES


def test_ten_attributes_leave_no_room_for_ours():
    letter = factories.letter(attributes=strings(10))
    assert with_attribute(letter, "redrive", "told") == (letter.attributes, letter.size)


def test_with_ten_attributes_one_of_which_is_ours_it_is_replaced():
    letter = factories.letter(attributes={**strings(9), "redrive": factories.string("long ago")})
    attributes, _ = with_attribute(letter, "redrive", "now")
    assert attributes["redrive"] == factories.string("now")


@pytest.mark.parametrize(("spare", "added"), [(0, True), (-1, False)])
def test_our_attribute_may_fill_a_message_up_to_one_mebibyte_and_no_further(spare, added):
    ours = attribute_size("redrive", factories.string("told"))
    letter = factories.letter("x" * (MAX_BYTES - ours - spare))
    attributes, size = with_attribute(letter, "redrive", "told")
    assert ("redrive" in attributes, size) == (added, MAX_BYTES if added else letter.size)


def test_a_plain_letter_is_sent_as_its_body_alone():
    assert request_for(factories.letter("hello")) == {"MessageBody": "hello"}


def test_trace_header_and_group_travel_to_a_standard_queue_too():
    letter = factories.letter(system={"MessageGroupId": "g", "AWSTraceHeader": "Root=1-2"})
    request = request_for(letter)
    assert request["MessageGroupId"] == "g"
    assert request["MessageSystemAttributes"] == {"AWSTraceHeader": factories.string("Root=1-2")}


def test_the_letters_own_deduplication_id_is_not_used_again():
    letter = factories.letter(system={"MessageGroupId": "g", "MessageDeduplicationId": "old"})
    assert "MessageDeduplicationId" not in request_for(letter)
    assert request_for(letter, "new")["MessageDeduplicationId"] == "new"


def test_only_a_fifo_destination_keeps_groups_in_order():
    letter = factories.letter(system={"MessageGroupId": "g"})
    standard = outgoing(letter, {}, letter.size, None)
    fifo = outgoing(letter, {}, letter.size, "d")
    assert (standard.group_id, fifo.group_id) == (None, "g")


types = st.sampled_from(["", ".int", ".custom"])
values = st.one_of(
    st.builds(
        lambda kind, text: {"DataType": f"String{kind}", "StringValue": text}, types, st.text(min_size=1)
    ),
    st.builds(
        lambda kind, number: {"DataType": f"Number{kind}", "StringValue": str(number)}, types, st.integers()
    ),
    st.builds(
        lambda kind, content: {"DataType": f"Binary{kind}", "BinaryValue": content},
        types,
        st.binary(min_size=1),
    ),
)
names = st.text("abcdefghijklmnopqrstuvwxyz_.-", min_size=1, max_size=20)
messages = st.builds(
    factories.message,
    st.text(),
    attributes=st.dictionaries(names, values, max_size=MAX_ATTRIBUTES),
    system=st.fixed_dictionaries(
        {},
        optional={
            "MessageGroupId": st.text(min_size=1, max_size=128),
            "AWSTraceHeader": st.text(min_size=1, max_size=100),
        },
    ),
)


@given(messages)
@settings(deadline=None)
def test_everything_that_a_letter_carries_is_in_what_is_sent(message):
    letter = Letter.from_message(message)
    request = request_for(letter, "d")
    assert request["MessageBody"] == message["Body"]
    assert request.get("MessageAttributes", {}) == message.get("MessageAttributes", {})
    assert request.get("MessageGroupId") == message["Attributes"].get("MessageGroupId")
    trace = request.get("MessageSystemAttributes", {}).get("AWSTraceHeader", {}).get("StringValue")
    assert trace == message["Attributes"].get("AWSTraceHeader")


@given(messages, st.text(min_size=1, max_size=200))
@settings(deadline=None)
def test_our_attribute_bends_no_other_and_the_size_stays_true(message, text):
    letter = Letter.from_message(message)
    attributes, size = with_attribute(letter, "redrive", text)
    own = {name: value for name, value in letter.attributes.items() if name != "redrive"}
    assert {name: value for name, value in attributes.items() if name != "redrive"} == own
    assert len(attributes) <= MAX_ATTRIBUTES
    again = Letter.from_message(message | {"MessageAttributes": attributes})
    assert again.size == size
