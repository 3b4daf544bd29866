"""How commands of the embedded cloud end when they are interrupted: with one line, and with nothing left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.embedded_cloud import recorded
from local.process_identity import started_at
from local.workspace import ROOT, STATE_DIRECTORY
from tests.support.eventually import eventually

INTERRUPTED = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
# Prints what it does, so a test can send a signal at the right time.
PROGRAM = """
import time
from local.ending import ending_cleanly

with ending_cleanly():
    try:
        print("ready", flush=True)
        # A signal just before a sleep doesn't shorten it.
        for _ in range(600):
            time.sleep(0.05)
    finally:
        print("cleaned up", flush=True)
        {cleanup}
"""
CLEANUP = "time.sleep(0.5); print('to the end', flush=True)"


def started(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize(("number", "status"), INTERRUPTED)
def test_an_interrupted_command_cleans_up_and_ends_with_one_line(number, status):
    process = started("-c", PROGRAM.format(cleanup=""))
    process.stdout.readline()

    process.send_signal(number)

    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (status, "cleaned up\n")
    assert errors == f"interrupted ({number.name})\n"


def test_a_second_signal_does_not_cut_the_cleanup_short():
    process = started("-c", PROGRAM.format(cleanup=CLEANUP))
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.stdout.readline()

    process.send_signal(signal.SIGINT)

    output, _ = process.communicate(timeout=20)
    assert output == "to the end\n"


def left_behind(port: int, before: set[Path]) -> list[str]:
    """Return processes of the cloud on a port, and files besides its log that weren't there before.

    Other tests may start clouds meanwhile. Their files are named after their ports.
    """
    found = [
        path.name
        for path in set(STATE_DIRECTORY.glob("*")) - before
        if path.suffix != ".log" and (path.stem == str(port) or not path.stem.isdigit())
    ]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if f"127.0.0.1:{port}".encode() in environment or f"GATEWAY_PORT={port}".encode() in environment:
            found.append((process / "cmdline").read_text())
    return found


# In seconds after the cloud answers: sam has just been started, sam builds or deploys.
@pytest.mark.parametrize(("number", "status"), INTERRUPTED)
@pytest.mark.parametrize("moment", [0.0, 2.5])
def test_an_interrupted_up_leaves_nothing_behind(port, number, status, moment):
    before = {*STATE_DIRECTORY.glob("*"), STATE_DIRECTORY / "build"}
    process = started("-m", "local.cloud", "up", PORT=str(port))
    process.stdout.readline()
    time.sleep(moment)

    process.send_signal(number)

    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (status, f"interrupted ({number.name})\n")
    assert recorded(port) is None
    eventually(lambda: not left_behind(port, before))


def test_a_failed_up_leaves_nothing_behind(port):
    before = {*STATE_DIRECTORY.glob("*"), STATE_DIRECTORY / "build"}
    arguments = ("-m", "local.cloud", "up", "--parameter", "nonsense")

    output, errors = started(*arguments, PORT=str(port)).communicate(timeout=60)

    assert "expected --parameter Name=value, found 'nonsense'" in errors
    pid = int(output.split("(process ")[1].split(",")[0])
    assert started_at(pid) is None
    assert not left_behind(port, before)
