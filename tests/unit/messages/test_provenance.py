"""The provenance attribute: fresh, carried on, and robust against what others wrote under its name."""

import json
from copy import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.messages.provenance import (
    ATTRIBUTE,
    Belief,
    Provenance,
    QuarantineNote,
    quarantine_note_of,
)
from tests.support import factories

ORDERS = factories.queue("orders").arn
INVOICES = factories.queue("invoices").arn


DLQ = factories.queue("orders-dlq").arn
MOVERS = frozenset({factories.MOVER})


def provenance_of(message: ReceivedMessage, **belief) -> Provenance:
    return Belief(frozenset({factories.MOVER, "AROAFORMER"}), DLQ, **belief).provenance_of(message)


def plain(found: Provenance) -> Provenance:
    """Return a provenance without what is said about it."""
    return found._replace(moved=False, foreign=False)


def message_with(value: str, sender: str = factories.MOVER, **values) -> ReceivedMessage:
    return factories.received(attributes={ATTRIBUTE: factories.string(value)}, sender=sender, **values)


def test_a_message_without_the_attribute_starts_afresh():
    message = factories.received(message_id="m-1", sent_at=5, source="orders")
    assert plain(provenance_of(message)) == Provenance(run="", redrives=0, message_id="m-1", sent_at=5, source=ORDERS)


def test_a_message_that_was_redriven_keeps_its_first_id_and_time():
    earlier = Provenance("run-0", 2, "m-1", 5, ORDERS)
    message = message_with(earlier.to_json(), message_id="m-9", sent_at=99)
    assert plain(provenance_of(message)) == earlier


def test_a_redrive_adds_one_to_the_count():
    after = Provenance("run-0", 2, "m-1", 5, ORDERS).redriven("run-1", ORDERS, repaired=False)
    assert (after.run, after.redrives) == ("run-1", 3)


@pytest.mark.parametrize("quarantine", [False, True])
@pytest.mark.parametrize("repaired", [False, True])
@pytest.mark.parametrize(
    "note", ["", ',"reason":"invalid-body"', ',"reason":"invalid-body","problems":["$.id required"]']
)
def test_what_versions_0_1_and_0_2_wrote_counts(quarantine, repaired, note):
    value = f'{{"run":"night-shift","count":2,"id":"m-1","sent":5,"source":"{ORDERS}"'
    value += f"{',"repaired":true' * repaired}{note}}}"
    message = message_with(value, "AROAFORMER", message_id="m-9", sent_at=99)
    expected = Provenance("night-shift", 2, "m-1", 5, ORDERS, repaired)
    assert plain(provenance_of(message, quarantine=quarantine)) == expected


def test_a_quarantine_adds_nothing_to_the_count():
    after = Provenance("run-0", 2, "m-1", 5, ORDERS).quarantined("run-1", DLQ)
    assert (after.run, after.redrives) == ("run-1", 2)


def test_a_repaired_message_stays_marked_as_repaired_whatever_later_runs_do():
    repaired = Provenance("run-0", 0, "m-1", 5, ORDERS).redriven("run-1", ORDERS, repaired=True)
    later = repaired.redriven("run-2", ORDERS, repaired=False)
    assert provenance_of(message_with(later.to_json())).repaired


def test_a_message_that_was_repaired_but_not_redriven_is_not_marked_as_repaired():
    assert not Provenance("run-0", 0, "m-1", 5, ORDERS).quarantined("run-1", DLQ).repaired


def test_a_quarantined_message_keeps_its_source():
    quarantined = Provenance("run-0", 0, "m-1", 5, ORDERS).to_json("missing-attribute", ())
    assert provenance_of(message_with(quarantined, source=None)).source == ORDERS


def test_the_attribute_of_another_queues_redrive_does_not_count():
    redriven = Provenance("run-0", 3, "m-1", 5, ORDERS).to_json()
    message = message_with(redriven, source="invoices", message_id="m-9")
    assert plain(provenance_of(message)) == Provenance("", 0, "m-9", message.sent_at, INVOICES)


def test_a_run_with_a_destination_makes_the_attribute_for_that_destination():
    sent = Provenance("", 0, "m-1", 5, ORDERS).redriven("run-1", INVOICES, repaired=False)
    assert provenance_of(message_with(sent.to_json(), source="invoices")).redrives == 1


def test_a_message_that_was_parked_here_keeps_its_count_and_belongs_nowhere():
    parked = Provenance("", 0, "m-1", 5, ORDERS).redriven("run-0", DLQ, repaired=False)
    found = provenance_of(message_with(parked.to_json(), source=None))
    assert (found.redrives, found.source, found.moved) == (1, None, True)


def test_in_quarantine_messages_of_all_queues_are_believed():
    message = message_with(Provenance("run-0", 1, "m-1", 5, INVOICES).to_json(), source=None)
    found = provenance_of(message, quarantine=True)
    assert (found.redrives, found.source, found.moved) == (1, INVOICES, True)


def test_a_quarantined_message_of_no_queue_keeps_the_dead_letter_queue_it_was_in():
    fresh = Provenance("", 0, "m-1", 5, None).quarantined("run-0", DLQ)
    found = provenance_of(message_with(fresh.to_json(), source=None), quarantine=True)
    assert (found.dlq, found.source, found.moved) == (DLQ, None, False)


# Whose attribute it is


