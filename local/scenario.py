"""Runs scenarios on the embedded cloud: `make scenario NAME=…` any of them, `make demo` the store events.

The scenarios themselves are in `local/scenarios`.
"""

from __future__ import annotations

import os
import pkgutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated

import typer
from rich.console import Console

from local import scenarios
from local.cloud import DEFAULT_PORT, STACK_NAME
from local.embedded_cloud import EmbeddedCloud, EmbeddedCloudError, PortInUseError, log_path, recorded
from local.ending import ending_cleanly
from local.progress import progress
from local.stage import Stage, StageError


class UnknownScenarioError(Exception):
    """There is no scenario with that name."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"Expected the name of a scenario ({', '.join(known())}), found {found!r}. "
            f"For example: make scenario NAME={known()[0]}"
        )


def known() -> list[str]:
    """Return the names of all scenarios: those of their modules, with hyphens."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(scenarios.__path__))


def play(name: str, console: Console, *, as_json: bool = False) -> bool:
    """Deploy the app to the embedded cloud and run a scenario on it.

    Parameters
    ----------
    name : str
        Name of the scenario.
    console : Console
        Where to show it.
    as_json : bool
        Whether the redrive's commands print JSON.

    Returns
    -------
    bool
        Whether every message is accounted for.

    Raises
    ------
    UnknownScenarioError
        The name is not that of a scenario. Nothing has been started.
    """
    if name not in known():
        raise UnknownScenarioError(name)
    began = time.monotonic()
    try:
        with _cloud(console) as cloud:
            with progress(console, "Building and deploying the app"):
                stack = cloud.deploy(os.environ.get("STACK") or STACK_NAME)
            accounted = _play(name, Stage(cloud, stack, console, as_json))
    except EmbeddedCloudError as error:
        console.print(f"[red]{error}[/red]")
        return False
    console.print(f"Done in {time.monotonic() - began:.0f} s.")
    return accounted


@contextmanager
def _cloud(console: Console) -> Iterator[EmbeddedCloud]:
    """Return the cloud of `make local-up` if it runs on PORT, or else one that ends with the block."""
    requested = os.environ.get("PORT")
    port = _port(requested) if requested else DEFAULT_PORT
    running = recorded(port)
    if running is not None:
        cloud = EmbeddedCloud.at(running)
        console.print(
            f"Using the embedded cloud on {cloud.endpoint_url}, which `make local-up` started. "
            f"To use a separate one, set PORT={port + 1}"
        )
        yield cloud
        return
    with _started(port, exactly=bool(requested)) as cloud:
        console.print(f"An embedded cloud is running on {cloud.endpoint_url} until this command ends.")
        yield cloud


def _port(given: str) -> int:
    port = int(given) if given.isdecimal() else 0
    if not 1 <= port <= 65535:
        raise EmbeddedCloudError(f"expected PORT to be a number from 1 to 65535, found {given!r}")
    return port


def _started(port: int, *, exactly: bool) -> EmbeddedCloud:
    try:
        return EmbeddedCloud.start(port)
    except PortInUseError:
        # If nobody named the port, any will do.
        if exactly:
            raise
        return EmbeddedCloud.start()


def _play(name: str, stage: Stage) -> bool:
    try:
        return bool(import_module(f"local.scenarios.{name.replace('-', '_')}").play(stage))
    except (StageError, EmbeddedCloudError) as error:
        stage.console.print(f"[red]{error}[/red]\nThe emulator's log: {log_path(stage.cloud.port)}")
        return False


def main(
    name: Annotated[str, typer.Argument(help="A scenario in local/scenarios.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Show the redrive's output as JSON instead of text.")] = False,
) -> None:
    """Run a scenario; exit status 1 if a message is unaccounted for, 2 if there is no such scenario."""
    try:
        with ending_cleanly():
            accounted = play(name, Console(highlight=False), as_json=as_json)
    except UnknownScenarioError as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        raise SystemExit(2) from None
    sys.exit(0 if accounted else 1)


if __name__ == "__main__":
    typer.run(main)
