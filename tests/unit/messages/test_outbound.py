"""The request that sends a message on: everything travels, and our attribute displaces nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.messages.destinations import Destination, function, queue, state_machine
from redrive.domain.messages.message import MAX_ATTRIBUTES, MAX_BYTES, ReceivedMessage, attribute_size
from redrive.domain.messages.outbound import Outbound, outbound, with_provenance
from tests.support import factories

STANDARD = queue(factories.queue("orders"))
FIFO = queue(factories.queue("orders.fifo"))
FUNCTION = function("arn:aws:lambda:us-east-1:123456789012:function:f", "f")
STATE_MACHINE = state_machine("arn:aws:states:us-east-1:123456789012:stateMachine:s", "s")


def sent(message: ReceivedMessage, destination: Destination = STANDARD) -> Outbound:
    return outbound(message, destination, "provenance", "m-1-1")


def strings(number: int) -> dict:
    return {f"a{n}": factories.string("x") for n in range(number)}


# Our attribute


def test_our_attribute_is_added_to_the_messages_own():
    message = factories.received("hi", attributes={"a": factories.string("1")})
    attributes, size, _ = with_provenance(message, "ours", MAX_BYTES)
    assert attributes == {"a": factories.string("1"), "redrive": factories.string("ours")}
    assert size == message.size + len("redrive" + "String" + "ours")


def test_our_attribute_replaces_the_one_of_an_earlier_run():
    message = factories.received("hi", attributes={"redrive": factories.string("long ago")})
    attributes, size, _ = with_provenance(message, "now", MAX_BYTES)
    assert attributes == {"redrive": factories.string("now")}
    assert size == len("hi" + "redrive" + "String" + "now")


def test_nine_attributes_leave_room_for_ours():
    attributes, *_ = with_provenance(factories.received(attributes=strings(9)), "ours", MAX_BYTES)
    assert len(attributes) == MAX_ATTRIBUTES


def test_ten_attributes_leave_no_room_for_ours():
    message = factories.received(attributes=strings(10))
    assert with_provenance(message, "ours", MAX_BYTES) == (message.attributes, message.size, False)


def test_if_one_of_ten_attributes_is_ours_it_is_replaced():
    message = factories.received(attributes={**strings(9), "redrive": factories.string("long ago")})
    attributes, *_ = with_provenance(message, "now", MAX_BYTES)
    assert attributes["redrive"] == factories.string("now")


@pytest.mark.parametrize(("spare", "added"), [(0, True), (-1, False)])
def test_our_attribute_may_fill_a_message_up_to_one_mebibyte_and_no_further(spare, added):
    ours = attribute_size("redrive", factories.string("ours"))
    message = factories.received("x" * (MAX_BYTES - ours - spare))
    attributes, size, _ = with_provenance(message, "ours", MAX_BYTES)
    assert ("redrive" in attributes, size) == (added, MAX_BYTES if added else message.size)


# The request


def test_a_plain_message_is_sent_as_its_body_and_our_attribute():
    assert sent(factories.received("hello")).request == {
        "MessageBody": "hello",
        "MessageAttributes": {"redrive": factories.string("provenance")},
    }


def test_the_trace_header_and_the_group_travel_to_a_standard_queue_too():
    request = sent(factories.received(system={"MessageGroupId": "g", "AWSTraceHeader": "Root=1-2"})).request
    assert request["MessageGroupId"] == "g"
    assert request["MessageSystemAttributes"] == {"AWSTraceHeader": factories.string("Root=1-2")}


def test_the_messages_own_deduplication_id_is_not_used_again():
    message = factories.received(system={"MessageGroupId": "g", "MessageDeduplicationId": "old"})
    assert "MessageDeduplicationId" not in sent(message).request
    assert sent(message, FIFO).request["MessageDeduplicationId"] == "m-1-1"


def test_a_function_gets_the_body_as_its_payload():
    assert sent(factories.received("{}", attributes=strings(1)), FUNCTION).request == {"Payload": "{}"}


def test_a_state_machine_gets_the_body_as_its_input_under_a_name_that_a_repeated_send_repeats():
    assert sent(factories.received("{}"), STATE_MACHINE).request == {"input": "{}", "name": "m-1-1"}


@pytest.mark.parametrize(
    ("destination", "deduplicated"), [(STANDARD, False), (FIFO, True), (FUNCTION, False), (STATE_MACHINE, False)]
)
def test_only_fifo_queues_deliver_a_repeated_send_once_for_sure(destination, deduplicated):
    assert sent(factories.received(system={"MessageGroupId": "g"}), destination).deduplicated is deduplicated


types = st.sampled_from(["", ".int", ".custom"])
values = st.one_of(
    st.builds(lambda kind, text: {"DataType": f"String{kind}", "StringValue": text}, types, st.text(min_size=1)),
    st.builds(lambda kind, number: {"DataType": f"Number{kind}", "StringValue": str(number)}, types, st.integers()),
    st.builds(
        lambda kind, content: {"DataType": f"Binary{kind}", "BinaryValue": content},
        types,
        st.binary(min_size=1),
    ),
)
names = st.text("abcdefghijklmnopqrstuvwxyz_.-", min_size=1, max_size=20)
raw_messages = st.builds(
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


def others(attributes) -> dict:
    return {name: value for name, value in attributes.items() if name != "redrive"}


@given(raw_messages, st.sampled_from([STANDARD, FIFO]))
@settings(deadline=None)
def test_everything_that_a_message_carries_is_in_the_request(raw, destination):
    request = sent(ReceivedMessage.from_sqs(raw), destination).request
    assert request["MessageBody"] == raw["Body"]
    assert others(request.get("MessageAttributes", {})) == others(raw.get("MessageAttributes", {}))
    assert request.get("MessageGroupId") == raw["Attributes"].get("MessageGroupId")
    trace = request.get("MessageSystemAttributes", {}).get("AWSTraceHeader", {}).get("StringValue")
    assert trace == raw["Attributes"].get("AWSTraceHeader")


@given(raw_messages, st.text(min_size=1, max_size=200))
@settings(deadline=None)
def test_our_attribute_alters_no_other_and_the_size_stays_exact(raw, text):
    message = ReceivedMessage.from_sqs(raw)
    attributes, size, _ = with_provenance(message, text, MAX_BYTES)
    assert others(attributes) == others(message.attributes)
    assert len(attributes) <= MAX_ATTRIBUTES
    assert ReceivedMessage.from_sqs(raw | {"MessageAttributes": attributes}).size == size
