"""When a lane may say that a queue is empty: not because its own letters keep the others back."""

import random

import pytest

from redrive.domain.lane import Lane, LaneSettings
from redrive.domain.pacing import Pacer
from tests.support import factories
from tests.support.model_sqs import Faults, ModelSqs, play

VISIBILITY = 60
FIFO = factories.plan(dlq=factories.queue("orders-dlq.fifo"), sources=(factories.queue("orders.fifo"),))


def fifo_letters(number: int, groups: int) -> list[dict]:
    return [
        factories.message(
            f"{n % groups}/{n}", source="orders.fifo", system={"MessageGroupId": str(n % groups)}
        )
        for n in range(number)
    ]


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("rate", [1, 5, 50, 5000])
def test_a_fifo_queue_is_moved_to_its_end_although_it_locks_groups_in_hand(rate, groups):
    sqs = ModelSqs(fifo_letters(60, groups), fifo=True)
    settings = LaneSettings(
        run_id=FIFO.run_id,
        fifo=True,
        quarantine_url=FIFO.quarantine_url,
        quota=None,
        ends_at=600,
        stops_at=660,
        visibility=VISIBILITY,
    )
    lane = Lane(settings, factories.judge(FIFO), Pacer(rate), (), random.Random(1).random)
    play(lane, sqs, dice=random.Random(5), faults=Faults(), visibility=VISIBILITY)
    assert (lane.result().redriven, len(sqs.stored)) == (60, 0)
