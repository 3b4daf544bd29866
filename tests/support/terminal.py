"""The command in a real terminal, as an operator uses it: reads what is shown, types, and presses Ctrl-C.

Used by the end-to-end tests of the command.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence

from tests.support.app import App
from tests.support.definitions import ROOT

SECONDS = 60
COMMAND = [sys.executable, "-c", "from redrive.command.main import main; main()"]
# ECMA-48: what moves the cursor, erases, and colors.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CTRL_C = "\x03"


def environment(app: App, **more: str) -> dict[str, str]:
    """Return the environment of an operator of the app; what is empty is left out."""
    # COLUMNS and LINES would count instead of the size of the terminal.
    others = ("AWS_", "NO_COLOR", "REDRIVE_", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    found = kept | app.cloud.environment | {"PYTHONPATH": str(ROOT / "functions"), "TERM": "xterm-256color"} | more
    return {name: value for name, value in found.items() if value}


def in_pipe(app: App, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(app, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def without_reader(app: App, *arguments: str) -> tuple[int, str]:
    """Run the command while nobody reads its output; return its exit code and what it says on standard error."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(app),
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    os.close(writer)
    return done.returncode, done.stderr


class Terminal:
    """A terminal of some width in which the command runs."""

    def __init__(self, app: App, *arguments: str, columns: int = 80, command: Sequence[str] = COMMAND) -> None:
        self._ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self._process = subprocess.Popen(
            [*command, *arguments],
            env=environment(app),
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            # Its own process group has no terminal otherwise. Nothing here has threads that hold locks.
            preexec_fn=_control,  # noqa: PLW1509
        )
        os.close(its)
        self._bytes = b""

    @property
    def screen(self) -> str:
        """All that was shown so far, without what styles it or moves the cursor."""
        return _CONTROL.sub("", self.raw)

    @property
    def raw(self) -> str:
        """All output so far, as the terminal received it."""
        return self._bytes.decode(errors="replace")

    def until(self, text: str, seconds: float = SECONDS) -> None:
        """Wait until a text is shown that wasn't before."""
        ends_at = time.monotonic() + seconds
        before = self.screen.count(text)
        while self.screen.count(text) <= before:
            assert time.monotonic() < ends_at, f"{text!r} isn't shown: {self.screen}"
            assert self._read(), f"the command has ended without {text!r}: {self.screen}"

    def type(self, text: str) -> None:
        """Type a line."""
        self.press(f"{text}\n")

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.press(_CTRL_C)

    def ended(self) -> tuple[int, str]:
        """Return the exit code, and all that was shown."""
        ends_at = time.monotonic() + SECONDS
        while self._read():
            assert time.monotonic() < ends_at, self.screen
        os.close(self._ours)
        return self._process.wait(SECONDS), self.screen

    def _read(self) -> bool:
        """Read what is there; return whether there may be more."""
        if not select.select([self._ours], [], [], 0.2)[0]:
            return self._process.poll() is None
        try:
            part = os.read(self._ours, 65_536)
        except OSError:  # Linux says so when nobody has the other end anymore.
            return False
        self._bytes += part
        return True


def _control() -> None:
    """Let Ctrl-C in the terminal interrupt this process: a session's leader gets the terminal that it opens."""
    os.close(os.open(os.ttyname(0), os.O_RDWR))
