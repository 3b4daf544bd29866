"""A message as SQS hands it out: what is read of it, and its size as SQS counts it."""

import pytest

from tests.support import factories


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
def test_the_size_is_the_bytes_of_the_body_and_of_attribute_names_types_and_values(body, attributes, size):
    assert factories.received(body, attributes=attributes).size == size


def test_a_message_keeps_its_system_attributes():
    message = factories.received(
        sent_at=1_700_000_000_000, source="orders", system={"MessageGroupId": "g", "AWSTraceHeader": "Root=1-2"}
    )
    assert message.sent_at == 1_700_000_000_000
    assert (message.source_arn, message.group_id, message.trace_header) == (
        factories.queue("orders").arn,
        "g",
        "Root=1-2",
    )


def test_a_message_sent_directly_to_the_queue_has_no_source():
    assert factories.received(source=None).source_arn is None


def test_new_content_changes_the_size_and_nothing_else():
    message = factories.received("hello", attributes=factories.store_id("3"))
    changed = message.with_content("grüße", {})
    assert (changed.body, changed.attributes, changed.size) == ("grüße", {}, 7)
    assert (changed.message_id, changed.receipt_handle) == (message.message_id, message.receipt_handle)
