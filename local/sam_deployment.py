"""Builds a SAM template and deploys it to the embedded cloud with the same ``sam`` commands as to an account.

:meth:`local.embedded_cloud.EmbeddedCloud.deploy` calls :func:`deploy`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from local.workspace import ROOT, STATE_DIRECTORY, EmbeddedCloudError, find_program, program_path

CONFIG_ENVIRONMENT = "local"
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
# CloudFormation's short tags (!Ref) aren't plain YAML, so templates are read as text.
_CODE_PATH = re.compile(r"^\s*(?:CodeUri|ContentUri): *['\"]?([^\s'\"]+)", re.MULTILINE)
_ARCHITECTURE_PARAMETER = re.compile(r"^  Architecture:", re.MULTILINE)
# How often the SAM CLI polls CloudFormation, in seconds; its default suits a deployment that takes minutes.
POLL_SECONDS = "0.3"


def deploy(cloud_environment: dict[str, str], stack_name: str, parameters: dict[str, str], template: Path) -> None:
    """Run ``sam build``, unless nothing has changed since the last time, and ``sam deploy``.

    Parameters come from, in ascending order of precedence: ``parameter_overrides`` of ``[local.deploy.parameters]`` in
    the samconfig.toml next to the template; this machine's ``Architecture``, if the template has that parameter; and
    ``parameters``. An empty parameter gets the template's default.

    Raises
    ------
    EmbeddedCloudError
        ``sam`` or ``python3.13`` is missing, or one of the commands fails; the message has its output.
    """
    sam, template = _sam(), template.resolve()
    with _locked(template) as directory:
        variables = _variables(cloud_environment, directory)
        built = _built(sam, template, directory, variables)
        command = [sam, "deploy", *_config_options(template), "--template-file", str(built), "--stack-name", stack_name]
        command += ["--region", cloud_environment["AWS_REGION"], "--resolve-s3"]
        command += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
        command += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--use-json"]
        if overrides := _overrides(template, parameters):
            command += ["--parameter-overrides", *(_override(name, value) for name, value in overrides.items())]
        _run("sam deploy", command, template.parent, variables)


def build(template: Path) -> Path:
    """Run ``sam build`` for this machine, unless nothing has changed since the last time, and return its directory.

    Raises
    ------
    EmbeddedCloudError
        ``sam`` or ``python3.13`` is missing, or the build fails; the message has its output.
    """
    sam, template = _sam(), template.resolve()
    with _locked(template) as directory:
        return _built(sam, template, directory, _variables({"AWS_REGION": "us-east-1"}, directory)).parent


def _python() -> str:
    return find_program("python3.13", "install Python 3.13, which the functions are built with, and put it on PATH")


def _sam() -> str:
    _python()
    return find_program("sam", "run `make setup`, or `pip install aws-sam-cli`")


def _variables(cloud_environment: dict[str, str], directory: Path) -> dict[str, str]:
    return tool_environment(cloud_environment) | {"TMPDIR": str(directory / "temporary")}


@contextmanager
def _locked(template: Path) -> Iterator[Path]:
    """Yield the build directory of a template, locked against other processes, with a directory for temporary files."""
    directory = STATE_DIRECTORY / "build" / hashlib.sha256(str(template).encode()).hexdigest()[:12]
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / "temporary"
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # sam leaves an empty directory behind for every function; a deployment that was killed leaves more.
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield directory
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _built(sam: str, template: Path, directory: Path, variables: dict[str, str]) -> Path:
    output, stamp_file = directory / "output", directory / "stamp"
    stamp = _stamp(template)
    if not stamp_file.exists() or stamp_file.read_text() != stamp:
        stamp_file.unlink(missing_ok=True)
        options = [*_config_options(template), "--template-file", str(template), "--build-dir", str(output)]
        if architecture := _architecture_override(template):
            options += ["--parameter-overrides", *(f"{key}={value}" for key, value in architecture.items())]
        _run("sam build", [sam, "build", *options], template.parent, variables)
        # As in `make package`.
        _run("tools.bytecode", [_python(), "-m", "tools.bytecode", str(output)], ROOT, variables)
        _pack(directory, output / "template.yaml")
        stamp_file.write_text(stamp)
    return output / "template.yaml"


def _pack(directory: Path, built: Path) -> None:
    """Let functions that were built from the same code share one package: `sam deploy` zips it for each of them.

    The template becomes JSON. `sam deploy` reads it several times, and YAML takes most of its time.
    """
    definitions = tomllib.loads((directory / "build.toml").read_text()).get("function_build_definitions", {})
    packages: dict[str, str] = {}
    for definition in definitions.values():
        first = definition["functions"][0]
        package = shutil.make_archive(str(built.parent / first), "zip", built.parent / first)
        packages |= dict.fromkeys(definition["functions"], Path(package).name)
    # In what sam builds, functions of CloudFormation have their long names.
    template = yaml.load(built.read_text(), Loader=yaml.CSafeLoader)
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if properties.get("CodeUri") in packages:
            properties["CodeUri"] = packages[properties["CodeUri"]]
    built.write_text(json.dumps(template))


def _stamp(template: Path) -> str:
    """Return a digest of what a build depends on: the template, its code, and how bytecode is added."""
    digest = hashlib.sha256(platform.machine().encode())
    digest.update((ROOT / "tools" / "bytecode.py").read_bytes())
    digest.update(template.read_bytes())
    for code in sorted(set(_CODE_PATH.findall(template.read_text()))):
        for path in sorted((template.parent / code).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(template.parent)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _config_options(template: Path) -> list[str]:
    config = template.parent / "samconfig.toml"
    return ["--config-file", str(config), "--config-env", CONFIG_ENVIRONMENT] if config.exists() else []


def _overrides(template: Path, given: dict[str, str]) -> dict[str, str]:
    # On the command line, --parameter-overrides replaces those of samconfig.toml instead of adding to them.
    overrides = {
        **_configured_overrides(template.parent / "samconfig.toml"),
        **_architecture_override(template),
        **given,
    }
    # sam refuses empty values.
    return {name: value for name, value in overrides.items() if value}


def _override(name: str, value: str) -> str:
    # The SAM CLI splits values at spaces and removes quotation marks, so JSON needs escaping.
    if not set(value) & {" ", '"'}:
        return f"{name}={value}"
    escaped = value.replace('"', '\\"')
    return f'{name}="{escaped}"'


def _configured_overrides(config: Path) -> dict[str, str]:
    if not config.exists():
        return {}
    document: dict[str, Any] = tomllib.loads(config.read_text())
    section = document.get(CONFIG_ENVIRONMENT, {}).get("deploy", {}).get("parameters", {})
    configured = section.get("parameter_overrides", [])
    pairs = shlex.split(configured) if isinstance(configured, str) else configured
    return dict(pair.split("=", 1) for pair in pairs)


def _architecture_override(template: Path) -> dict[str, str]:
    """Return the Architecture parameter for this machine, whose native wheels the functions run with."""
    if not _ARCHITECTURE_PARAMETER.search(template.read_text()):
        return {}
    machine = platform.machine().lower()
    if machine not in ARCHITECTURES:
        raise EmbeddedCloudError(f"expected an x86_64 or arm64 machine, found '{machine}'")
    return {"Architecture": ARCHITECTURES[machine]}


def tool_environment(cloud_environment: dict[str, str]) -> dict[str, str]:
    """Return the environment for AWS tools, which must reach this cloud only."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    variables |= cloud_environment
    variables |= {"PATH": program_path(), "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": POLL_SECONDS}
    # Requests to the cloud must bypass a proxy that pip may need.
    variables["NO_PROXY"] = variables["no_proxy"] = ",".join(
        filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1"])
    )
    return variables


def _run(name: str, command: list[str], directory: Path, variables: dict[str, str]) -> None:
    # In a separate session: Ctrl-C reaches this process only, which then ends sam and whatever sam started.
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode != 0:
        raise EmbeddedCloudError(f"`{name}` failed with status {process.returncode}:\n{output}")
