"""Which sent messages a lane remembers: the latest, and all that may still be in the queue."""

import pytest

from redrive.domain.moving import sent as module
from redrive.domain.moving.sent import SentMessages


@pytest.fixture
def three_remembered(monkeypatch):
    monkeypatch.setattr(module, "_REMEMBERED", 3)


def test_a_sent_message_may_be_in_the_queue_until_it_is_deleted():
    sent = SentMessages(())
    sent.add("m-1")
    assert ("m-1" in sent, sent.undeleted) == (True, {"m-1"})
    sent.deleted("m-1")
    assert ("m-1" in sent, sent.undeleted) == (True, frozenset())


def test_a_deleted_message_that_is_seen_again_is_in_the_queue():
    sent = SentMessages(())
    sent.add("m-1")
    sent.deleted("m-1")
    sent.seen_again("m-1")
    assert sent.undeleted == {"m-1"}


def test_messages_of_earlier_slices_are_known_and_not_reported_again():
    sent = SentMessages(["m-1"])
    sent.add("m-2")
    assert "m-1" in sent
    assert sent.undeleted == {"m-2"}


@pytest.mark.usefixtures("three_remembered")
def test_of_the_deleted_messages_the_oldest_are_forgotten():
    sent = SentMessages(())
    for number in range(6):
        sent.add(f"m-{number}")
        sent.deleted(f"m-{number}")
    assert [number for number in range(6) if f"m-{number}" in sent] == [2, 3, 4, 5]


@pytest.mark.usefixtures("three_remembered")
def test_a_message_that_may_be_in_the_queue_is_never_forgotten():
    sent = SentMessages(["earlier"])
    sent.add("stays")
    for number in range(20):
        sent.add(f"m-{number}")
        sent.deleted(f"m-{number}")
    assert "earlier" in sent
    assert "stays" in sent
    assert "m-0" not in sent
