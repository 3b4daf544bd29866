"""What `redrive` returns to a shell while an operator types."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from redrive.command.main import COMMANDS, run
from tests.support.moto_endpoint import moto_endpoint
from tests.support.terminal import Terminal, environment

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


@pytest.fixture
def operator_of(tmp_path) -> Iterator[Any]:
    """An operator of the account, who has the program `redrive`, as a terminal needs to know one."""
    program = tmp_path / "redrive"
    program.write_text(f"#!{sys.executable}\nfrom redrive.command.main import main\nmain()\n")
    program.chmod(0o755)
    with moto_endpoint() as endpoint:
        variables = {
            **{"AWS_ENDPOINT_URL": endpoint.url, "AWS_REGION": "us-east-1", "HOME": str(tmp_path)},
            **{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"},
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
        }
        yield SimpleNamespace(cloud=SimpleNamespace(environment=variables))


def shell(name: str) -> str:
    """Return a shell's program, or skip the test."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} isn't installed, so its completion isn't tested: apt-get install {name}")
    return found


@pytest.mark.usefixtures("dlq")
def test_fish_completes_commands_options_and_queues(operator_of):
    def asked(typed: str) -> list[str]:
        script = f"redrive completion fish | source; complete -C {shlex.quote(typed)}"
        done = subprocess.run(
            [shell("fish"), "--no-config", "-c", script],
            env=environment(operator_of),
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.partition("\t")[0] for line in done.stdout.splitlines()]

    assert asked("redrive qu") == ["queues"]
    assert asked("redrive look --fu") == ["--full"]
    # On a busy machine, SQS may not answer the first attempts in time.
    assert any("orders-dlq" in asked("redrive look orders-d") for _ in range(5))


@pytest.mark.usefixtures("dlq")
def test_zsh_completes_commands_options_and_queues(operator_of):
    terminal = Terminal(operator_of, columns=160, command=[shell("zsh"), "-f", "-i"])
    terminal.type('PS1="$ "; autoload -Uz compinit; compinit -u -D; eval "$(redrive completion zsh)"; echo ready "now"')
    terminal.until("ready now")
    for typed, completed in [("redrive qu", "redrive queues "), ("redrive look --fu", "redrive look --full ")]:
        terminal.press(f"{typed}\t")
        terminal.until(completed)
        terminal.press("\x15")
    terminal.press("redrive look orders-d")
    for _ in range(5):
        terminal.press("\t")
        with suppress(AssertionError):
            terminal.until("redrive look orders-dlq ", seconds=6)
            break
    else:
        terminal.until("redrive look orders-dlq ")
    terminal.press("\x15")
    terminal.type("exit")
    assert terminal.ended()[0] == 0
