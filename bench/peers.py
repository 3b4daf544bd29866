"""Other tools that do the same job, each installed into its own environment on first use.

Used by `bench.measurements`; docs/design/benchmarks.md says what each of them is.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench.measured import ToolError
from bench.tools import Tool
from local.embedded_cloud import REGION
from local.install import REQUIREMENTS, VENVS, install

_PYTHON = VENVS / "peers"
_NODE = VENVS / "peers-node"
_NODE_LOCK = REQUIREMENTS / "peers-node"
_INSTALL_SECONDS = 240


def phoenix() -> Tool:
    """Install phoenix-letter and return it."""
    _install_python()
    script = str(_PYTHON / "bin" / "phoenix_letter")
    return Tool(
        "phoenix-letter",
        lambda _endpoint, queues: [
            str(_PYTHON / "bin" / "python"), script, "--src", queues.dlq, "--dst", queues.source,
            "--region", REGION, "--empty-receive", "1",
        ],
    )  # fmt: skip


def sqs_mover() -> Tool:
    """Install sqs-mover and return it."""
    _install_python()
    script = str(_PYTHON / "bin" / "sqsmover")
    return Tool(
        "sqs-mover",
        lambda _endpoint, queues: [
            str(_PYTHON / "bin" / "python"), script, "-s", queues.dlq, "-d", queues.source
        ],
    )  # fmt: skip


def lumigo_cli() -> Tool:
    """Install lumigo-cli and return its command replay-sqs-dlq."""
    node = shutil.which("node")
    if node is None:
        raise ToolError("Node.js is not installed")
    _install_node()
    script = str(_NODE / "node_modules" / "lumigo-cli" / "bin" / "run")
    setup = str(Path(__file__).with_name("lumigo_setup.js"))
    return Tool(
        "lumigo-cli",
        lambda _endpoint, queues: [
            node, "--require", setup, script, "replay-sqs-dlq",
            "-d", queues.dlq, "-n", queues.source, "-r", REGION,
        ],
        lambda _endpoint, _queues: {
            "NODE_MODULES": str(_NODE / "node_modules"),
            "SKIP_VERSION_CHECK": "1",
            "AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE": "1",
        },
    )  # fmt: skip


ALL: dict[str, Callable[[], Tool]] = {
    "lumigo-cli": lumigo_cli,
    "sqs-mover": sqs_mover,
    "phoenix-letter": phoenix,
}


def _install_python() -> None:
    if install([_PYTHON.name]) != 0:
        raise ToolError(f"{_PYTHON.name} could not be installed")


def _install_node() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ToolError("npm is not installed")
    stamp = hashlib.sha256((_NODE_LOCK / "package-lock.json").read_bytes()).hexdigest()
    if _stamp_of(_NODE) == stamp:
        return
    shutil.copytree(_NODE_LOCK, _NODE, dirs_exist_ok=True)
    _run([npm, "ci", "--prefix", str(_NODE), "--no-audit", "--no-fund"])
    (_NODE / ".stamp").write_text(stamp)


def _stamp_of(directory: Path) -> str | None:
    stamp = directory / ".stamp"
    return stamp.read_text() if stamp.exists() else None


def _run(command: list[str]) -> None:
    print(f"setting up: {' '.join(command)}", flush=True)
    try:
        finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"could not be installed within {_INSTALL_SECONDS} seconds") from error
    if finished.returncode:
        raise ToolError(f"could not be installed: {(finished.stderr or finished.stdout).strip()[-300:]}")
