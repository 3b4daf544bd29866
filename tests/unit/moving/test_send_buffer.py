"""How messages are batched for their destinations, and which ones wait for others."""

import pytest

from redrive.domain.judging.verdicts import Redrive
from redrive.domain.messages.destinations import Destination, queue
from redrive.domain.messages.message import MAX_BYTES
from redrive.domain.messages.outbound import Outbound
from redrive.domain.moving.send_buffer import SendBuffers
from redrive.domain.moving.transitions import InHand
from tests.support import factories
from tests.support.lane_worlds import INVOICES, ORDERS, ORDERS_FIFO


def held(name: str, destination: Destination = ORDERS, size: int = 100, group: str | None = None, **values) -> InHand:
    system = {} if group is None else {"MessageGroupId": group}
    message = factories.received(message_id=name, system=system)
    verdict = Redrive(Outbound(destination, {}, size))
    return InHand(message, 30.0, values.pop("since", 0.0), verdict=verdict, **values)


def filled(*messages: InHand, fifo: bool = False) -> SendBuffers:
    buffers = SendBuffers(fifo=fifo)
    for message in messages:
        buffers.add(message)
    return buffers


def names(messages) -> list[str]:
    return [message.message.message_id for message in messages]


def take(buffers: SendBuffers, most: int = 10) -> list[str]:
    """Return the next batch of the only destination."""
    [buffer] = buffers.longest_waiting_first()
    return names(buffer.take(most))


def test_a_batch_holds_the_oldest_messages_up_to_a_number():
    buffers = filled(*(held(f"m-{number}") for number in range(12)))
    assert take(buffers) == [f"m-{number}" for number in range(10)]
    assert take(buffers, 1) == ["m-10"]
    assert take(buffers) == ["m-11"]
    assert take(buffers) == []


@pytest.mark.parametrize(("third", "batch"), [(0, 3), (1, 2)])
def test_a_batch_holds_a_mebibyte_and_not_a_byte_more(third, batch):
    half = MAX_BYTES // 2
    buffers = filled(held("m-1", size=half), held("m-2", size=half), held("m-3", size=third))
    assert len(take(buffers)) == batch


def test_a_message_of_any_size_is_sent_by_itself():
    assert take(filled(held("m-1", size=MAX_BYTES + 1), held("m-2"))) == ["m-1"]


def test_a_message_to_be_tried_alone_shares_no_batch():
    buffers = filled(held("m-1"), held("m-2", alone=True), held("m-3"))
    assert [take(buffers), take(buffers), take(buffers)] == [["m-1"], ["m-2"], ["m-3"]]


def test_a_message_that_is_sent_again_comes_first():
    first = held("m-1")
    buffers = filled(first, held("m-2"))
    take(buffers, 1)
    buffers.put_back(first)
    assert take(buffers) == ["m-1", "m-2"]


def test_each_destination_has_a_buffer_of_its_own():
    buffers = filled(held("m-1", since=2.0), held("m-2", INVOICES, since=1.0), held("m-3", since=3.0))
    assert [(b.destination, len(b), b.oldest()) for b in buffers.longest_waiting_first()] == [
        (INVOICES, 1, 1.0),
        (ORDERS, 2, 2.0),
    ]


def test_an_empty_buffer_comes_last():
    buffers = filled(held("m-1", since=1.0), held("m-2", INVOICES, since=2.0))
    buffers.longest_waiting_first()[0].take(1)
    assert [buffer.destination for buffer in buffers.longest_waiting_first()] == [INVOICES, ORDERS]


def test_messages_of_a_standard_queue_wait_for_no_other():
    buffers = filled(held("m-1", group="g"), held("m-2", group="g"))
    assert take(buffers) == ["m-1", "m-2"]


@pytest.mark.parametrize(("fifo", "destination"), [(True, ORDERS_FIFO), (True, ORDERS), (False, ORDERS_FIFO)])
def test_of_an_ordered_group_one_message_at_a_time_is_sent(fifo, destination):
    first = held("a-1", destination, group="a")
    buffers = filled(
        first,
        held("a-2", destination, group="a"),
        held("b-1", destination, group="b"),
        held("a-3", destination, group="a"),
        fifo=fifo,
    )
    assert take(buffers) == ["a-1", "b-1"]
    assert take(buffers) == []
    buffers.done_with(first)
    assert take(buffers) == ["a-2"]


def test_out_of_a_fifo_queue_a_group_is_one_line_wherever_its_messages_go():
    first = held("m-1", ORDERS, group="g")
    buffers = filled(first, held("m-2", INVOICES, group="g"), fifo=True)
    [buffer] = buffers.longest_waiting_first()
    assert names(buffer.take(10)) == ["m-1"]
    buffers.done_with(first)
    assert [names(buffer.take(10)) for buffer in buffers.longest_waiting_first()] == [["m-2"], []]


def test_out_of_a_standard_queue_groups_of_two_fifo_queues_are_two_lines():
    other = queue(factories.queue("other.fifo"))
    buffers = filled(held("m-1", ORDERS_FIFO, group="g"), held("m-2", other, group="g"))
    assert sorted(len(buffer) for buffer in buffers.longest_waiting_first()) == [1, 1]


def test_what_waits_behind_a_message_can_be_taken_out():
    first = held("a-1", group="a")
    others = [held("a-2", group="a"), held("a-3", group="a"), held("b-1", group="b")]
    buffers = filled(first, *others, fifo=True)
    assert names(buffers.remove_behind(first)) == ["a-2", "a-3"]
    assert buffers.remove_behind(first) == []
    assert take(buffers) == ["a-1", "b-1"]
    buffers.done_with(first)
    buffers.add(held("a-4", group="a"))
    assert take(buffers) == ["a-4"]


def test_nothing_waits_behind_a_message_without_a_line():
    message = held("m-1")
    buffers = filled(message, held("m-2"))
    assert buffers.remove_behind(message) == []
    buffers.done_with(message)
    assert take(buffers) == ["m-1", "m-2"]


def test_everything_that_is_not_on_its_way_can_be_taken_out():
    on_its_way = held("a-1", group="a")
    buffers = filled(on_its_way, fifo=True)
    take(buffers)
    for message in (held("a-2", group="a"), held("b-1", INVOICES, group="b"), held("b-2", group="b")):
        buffers.add(message)
    assert sorted(names(buffers.clear())) == ["a-2", "b-1", "b-2"]
    assert buffers.clear() == []
    buffers.done_with(on_its_way)
    assert [len(buffer) for buffer in buffers.longest_waiting_first()] == [0, 0]
