"""The command line of the embedded cloud: ``python -m local.cloud up|down|env|status|deploy|reset``.

``make cloud``, ``make local-up``, and others run it; in Python, use :class:`local.embedded_cloud.EmbeddedCloud`.
"""

from __future__ import annotations

import shlex
import shutil
import time
from typing import Annotated

import typer
from rich.console import Console

from local.embedded_cloud import EmbeddedCloud, EmbeddedCloudError, Stack, log_path, record, recorded
from local.ending import ending_cleanly
from local.scenarios.store_events import fail
from local.stage import Stage, StageError

DEFAULT_PORT = 4566
# How to install the command, with pipx or without.
_PIPX = "pipx install --python python3.13 ."
_VENV = (
    "python3.13 -m venv .venvs/redrive && .venvs/redrive/bin/pip install --quiet . && "
    'export PATH="$PWD/.venvs/redrive/bin:$PATH"'
)
STACK_NAME = "sqs-redrive"

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

Port = Annotated[int, typer.Option(envvar="PORT", help="The port of the embedded cloud.", min=1, max=65535)]
StackName = Annotated[str, typer.Option(envvar="STACK", help="The name of the stack.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--parameter", help="A parameter of the stack, as Name=value; repeatable.")
]


DeadLetters = Annotated[bool, typer.Option("--dead-letters", help="Also fill a dead-letter queue.")]


@app.command()
def up(
    port: Port = DEFAULT_PORT,
    stack: StackName = STACK_NAME,
    parameter: Parameters = None,
    dead_letters: DeadLetters = False,
) -> None:
    """Start the embedded cloud, unless it's running, and deploy the app to it."""
    running = recorded(port)
    if running:
        cloud = EmbeddedCloud.at(running)
        typer.echo(f"the embedded cloud is already running on {cloud.endpoint_url} (process {cloud.pid})")
    else:
        started = time.monotonic()
        cloud = EmbeddedCloud.start(port)
        typer.echo(
            f"the embedded cloud is running on {cloud.endpoint_url} (process {cloud.pid}, "
            f"started in {time.monotonic() - started:.1f} s, log {log_path(port)})"
        )
    try:
        deployed = _deploy(cloud, stack, parameter)
        if dead_letters:
            _fill(cloud, deployed)
        else:
            _show_outputs(deployed)
        if not running:
            record(cloud)
    except BaseException:
        if not running:
            cloud.stop()
        raise


@app.command()
def deploy(port: Port = DEFAULT_PORT, stack: StackName = STACK_NAME, parameter: Parameters = None) -> None:
    """Build the app and deploy it to the running embedded cloud."""
    _show_outputs(_deploy(_running(port), stack, parameter))


@app.command()
def down(port: Port = DEFAULT_PORT) -> None:
    """Stop the embedded cloud that `up` started."""
    _running(port).stop()
    typer.echo(f"the embedded cloud on port {port} is stopped")


@app.command()
def reset(port: Port = DEFAULT_PORT) -> None:
    """Delete everything in the embedded cloud."""
    _running(port).reset()
    typer.echo(f"the embedded cloud on port {port} is empty")


@app.command()
def status(port: Port = DEFAULT_PORT) -> None:
    """Check whether the embedded cloud is running; the exit status is 2 if not."""
    cloud = _running(port)
    state = "responds" if cloud.is_answering() else "doesn't respond"
    typer.echo(f"the embedded cloud is running on {cloud.endpoint_url} (process {cloud.pid}) and {state}")


@app.command()
def env(port: Port = DEFAULT_PORT) -> None:
    """Print the exports that point AWS tools at the embedded cloud: eval "$(make -s local-env)"."""
    cloud = EmbeddedCloud(port, pid=0)
    for name, value in cloud.environment.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
    typer.echo("unset AWS_PROFILE AWS_SESSION_TOKEN")


def _running(port: int) -> EmbeddedCloud:
    running = recorded(port)
    if running is None:
        raise EmbeddedCloudError(f"no embedded cloud is running on port {port}; start one with `make local-up`")
    return EmbeddedCloud.at(running)


def _deploy(cloud: EmbeddedCloud, stack: str, parameters: list[str] | None) -> Stack:
    for parameter in parameters or []:
        if "=" not in parameter:
            raise EmbeddedCloudError(f"expected --parameter Name=value, found '{parameter}'")
    started = time.monotonic()
    typer.echo("building and deploying the app")
    deployed = cloud.deploy(stack, dict(parameter.split("=", 1) for parameter in parameters or []))
    typer.echo(f"stack {stack} is deployed in {time.monotonic() - started:.0f} s")
    return deployed


def _show_outputs(stack: Stack) -> None:
    width = max(map(len, stack.outputs), default=0)
    for name, value in sorted(stack.outputs.items()):
        typer.echo(f"  {name:<{width}}  {value}")


def _fill(cloud: EmbeddedCloud, deployed: Stack) -> None:
    stage = Stage(cloud, deployed, Console(highlight=False))
    try:
        fail(stage, f"store-events-{int(time.time())}")
    except StageError as error:
        raise EmbeddedCloudError(str(error)) from None
    port = "" if cloud.port == DEFAULT_PORT else f"PORT={cloud.port} "
    stack = "" if deployed.name == STACK_NAME else f" --stack {deployed.name}"
    install = "" if shutil.which("redrive") else f"{_PIPX if shutil.which('pipx') else _VENV}\n  "
    # The cause of the failures is fixed, so a run succeeds.
    typer.echo(f"""
The outage is over. To redrive its messages, run in this directory:

  {install}eval "$({port}make -s local-env)"    # redrive and the AWS tools use this cloud from here on
  redrive queues
  redrive look {stage.queue_name("StoreEventsDLQ")}
  redrive start {stage.queue_name("StoreEventsDLQ")} --rate 20 --watch{stack}
  {port}make local-down""")


def main() -> None:
    """Run the command line; an error is one message and exit status 2."""
    try:
        with ending_cleanly():
            app()
    except EmbeddedCloudError as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
