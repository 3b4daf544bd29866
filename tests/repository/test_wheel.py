"""The wheel that `pipx install` installs: one package with the command and everything it needs."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from configparser import ConfigParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from zipfile import ZipFile

import pytest

from local.install import VENVS
from redrive import VERSION
from tests.support.definitions import ROOT

# Has the command's dependencies, and nothing else.
PYTHON = VENVS / "command" / "bin" / "python"
PIP = [str(PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
PACKAGE = ROOT / "functions" / "redrive"
FOR_LAMBDA = {"handlers", "runtime"}
IMPORT_ALL = """
import importlib, pkgutil, redrive
for module in pkgutil.walk_packages(redrive.__path__, "redrive."):
    importlib.import_module(module.name)
print(redrive.__file__)
"""
ANSWERS = {
    "GetQueueUrl": (400, {"__type": "QueueDoesNotExist"}),
    "ListQueues": (200, {"QueueUrls": ["http://q/1/note"]}),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", str(directory), str(ROOT)], check=True)
    [built] = directory.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)], check=True)
    return target


@pytest.fixture
def sqs_without_queue() -> Iterator[str]:
    """The address of an SQS with one queue of another name."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, answer = ANSWERS[self.headers["X-Amz-Target"].partition(".")[2]]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(installed: Path, tmp_path: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the installed wheel, outside this repository."""
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(installed), "NO_PROXY": "127.0.0.1"}
    return subprocess.run(command, cwd=tmp_path, env=environment | more, capture_output=True, text=True, check=False)


def test_it_has_the_package_without_what_only_lambda_needs_and_no_other_file(wheel):
    expected = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and path.relative_to(PACKAGE).parts[0] not in FOR_LAMBDA
    }
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"sqs_redrive-{VERSION}.dist-info/METADATA").decode()
        entry_points = ConfigParser()
        entry_points.read_string(archive.read(f"sqs_redrive-{VERSION}.dist-info/entry_points.txt").decode())
    assert {name for name in names if not name.startswith(f"sqs_redrive-{VERSION}.dist-info/")} == expected
    assert {name for name in expected if not name.endswith(".py")}, "what the page looks like is a file of its own"
    assert {name: dict(entry_points[name]) for name in entry_points.sections()} == {
        "console_scripts": {"redrive": "redrive.command.main:main"}
    }
    assert f"Version: {VERSION}" in metadata
    assert "powertools" not in metadata


def test_every_module_of_it_needs_only_the_dependencies_of_the_command(installed, tmp_path):
    done = run(installed, tmp_path, str(PYTHON), "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(installed)


def test_the_command_lists_its_commands_and_looks_for_a_queue(installed, tmp_path, sqs_without_queue):
    command = str(installed / "bin" / "redrive")
    helped = run(installed, tmp_path, command, "--help")
    assert helped.returncode == 0, helped.stderr
    assert "look" in helped.stdout
    settings = {"AWS_ENDPOINT_URL": sqs_without_queue, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    looked = run(installed, tmp_path, command, "look", "nope", **settings, **keys)
    assert looked.returncode == 4, looked.stderr
    assert looked.stderr.splitlines() == [
        "redrive: There is no queue nope in us-east-1. Did you mean note? List them: redrive queues --all"
    ]
