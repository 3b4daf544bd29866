"""Scenarios: their names, how messages are accounted for, and the load that they measure."""

from importlib import import_module

import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

from local import scenario
from local.embedded_cloud import EmbeddedCloud, Stack
from local.scenarios import rewards
from local.stage import Stage, StageError


@pytest.fixture
def stage() -> Stage:
    # Nothing that is tested here needs a cloud.
    return Stage(None, None, Console(record=True, width=100))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", scenario.known())
def test_every_scenario_can_be_played_and_says_what_it_shows(name):
    module = import_module(f"local.scenarios.{name.replace('-', '_')}")
    assert callable(module.play)
    assert len(module.__doc__.splitlines()[0]) > 20


@pytest.mark.parametrize("arguments", [[], ["rubbish"]])
def test_an_unknown_scenario_is_refused_with_the_known_ones(arguments):
    app = Typer()
    app.command()(scenario.main)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "store-events" in result.output


@pytest.mark.parametrize("port", ["abc", "70000", "0", "-1", "4566.5"])
def test_a_port_that_is_none_is_an_error_that_says_what_was_expected(monkeypatch, port):
    monkeypatch.setenv("PORT", port)
    console = Console(record=True, width=100)
    assert not scenario.play("store-events", console)
    assert f"expected PORT to be a number from 1 to 65535, found '{port}'" in console.export_text()


def test_messages_in_one_place_each_are_accounted_for(stage):
    assert stage.reconcile({"a", "b"}, {"processed": ["a"], "quarantine": {"b"}})


def test_a_missing_message_is_named(stage):
    assert not stage.reconcile({"a", "b"}, {"processed": ["a"]})
    assert "missing: b" in stage.console.export_text()


@pytest.mark.parametrize("places", [{"processed": ["a"], "quarantine": ["a"]}, {"processed": ["a", "a"]}])
def test_a_message_that_was_found_twice_is_named(stage, places):
    assert not stage.reconcile({"a"}, places)
    assert "in two places: a" in stage.console.export_text()


def test_messages_of_others_are_ignored(stage):
    assert stage.reconcile({"a"}, {"processed": ["a", "other", "other"]})


def test_a_condition_that_never_holds_is_an_error_with_what_was_awaited(stage):
    with pytest.raises(StageError, match="Expected the rain within 0 seconds"):
        stage.until(lambda: False, "the rain", patience=0)


# Commands


@pytest.fixture
def nowhere() -> Stage:
    # Nothing listens there, so a command only parses its arguments.
    return Stage(EmbeddedCloud(9, pid=0), Stack("sqs-redrive", {}, {}), Console(record=True, width=60))


def test_a_command_is_shown_as_it_would_be_typed_with_what_it_prints(nowhere, capfd):
    nowhere.redrive("look", "--help")
    assert "$ redrive look --help" in nowhere.console.export_text()
    assert "Usage: redrive look" in capfd.readouterr().out


def test_a_command_that_fails_is_an_error_and_can_be_copied(nowhere, capfd):
    name = "n" * 80
    with pytest.raises(StageError, match=r"Expected exit code 0 of `redrive no-such-command 'it.+s' n{80}`, found 2"):
        nowhere.redrive("no-such-command", "it's", name)
    assert f"n{name[1:]}\n" in nowhere.console.export_text()
    assert "No such command" in capfd.readouterr().err


# The load on a dependency, as the rewards scenario measures it


def calls_of(*times: tuple[float, float]) -> list[rewards.Call]:
    return [rewards.Call(began, ended) for began, ended in times]


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
def test_calls_overlap_until_one_of_them_has_ended(calls, at_once):
    assert rewards.most_at_once(calls_of(*calls)) == at_once


@pytest.mark.parametrize(
    ("began", "most"),
    [([], 0), ([5], 1), ([0, 1], 1), ([0, 0.99], 2), ([0, 0.6, 1.2, 1.5], 3), ([0.9, 1.0, 1.1, 2.5], 3)],
)
def test_the_busiest_second_may_start_anywhere(began, most):
    assert rewards.most_in_a_second(calls_of(*((at, at) for at in began))) == most


@pytest.mark.parametrize("given", ["0", "-1", "many", "10001", "1e3", ""])
def test_an_invalid_number_of_payouts_is_refused_with_what_was_expected(stage, monkeypatch, given):
    monkeypatch.setenv("REWARDS", given)
    with pytest.raises(StageError, match="Expected REWARDS to be a number of payouts from 1 to 10000"):
        rewards.play(stage)
