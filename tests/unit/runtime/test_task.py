"""Lambda handlers: events and results are models, errors keep their names, and the log has nothing of a message."""

import json
import traceback
from dataclasses import dataclass
from typing import Any

import pytest

from redrive.domain.errors import LockLostError, RejectedError, UnexpectedError
from redrive.domain.model import Model
from redrive.domain.names import display_name
from redrive.runtime import task as task_module
from redrive.runtime.task import StepHandler, task
from tests.support.samples import Context


class Event(Model):
    """An event."""

    max_rate: float
    plan: Any = None


class Result(Model):
    """What a step returns."""

    next_step: str


@dataclass
class Log:
    """Stands in for the logger, and keeps what was logged as text."""

    text: str = ""

    def __getattr__(self, _name: str) -> Any:
        def log(*arguments: Any, **keys: Any) -> None:
            self.text += json.dumps([arguments, keys]) + "\n"

        return log


@pytest.fixture
def log(monkeypatch) -> Log:
    log = Log()
    monkeypatch.setattr(task_module, "logger", log)
    return log


@task
def handler(event: Event, _context: Context) -> Result:  # type: ignore[type-var]
    """Return a result, or raise the error that the plan names."""
    match event.plan:
        case {"error": "rejected"}:
            raise RejectedError("name another queue")
        case {"error": "lock"}:
            raise LockLostError("another run has it")
        case {"error": "foreign"}:
            raise KeyError("secret")
        case {"error": "result"}:
            return Result.model_construct(next_step={b"secret \xff"})  # type: ignore[arg-type]
    return Result(next_step=f"at {event.max_rate}")


def test_keys_of_events_and_results_are_in_camel_case():
    assert handler({"maxRate": 5}, Context()) == {"nextStep": "at 5.0"}


@pytest.mark.parametrize(
    "event",
    [{}, {"maxRate": "secret"}, {"maxRate": 5, "secret": 1}, {"max_rate": 5}, [], None, "secret", {"plan": "secret"}],
)
def test_an_invalid_event_is_refused_without_being_repeated(event, log):
    with pytest.raises(UnexpectedError, match="found ValidationError at") as caught:
        handler(event, Context())
    assert str(caught.value) in log.text
    assert "secret" not in log.text


@pytest.mark.parametrize(("name", "error"), [("rejected", RejectedError), ("lock", LockLostError)])
def test_an_error_of_this_app_leaves_the_handler_under_its_own_name_and_is_logged_with_its_text(name, error, log):
    with pytest.raises(error) as caught:
        handler({"maxRate": 5, "plan": {"error": name}}, Context())
    assert type(caught.value) is error
    assert str(caught.value) in log.text


def test_only_the_type_and_the_place_of_a_foreign_error_leave_the_handler_and_are_logged(log):
    with pytest.raises(
        UnexpectedError, match=r"^Expected no error, found KeyError at handler:\d+ < step:\d+"
    ) as caught:
        handler({"maxRate": 5, "plan": {"error": "foreign"}}, Context())
    assert str(caught.value) in log.text
    assert "secret" not in log.text + "".join(traceback.format_exception(caught.value))


def test_a_result_that_cannot_be_written_as_json_is_refused_without_being_repeated(log):
    with pytest.raises(UnexpectedError, match="found UnicodeDecodeError at"):
        handler({"maxRate": 5, "plan": {"error": "result"}}, Context())
    assert "secret" not in log.text


@pytest.mark.parametrize(
    ("event", "run_id"),
    [
        ({"maxRate": 5, "plan": {"runId": "run-1"}}, "run-1"),
        ({"maxRate": 5, "execution": {"name": "run-2"}}, "run-2"),
        ({"maxRate": 5, "execution": {"name": "<b>ünsafe"}}, display_name("<b>ünsafe")),
        ({"maxRate": 5}, None),
    ],
)
def test_the_log_is_correlated_by_the_run(event, run_id, log):
    try:
        handler(event, Context())
    except UnexpectedError:
        assert "execution" in event
    assert json.loads(log.text.splitlines()[0]) == [[run_id], {}]


# Functions of several steps


def step_handler() -> StepHandler:
    return StepHandler({name: lambda _event, _context, name=name: {"ran": name} for name in ("plan", "clean-up")})


@pytest.mark.parametrize("step", ["plan", "clean-up"])
def test_the_event_names_the_step(step, log):
    assert step_handler()({"step": step}, Context()) == {"ran": step}
    assert json.loads(log.text) == [[], {"step": step}]


@pytest.mark.parametrize("event", [{}, {"step": "sample"}, {"step": None}, {"step": ["plan"]}, "plan", None, []])
def test_an_event_that_names_no_step_of_the_function_is_refused_with_the_known_ones(event):
    with pytest.raises(ValueError, match="one of plan, clean-up"):
        step_handler()(event, Context())
