"""What `redrive` returns to a shell while an operator types."""

import json
import subprocess

import pytest
from botocore.exceptions import ClientError

from redrive.command.main import COMMANDS, run

pytestmark = pytest.mark.usefixtures("operator")


def completed(capsys, monkeypatch, *words: str) -> list[str]:
    """Return what bash would suggest for the last word."""
    with monkeypatch.context() as patch:
        patch.setenv("_REDRIVE_COMPLETE", "bash_complete")
        patch.setenv("COMP_WORDS", " ".join(("redrive", *words)))
        patch.setenv("COMP_CWORD", str(len(words)))
        assert run([]) == 0
    found = capsys.readouterr()
    assert found.err == ""
    return [line.partition(",")[2] for line in found.out.splitlines() if line]


def test_commands_and_options_are_completed_without_a_request(cloud, capsys, monkeypatch):
    cloud.calls.clear()
    assert completed(capsys, monkeypatch, "") == list(COMMANDS)
    assert completed(capsys, monkeypatch, "look", "--sa") == ["--sample"]
    assert cloud.calls == []


@pytest.mark.usefixtures("dlq")
@pytest.mark.parametrize(
    "command", ["look", "messages", "export", "plan", "move", "start", "watch", "stop", "runs", "report", "runbook"]
)
def test_queues_are_completed_with_one_request(cloud, capsys, monkeypatch, command):
    cloud.queue("payments")
    cloud.calls.clear()
    assert sorted(completed(capsys, monkeypatch, command, "or")) == ["orders", "orders-dlq"]
    assert cloud.calls == ["sqs:ListQueues"]
    assert completed(capsys, monkeypatch, command, "--region", "eu-west-1", "or") == []


@pytest.mark.usefixtures("dlq")
def test_whatever_goes_wrong_is_silent(cloud, capsys, monkeypatch):
    def denied(_):
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "ListQueues")

    cloud.answers["sqs.ListQueues"] = denied
    assert completed(capsys, monkeypatch, "look", "or") == []
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    assert completed(capsys, monkeypatch, "look", "--profile", "bogus", "or") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_for_each_shell(capsys, shell):
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_REDRIVE_COMPLETE" in script
    assert run(["completion", shell, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["script"].strip() == script.strip()
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_another_shell_is_wrong_usage(capsys):
    assert run(["completion", "tcsh"]) == 2
    assert "bash" in capsys.readouterr().err
