"""`redrive completion`: prints a script that makes a shell complete subcommands, options, and queue names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from redrive.command.output import Output
from redrive.command.shared import shared


@click.command("completion", short_help="Print a script for shell completion.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared
@click.pass_obj
def command(output: Output, *, shell: str) -> None:
    """Print a script that makes a SHELL complete commands, options, and queue names.

    Queue names come from the account and Region that your environment names, if SQS answers within two seconds.

    \b
    To install it, for bash (4.4 or later):
      echo 'eval "$(redrive completion bash)"' >> ~/.bashrc
    For zsh, after compinit:
      echo 'eval "$(redrive completion zsh)"' >> ~/.zshrc
    For fish:
      redrive completion fish > ~/.config/fish/completions/redrive.fish
    """  # noqa: D301
    kind = get_completion_class(shell)
    assert kind is not None  # click completes for all of these shells
    made = kind(click.get_current_context().find_root().command, {}, "redrive", "_REDRIVE_COMPLETE")
    # Not `source()`: it runs bash to check its version, and its warning would appear in the operator's prompt.
    script = made.source_template % made.source_vars()
    if output.as_json:
        output.document(shell=shell, script=script)
    else:
        click.echo(script)
