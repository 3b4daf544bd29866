"""Plays scenarios on the embedded cloud: `python -m local.scenario NAME`, or a few of them on one deployment.

`make scenario` runs it, and `local.demo` calls :func:`play`; the stories are in `local/scenarios`.
"""

from __future__ import annotations

import os
import pkgutil
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from local import scenarios
from local.cloud import DEFAULT_PORT, STACK_NAME
from local.embedded_cloud import EmbeddedCloud, EmbeddedCloudError, log_path, recorded
from local.stage import Stage, StageError


class UnknownScenarioError(Exception):
    """There is no scenario of that name."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"Expected the name of a scenario, found {found!r}. There are: {', '.join(known())}. "
            f"For example: make scenario NAME={known()[0]}"
        )


def known() -> list[str]:
    """Return the names of all scenarios: those of their modules, with hyphens."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(scenarios.__path__))


def play(names: Sequence[str], console: Console) -> bool:
    """Deploy the app to the embedded cloud and play scenarios on it, one after the other.

    A cloud that `make local-up` started is used; without one, an own one is started and stopped at the end.

    Parameters
    ----------
    names : Sequence[str]
        Names of scenarios, in the order in which they are played; one that fails does not keep the next
        from being played.
    console : Console
        Where they are shown, with a line for each at the end.

    Returns
    -------
    bool
        Whether every message of every scenario is accounted for.

    Raises
    ------
    UnknownScenarioError
        Before anything starts, where a name is not that of a scenario.
    """
    for name in names:
        if name not in known():
            raise UnknownScenarioError(name)
    running = recorded(int(os.environ.get("PORT", DEFAULT_PORT)))
    cloud = EmbeddedCloud.at(running) if running else None
    own = None
    try:
        cloud = cloud or (own := EmbeddedCloud.start())
        console.print(f"The embedded cloud runs on {cloud.endpoint_url}. Building and deploying the app ...")
        stage = Stage(cloud, cloud.deploy(os.environ.get("STACK", STACK_NAME)), console)
        summary = Table("scenario", "every message accounted for", "seconds", box=None)
        played = [_play_one(name, stage, summary) for name in names]
        console.rule("Summary")
        console.print(summary)
        return all(played)
    except EmbeddedCloudError as error:
        _show(error, cloud, console)
        return False
    finally:
        if own is not None:
            own.stop()


def _play_one(name: str, stage: Stage, summary: Table) -> bool:
    started = time.monotonic()
    stage.console.rule(f"[b]{name}[/b]", characters="=")
    try:
        accounted = bool(import_module(f"local.scenarios.{name.replace('-', '_')}").play(stage))
    except StageError as error:
        _show(error, stage.cloud, stage.console)
        accounted = False
    outcome = "[green]yes[/green]" if accounted else "[red]NO[/red]"
    summary.add_row(name, outcome, f"{time.monotonic() - started:.0f}")
    return accounted


def _show(error: Exception, cloud: EmbeddedCloud | None, console: Console) -> None:
    console.print(f"[red]{error}[/red]")
    if cloud is not None:
        console.print(f"The emulator's log: {log_path(cloud.port)}")


def main(name: Annotated[str, typer.Argument(help="A scenario in local/scenarios.")] = "") -> None:
    """Play a scenario; exit status 1 where a message is not accounted for, 2 where it does not exist."""
    try:
        accounted = play([name], Console(highlight=False))
    except UnknownScenarioError as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        raise SystemExit(2) from None
    sys.exit(0 if accounted else 1)


if __name__ == "__main__":
    typer.run(main)