@pytest.mark.parametrize("sender", ["AROAPRODUCER", "AIDAUSER", "123456789012", factories.MOVER.lower(), "", "AROA"])
@pytest.mark.parametrize("quarantine", [False, True])
@pytest.mark.parametrize("source", [None, "orders"])
def test_only_the_movers_attribute_is_believed(sender, quarantine, source):
    forged = Provenance("run-0", 0, "m-1", 5, ORDERS).to_json()
    message = message_with(forged, sender, source=source, message_id="m-2")
    found = provenance_of(message, quarantine=quarantine)
    assert plain(found) == Provenance("", 0, "m-2", message.sent_at, message.source_arn)
    assert (found.foreign, found.moved) == (True, quarantine or source is not None)


@pytest.mark.parametrize("sender", [factories.MOVER, "AROAFORMER"])
def test_a_former_role_of_the_mover_is_believed_too(sender):
    found = provenance_of(message_with(Provenance("run-0", 2, "m-1", 5, ORDERS).to_json(), sender))
    assert (found.redrives, found.foreign) == (2, False)


def test_a_message_without_a_sender_is_nobodys():
    message = replace(message_with(Provenance("run-0", 2, "m-1", 5, ORDERS).to_json()), sender=None)
    assert provenance_of(message).foreign


def test_what_is_found_under_a_claimed_request_counts_but_says_nothing_about_where_the_message_belongs():
    recorded = Provenance("run-0", 2, "m-1", 5, INVOICES, dlq="arn:aws:sqs:us-east-1:1:other").to_json()
    found = provenance_of(replace(factories.received(source=None), recorded=recorded))
    assert (found.redrives, found.source, found.dlq, found.moved) == (2, None, None, False)


def test_what_the_runs_table_has_comes_before_the_attribute():
    attached, recorded = (Provenance("run-0", count, "m-1", 5, ORDERS) for count in (0, 3))
    message = replace(message_with(attached.to_json()), recorded=recorded.to_json())
    assert plain(provenance_of(message)) == recorded


def test_the_attribute_of_a_quarantined_message_has_the_reason_and_the_problems():
    value = Provenance("run-1", 0, "m-1", 5, ORDERS).to_json("invalid-body", ("body.dob: missing",))
    assert json.loads(value) == {
        "run": "run-1",
        "count": 0,
        "id": "m-1",
        "sent": 5,
        "source": ORDERS,
        "reason": "invalid-body",
        "problems": ["body.dob: missing"],
    }
    note = quarantine_note_of(message_with(value), MOVERS)
    assert note == QuarantineNote("run-1", "invalid-body", ("body.dob: missing",))


def test_the_attribute_of_a_redriven_message_has_no_reason():
    value = Provenance("run-1", 1, "m-1", 5, None).to_json()
    assert json.loads(value).keys() == {"run", "count", "id", "sent"}
    assert quarantine_note_of(message_with(value), MOVERS) is None


@pytest.mark.parametrize("value", ["", "{", "[]", "null", '{"run": "r", "reason": "x", "problems": 5}', "[" * 200_000])
def test_an_attribute_that_is_not_ours_is_no_quarantine_note(value):
    assert quarantine_note_of(message_with(value), MOVERS) is None


@pytest.mark.parametrize(
    "value",
    [
        "yes",
        "{",
        "[]",
        "7",
        "null",
        '"run-1"',
        '{"run": "run-1"}',
        '{"run": "r", "count": "many", "id": "m", "sent": 1}',
        '{"run": "r", "count": null, "id": "m", "sent": 1}',
        '{"run": "r", "count": {}, "id": "m", "sent": 1}',
        '{"run": "r", "count": NaN, "id": "m", "sent": 1}',
        '{"run": "r", "count": Infinity, "id": "m", "sent": 1}',
        "[" * 200_000,
    ],
)
def test_a_foreign_or_damaged_attribute_is_ignored(value):
    message = message_with(value, message_id="m-1")
    assert plain(provenance_of(message)) == Provenance("", 0, "m-1", message.sent_at, message.source_arn)


@pytest.mark.parametrize("source", [{"not": "an arn"}, 7, ["x"]])
def test_a_source_that_is_not_a_string_is_ignored(source):
    value = json.dumps({"run": "r", "count": 1, "id": "m", "sent": 1, "source": source})
    assert provenance_of(message_with(value, source=None)).source is None


def test_a_negative_count_is_zero():
    value = json.dumps({"run": "r", "count": -5, "id": "m", "sent": 1})
    assert provenance_of(message_with(value)).redrives == 0


def test_a_binary_attribute_of_the_same_name_is_ignored():
    message = factories.received(attributes={ATTRIBUTE: {"DataType": "Binary", "BinaryValue": b"{}"}})
    assert provenance_of(message).redrives == 0


@given(
    st.text(max_size=80),
    st.integers(0, 1000),
    st.text(max_size=100),
    st.integers(0, 2**41),
    st.none() | st.text(min_size=1, max_size=200),
    st.booleans(),
    st.none() | st.text(),
    st.lists(st.text()),
)
@settings(deadline=None)
def test_what_is_written_is_what_is_read(run, count, message_id, sent_at, source, repaired, reason, problems):
    provenance = Provenance(run, count, message_id, sent_at, source, repaired)
    value = provenance.to_json(reason, tuple(problems))
    assert plain(provenance_of(message_with(value, source=None))) == provenance
    note = None if reason is None else QuarantineNote(run, reason, tuple(problems))
    assert quarantine_note_of(message_with(value), MOVERS) == note
    assert value == json.dumps(json.loads(value), separators=(",", ":"))
