"""The message store of the embedded cloud: receive, delete and count at any depth, and FIFO groups.

It needs no cloud, so that its rules can be tried with many random sequences of calls.
"""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.ministack_compat.message_store import MessageStore, ReceiptHandleError


def message(name, group=None):
    return {"id": name, "body": name, "group_id": group}


def ids(messages):
    return [each["id"] for each in messages]


def take(store, limit=10, seconds=30.0, max_receive_count=None):
    return store.take(limit, seconds, max_receive_count)[0]


def test_messages_that_return_go_behind_those_not_seen_yet():
    store = MessageStore(messages=[message(name) for name in "abcd"])

    assert [ids(take(store, 2, seconds=0)) for _ in range(3)] == [["a", "b"], ["c", "d"], ["a", "b"]]


def test_a_message_received_too_often_leaves_as_a_dead_letter_when_it_would_be_received_again():
    store = MessageStore(messages=[message("a")])

    first = store.take(10, 0, 1)
    second = store.take(10, 0, 1)

    assert (ids(first[0]), ids(first[1])) == (["a"], [])
    assert (ids(second[0]), ids(second[1])) == ([], ["a"])
    assert len(store) == 0


def test_a_fifo_group_with_a_message_in_flight_gives_nothing_until_it_is_deleted():
    store = MessageStore(fifo=True, messages=[message("a1", "a"), message("a2", "a"), message("b1", "b")])

    (a1,) = take(store, 1)
    assert ids(take(store)) == ["b1"]

    store.delete(a1["receipt_handle"])
    assert ids(take(store)) == ["a2"]


def test_a_fifo_group_keeps_its_order_when_messages_return():
    store = MessageStore(fifo=True, messages=[message("a1", "a"), message("a2", "a")])

    first, second = take(store)
    store.change_visibility(second["receipt_handle"], 0)
    assert take(store) == []
    store.change_visibility(first["receipt_handle"], 0)

    assert ids(take(store)) == ["a1", "a2"]


def test_an_outdated_handle_of_a_standard_queue_deletes_nothing_and_is_no_error():
    store = MessageStore(messages=[message("a")])
    outdated = take(store, seconds=0)[0]["receipt_handle"]
    take(store)

    store.delete(outdated)

    assert len(store) == 1


def test_an_expired_handle_of_a_fifo_queue_is_refused():
    store = MessageStore(fifo=True, messages=[message("a1", "a")])
    expired = take(store, seconds=0)[0]["receipt_handle"]

    with pytest.raises(ReceiptHandleError):
        store.delete(expired)


def test_a_handle_that_was_never_issued_is_refused():
    with pytest.raises(ReceiptHandleError):
        MessageStore().delete("no handle")


def test_messages_older_than_the_retention_period_are_dropped():
    now = time.time()
    store = MessageStore(messages=[{**message("old"), "sent_at": now - 100}, message("new")])

    store.expire(now - 50)

    assert ids(store) == ["new"]


def test_receiving_and_deleting_cost_the_same_in_a_deep_queue_as_in_a_shallow_one():
    def seconds_for_1000_messages(depth):
        store = MessageStore(messages=[message(str(number)) for number in range(depth)])
        started = time.perf_counter()
        for _ in range(100):
            for each in take(store):
                store.delete(each["receipt_handle"])
        return time.perf_counter() - started

    # A scan of the queue would make the deep one a hundred times as slow; the rest is for a busy machine.
    assert seconds_for_1000_messages(200_000) < 10 * seconds_for_1000_messages(2_000)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from("abc")),
        st.tuples(st.just("take"), st.integers(1, 4)),
        st.tuples(st.just("delete"), st.integers(0, 9)),
        st.tuples(st.just("return"), st.integers(0, 9)),
    ),
    max_size=60,
)


@given(ACTIONS)
@settings(deadline=None)
def test_whatever_is_done_a_fifo_group_is_received_in_order_and_counts_add_up(actions):
    store = MessageStore(fifo=True)
    in_flight: dict[str, dict] = {}
    waiting: dict[str, list[str]] = {group: [] for group in "abc"}
    for number, (action, argument) in enumerate(actions):
        held = list(in_flight)
        if action == "send":
            store.append(message(f"{argument}{number}", argument))
            waiting[argument].append(f"{argument}{number}")
        elif action == "take":
            for each in take(store, argument):
                group = each["group_id"]
                position = sum(1 for other in in_flight.values() if other["group_id"] == group)
                assert waiting[group][position] == each["id"]
                in_flight[each["id"]] = each
        elif held:
            each = in_flight.pop(held[argument % len(held)])
            if action == "delete":
                store.delete(each["receipt_handle"])
                waiting[each["group_id"]].remove(each["id"])
            else:
                store.change_visibility(each["receipt_handle"], 0)
        visible, hidden, delayed = store.counts()
        assert (hidden, delayed) == (len(in_flight), 0)
        assert visible + hidden == len(store) == sum(map(len, waiting.values()))
