"""The scenarios' names, and what they call accounted for."""

from importlib import import_module

import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

from local import demo, scenario
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
