"""`make invoke`: which function takes an event, what a failure prints, and what it exits with."""

import io
import json
from typing import Any

import pytest

from local import invoke as module
from local.embedded_cloud import EmbeddedCloudError, Stack

URL = "http://127.0.0.1:4566/000000000000/"
RESOURCES = {
    "CoordinatorFunction": "app-Coordinator",
    "StoreEventsDLQ": f"{URL}app-dlq",
    "StoreEventsQueue": f"{URL}app-queue",
    "RunTable": "app-runs",
}


class Cloud:
    """A cloud whose functions all give one answer; it says which were invoked."""

    def __init__(self, **answer: Any) -> None:
        self.answer = answer
        self.invoked: list[str] = []
        self.payload: Any = None

    def client(self, _service: str) -> Any:
        return self

    def invoke(self, *, FunctionName: str, Payload: str, LogType: str) -> Any:  # noqa: N803, ARG002
        self.invoked.append(FunctionName)
        self.payload = json.loads(Payload)
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode())} | (
            {"FunctionError": "Unhandled"} if "errorType" in self.answer else {}
        )


@pytest.fixture(autouse=True)
def _nothing_to_prepare(monkeypatch):
    monkeypatch.setattr(module, "prepare", lambda *_: None)


def run(cloud: Cloud, event: str, function: str = "") -> int:
    return module.invoke(cloud, Stack("app", {}, RESOURCES), module.EVENTS / event, function)  # type: ignore[arg-type]


def test_the_readme_names_the_function(capsys):
    cloud = Cloud(next="move")
    assert run(cloud, "plan.json") == 0
    assert cloud.invoked == ["app-Coordinator"]
    assert cloud.payload["input"]["dlq"] == "app-dlq"
    assert json.loads(capsys.readouterr().out) == {"next": "move"}


def test_a_function_that_is_named_has_precedence(capsys):
    cloud = Cloud()
    assert run(cloud, "stop.json", "CoordinatorFunction") == 0
    assert cloud.invoked == ["app-Coordinator"]
    assert "Expected" not in capsys.readouterr().err


def test_a_function_that_fails_is_one_line_and_status_1(capsys):
    cloud = Cloud(errorType="RejectedError", errorMessage="there is\nno queue", stackTrace=["File ..."])
    assert run(cloud, "plan.json") == 1
    assert capsys.readouterr().err == "CoordinatorFunction failed: RejectedError: there is no queue\n"


def test_a_function_that_is_not_deployed_says_which_parameters_to_set():
    with pytest.raises(EmbeddedCloudError, match="--parameter SlackWorkspaceId=ID --parameter SlackChannelId=ID"):
        run(Cloud(), "amazon-q.json")


def test_an_event_that_is_not_listed_needs_a_function(tmp_path):
    with pytest.raises(EmbeddedCloudError, match=r"expected an event that events/README.md lists"):
        run(Cloud(), str(tmp_path / "mine.json"))


def test_an_event_that_is_not_json_is_refused(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("{")
    with pytest.raises(EmbeddedCloudError, match="expected a file with JSON"):
        run(Cloud(), str(path))
