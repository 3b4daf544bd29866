"""Names that begin with a hyphen, in the commands that are suggested, and empty ones."""

import shlex

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.command.main import COMMANDS, cli, run
from redrive.domain.plain_text import redrive_command, with_options

# As SQS and Step Functions take them (API references, CreateQueue and StartExecution).
PLAIN = st.from_regex(r"[-_a-z0-9]{1,12}(\.fifo)?", fullmatch=True)
NAMES = PLAIN | st.text("-+!'()=@._aü -", min_size=1).filter(str.strip)
WITH_A_SUBJECT = sorted(set(COMMANDS) - {"queues", "doctor", "completion"})


@given(NAMES, st.sampled_from(["look", "messages", "runs", "report", "runbook", "watch"]), st.lists(PLAIN, max_size=1))
def test_a_command_that_is_suggested_takes_any_name(name, verb, profile):
    line = redrive_command(verb, name, "--quiet")
    line = with_options(line, *(f"--profile {each}" for each in profile))
    program, *words = shlex.split(line)
    assert (program, words[0]) == ("redrive", verb)
    # click keeps the help option of a command's first context, which comes from the parent.
    of_cli = click.Context(cli, **cli.context_settings)
    command = cli.get_command(of_cli, verb)
    assert command is not None
    context = click.Context(command, parent=of_cli)
    found = command.parse_args(context, words[1:])
    assert found == []
    assert [context.params.get("queue", context.params.get("run"))] == [name]


@pytest.mark.parametrize("name", ["", " "])
@pytest.mark.parametrize("verb", WITH_A_SUBJECT)
def test_an_empty_name_is_said_before_missing_credentials(monkeypatch, tmp_path, capsys, verb, name):
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert run([verb, name, *(["--to", "-"] if verb == "export" else [])]) == 2
    assert "found an empty text" in capsys.readouterr().err
