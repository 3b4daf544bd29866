"""The command in a real terminal, on the embedded cloud."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.support.definitions import ROOT

SECONDS = 60
COMMAND = [sys.executable, "-c", "from redrive.command.main import main; main()"]
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def environment(app, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "NO_COLOR"))}
    found = kept | app.cloud.environment | {"PYTHONPATH": str(ROOT / "functions"), "TERM": "xterm-256color"} | more
    return {name: value for name, value in found.items() if value}


def in_terminal(app, *arguments: str, columns: int = 80) -> tuple[int, str]:
    """Run the command in a pseudo-terminal; return its exit code and all that the terminal got."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=environment(app, COLUMNS=str(columns)), stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    shown = b""
    ends_at = time.monotonic() + SECONDS
    while time.monotonic() < ends_at:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # Linux says so when nobody has the other end anymore.
                break
            shown += part
        elif process.poll() is not None:
            break
    os.close(ours)
    return process.wait(SECONDS), shown.decode()


def in_pipe(app, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(app, **more),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture
def filled(app) -> Any:
    pair = app.pair("looked-at")
    app.send(pair.dlq, [{"MessageBody": json.dumps({"number": number, "secret": "zqxj"})} for number in range(30)])
    return pair


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_a_terminal_shows_what_is_in_a_queue_within_its_width(app, filled, columns):
    code, shown = in_terminal(app, "look", filled.dlq.name, columns=columns)
    assert code == 0, shown
    assert "zqxj" not in shown
    rows = [STYLE.sub("", line).rstrip() for line in shown.splitlines() if re.search("SHARE|100%", line)]
    assert len(rows) == 2
    assert max(map(len, rows)) <= columns
    assert app.visible(filled.dlq) == 30


def test_a_pipe_gets_whole_lines_without_styles(app, filled):
    done = in_pipe(app, "queues", "--no-peek")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert any(line.split()[:2] == [filled.dlq.name, "30"] for line in done.stdout.splitlines())


def test_a_reader_that_stops_reading_is_no_error(app):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "queues", "--all", "--no-peek", "--quiet"],
        env=environment(app),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


NO_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, "AWS can't be reached"),
        ({"AWS_PROFILE": "no-such-profile"}, "aws configure list-profiles"),
        (NO_CREDENTIALS | {"HOME": "/nowhere"}, "No AWS credentials were found"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "HOME": "/nowhere"}, "--region"),
    ],
)
def test_an_environment_that_leads_nowhere_is_said_in_one_line(app, changes, expected):
    done = in_pipe(app, "queues", **changes)
    assert done.returncode == 1
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
