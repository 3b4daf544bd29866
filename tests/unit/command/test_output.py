"""What a command prints is safe to show in a terminal, and says what an error means."""

import errno
import io
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import botocore.exceptions
import botocore.parsers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.command.exits import CommandError, Exit, explained
from redrive.command.output import Output, ago, bars
from redrive.domain.errors import RejectedError
from redrive.domain.plain_text import plain

# ECMA-48: the introducers of control sequences, and whatever moves the cursor. Unicode Standard Annex #9: overrides.
ACTS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


@given(text=st.text(st.characters()) | st.text(st.sampled_from("\x1b[31m]0;\x07\x9b\u202e\u2066ab\r\n\t\x7f")))
def test_nothing_that_a_terminal_acts_on_is_printed(text):
    printed = plain(text)
    assert not ACTS.search(printed)
    assert len(printed) == len(text)
    for before, after in zip(text, printed, strict=True):
        if unicodedata.category(before)[0] in "LNPSM" or before == " ":
            assert after == before


def test_a_table_neutralizes_its_cells(capsys):
    Output().table(["NAME"], [["a\x1b]0;owned\x07b"]])
    assert capsys.readouterr().out.splitlines()[1] == "a�]0;owned�b"


def test_markup_is_shown_as_it_is(capsys):
    Output().text("[bold red]x[/] :smile:")
    assert capsys.readouterr().out == "[bold red]x[/] :smile:\n"


def test_quiet_leaves_the_results(capsys):
    output = Output(quiet=True)
    output.say("advice")
    output.document(queues=[])
    printed = capsys.readouterr()
    assert printed.err == ""
    assert json.loads(printed.out) == {"version": 1, "queues": []}


@given(seconds=st.floats(0, 1e9))
def test_a_span_of_time_is_said_in_at_most_two_units(seconds):
    said = ago(seconds)
    assert re.fullmatch(r"\d+ (s|min|h|d)( \d+ (min|h))?", said)
    units = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    value = sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+) (\w+)", said))
    # Rounded down to the smaller unit, and to whole hours from six hours on.
    assert value <= seconds + 0.5 < value + max(60, 0.17 * seconds) + 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (botocore.exceptions.NoCredentialsError(), "aws sso login"),
        (botocore.exceptions.NoRegionError(), "--region"),
        (botocore.exceptions.ProfileNotFound(profile="x"), "aws configure list-profiles"),
        (botocore.exceptions.ConfigParseError(path="/home/x/.aws/config"), "config file: /home/x/.aws/config"),
        (botocore.exceptions.InfiniteLoopConfigError(source_profile="p", visited_profiles=["p"]), "Infinite loop"),
        (botocore.exceptions.InvalidDefaultsMode(mode="x", valid_modes="standard"), "Valid defaults modes"),
        (botocore.exceptions.InvalidRetryModeError(provided_retry_mode="x", valid_modes="standard"), "must be one of"),
        (botocore.exceptions.LoginRefreshRequired(), "aws login"),
        (botocore.exceptions.MissingDependencyException(msg="pip install botocore[crt]"), "botocore[crt]"),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="https://x"), "AWS_ENDPOINT_URL"),
        (botocore.parsers.ResponseParserError("<html>zqxj"), "isn't from AWS"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (CommandError("As it is."), "As it is."),
    ],
)
def test_an_error_says_what_to_do(error, expected):
    found = explained(error)
    assert found is not None
    assert expected in str(found)
    assert found.exit is Exit.FAILED


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ExpiredToken", "have expired"),
        ("RequestExpired", "have expired"),
        ("InvalidClientTokenId", "doesn't accept the credentials"),
        ("AccessDenied", "don't allow ListQueues"),
        ("AccessDeniedException", "don't allow ListQueues"),
        ("InternalError", "with InternalError"),
    ],
)
def test_what_aws_answers_is_said_without_its_text(code, expected):
    answer = {"Error": {"Code": code, "Message": "zqxj"}}
    found = explained(botocore.exceptions.ClientError(answer, "ListQueues"))
    assert found is not None
    assert expected in str(found)
    assert "zqxj" not in str(found)


def test_a_rejection_has_its_own_exit_code():
    found = explained(RejectedError("dlq: there is no queue a."))
    assert found is not None
    assert found.exit is Exit.REJECTED


@pytest.mark.parametrize("error", [KeyError("body"), ValueError("x"), OSError(errno.EBADF, "x")])
def test_a_defect_is_not_explained_away(error):
    assert explained(error) is None


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_terminal_of_any_encoding_shows_all_that_a_message_contains(encoding):
    code = (
        "import click; from redrive.command import main, output;"
        "main.cli = click.Command('x', callback=lambda: output.Output().text('\\u4e2d\\x1b\\u25b8 \\N{PILE OF POO}'));"
        "main.main([])"
    )
    environment = {"PYTHONPATH": "functions", "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    expected = "中\ufffd▸ \N{PILE OF POO}\n".encode(encoding, "backslashreplace")
    assert done.stdout == expected


ENVIRONMENT = {"PYTHONPATH": "functions"}
CODE = """
import click
from redrive.command import main, output
def command():
    found = output.Output()
    found.talk.text("talk" * 50_000)
    found.say("more talk")
    found.text("result" * 50_000)
    found.table(["NAME"], [["a"]])
    found.document(a=1)
    found.talk.text("ended", "bold")
    return 6
main.cli = click.Command("x", callback=command)
main.main([])
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_stops_reading_changes_nothing_about_the_command(stream):
    """As in `redrive move q --yes 2>&1 | head -1`: the run goes on, and its exit code counts."""
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    done = subprocess.run([sys.executable, "-c", CODE], env=ENVIRONMENT, check=False, text=True, **streams)
    os.close(writer)
    assert done.returncode == 6
    assert (done.stderr or "talkended").replace("\n", "").endswith("ended")
    assert "Traceback" not in (done.stderr or "")


def test_a_terminal_that_was_closed_changes_nothing_about_the_command():
    ours, its = pty.openpty()
    os.close(ours)
    done = subprocess.run([sys.executable, "-c", CODE], env=ENVIRONMENT, check=False, stdout=its, stderr=its)
    os.close(its)
    assert done.returncode == 6


def test_talk_that_finds_no_space_is_no_error_but_a_result_is():
    for stream, code in (("stderr", 6), ("stdout", 1)):
        with Path("/dev/full").open("w") as full:
            streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: full}
            done = subprocess.run([sys.executable, "-c", CODE], env=ENVIRONMENT, check=False, text=True, **streams)
        assert done.returncode == code
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_bars_can_be_shown_by_a_terminal_without_them(encoding, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    shown = bars([0, 1, 4, 8])
    assert shown.encode(encoding)
    assert (len(shown), shown[0], len(set(shown))) == (4, " ", 4)


def test_help_imports_neither_aws_nor_models():
    code = "import sys; from redrive.command.main import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "functions"}
    )
    loaded = set(done.stderr.split())
    assert "click" in loaded
    assert not loaded & {"boto3", "botocore", "pydantic_core", "rich"}
    assert re.search(r"^  look +Show", done.stdout, re.MULTILINE)


def test_queues_are_requested_before_anything_is_imported_that_only_runs_or_tables_need():
    code = "import sys, redrive.command.queues; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "functions"}
    )
    loaded = set(done.stdout.split())
    assert "botocore" in loaded
    assert not loaded & {"boto3", "pydantic", "rich", "redrive.domain.model", "redrive.workflow"}
