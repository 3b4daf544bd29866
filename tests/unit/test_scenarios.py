"""The scenarios' names, and what they call accounted for."""

from importlib import import_module

import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

from local import demo, scenario
from local.scenarios import rewards
from local.stage import Stage, StageError


@pytest.fixture
def stage() -> Stage:
    # What is tested here asks the cloud for nothing.
    return Stage(None, {}, Console(record=True, width=100))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", scenario.known())
def test_every_scenario_can_be_played_and_says_what_it_shows(name):
    module = import_module(f"local.scenarios.{name.replace('-', '_')}")
    assert callable(module.play)
    assert len(module.__doc__.splitlines()[0]) > 20


def test_the_demo_plays_scenarios_that_exist():
    assert set(demo.DEMO) <= set(scenario.known())


@pytest.mark.parametrize("arguments", [[], ["rubbish"]])
def test_without_a_scenarios_name_it_says_which_there_are(arguments):
    app = Typer()
    app.command()(scenario.main)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "store-events" in result.output


def test_messages_in_one_place_each_are_accounted_for(stage):
    assert stage.reconcile({"a", "b"}, {"processed": ["a"], "quarantine": {"b"}})


def test_a_message_that_is_nowhere_is_named(stage):
    assert not stage.reconcile({"a", "b"}, {"processed": ["a"]})
    assert "missing: b" in stage.console.export_text()


@pytest.mark.parametrize("places", [{"processed": ["a"], "quarantine": ["a"]}, {"processed": ["a", "a"]}])
def test_a_message_that_was_found_twice_is_named(stage, places):
    assert not stage.reconcile({"a"}, places)
    assert "in two places: a" in stage.console.export_text()


def test_messages_that_nobody_asked_for_count_for_nothing(stage):
    assert stage.reconcile({"a"}, {"processed": ["a", "other", "other"]})


def test_what_never_comes_is_told(stage):
    with pytest.raises(StageError, match="Waited 0 seconds for the rain, in vain"):
        stage.until(lambda: False, "the rain", patience=0)


# The load on a dependency, as the rewards scenario measures it


def spans(*told: tuple[float, float]) -> list[rewards.Call]:
    return [rewards.Call(began, ended) for began, ended in told]


@pytest.mark.parametrize(
    ("calls", "at_once"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 1), (1, 2)], 1),
        ([(0, 2), (1, 3)], 2),
        ([(0, 9), (1, 2), (3, 4)], 2),
        ([(0, 3), (1, 3), (2, 3)], 3),
    ],
)
def test_calls_are_at_once_while_none_of_them_has_ended(calls, at_once):
    assert rewards.most_at_once(spans(*calls)) == at_once


@pytest.mark.parametrize(
    ("began", "most"),
    [([], 0), ([5], 1), ([0, 1], 1), ([0, 0.99], 2), ([0, 0.6, 1.2, 1.5], 3), ([0.9, 1.0, 1.1, 2.5], 3)],
)
def test_the_worst_second_may_start_anywhere(began, most):
    assert rewards.most_in_a_second(spans(*((at, at) for at in began))) == most


@pytest.mark.parametrize("told", ["0", "-1", "many", "10001", "1e3", ""])
def test_a_number_of_payouts_that_cannot_be_is_refused_with_what_was_expected(stage, monkeypatch, told):
    monkeypatch.setenv("REWARDS", told)
    with pytest.raises(StageError, match="Expected REWARDS to be a number of payouts from 1 to 10000"):
        rewards.play(stage)
