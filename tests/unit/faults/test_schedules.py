"""Fault schedules are drawn from their seeds, and cover what they must."""

from collections import Counter

import pytest

from tests.faults.schedules import DELETE, SEND, TASK, Kind, Scenario, Schedule, draw


@pytest.fixture(scope="module")
def drawn() -> list[Schedule]:
    return [draw(seed) for seed in range(200)]


def test_a_seed_always_gives_the_same_schedule(drawn):
    assert [draw(seed) for seed in range(20)] == drawn[:20]


def test_every_scenario_and_every_fault_is_drawn(drawn):
    assert {schedule.scenario for schedule in drawn} == set(Scenario)
    assert {fault.kind for schedule in drawn for fault in schedule.faults} == set(Kind)


def test_sends_and_deletes_meet_every_kind_of_fault(drawn):
    for operation in (SEND, DELETE):
        kinds = {fault.kind for schedule in drawn for fault in schedule.faults if fault.operation == operation}
        assert kinds == set(Kind) - {Kind.OVERTAKEN}


def test_every_step_of_the_workflow_fails(drawn):
    steps = Counter(fault.operation for schedule in drawn for fault in schedule.faults)
    assert all(steps[TASK + step] for step in ("plan", "sample", "move", "tally", "clean-up", "report", "publish"))


def test_some_schedules_have_no_faults_and_some_exhaust_retries(drawn):
    assert any(not schedule.faults for schedule in drawn)
    assert any(fault.times >= 6 for schedule in drawn for fault in schedule.faults)


def test_each_message_has_an_id_of_its_own(drawn):
    for schedule in drawn:
        assert len({message.id for message in schedule.messages}) == len(schedule.messages)
        assert all(message.id.startswith(schedule.name) for message in schedule.messages)
