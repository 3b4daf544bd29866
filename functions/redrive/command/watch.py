"""`redrive watch`: the progress of a stack's run, live from any machine, until it has ended."""

from __future__ import annotations

import click

from redrive.adapters.account import Account
from redrive.adapters.stack import find_stack
from redrive.adapters.stack_runs import Execution, StackRuns
from redrive.command.exits import CommandError, Exit
from redrive.command.output import Output, moment
from redrive.command.shared import again, shared, subject, with_stack
from redrive.command.watching import Watch, find_run, show_end
from redrive.domain.plain_text import redrive_command


@click.command("watch", short_help="Show a run's progress, and its report at the end.")
@subject("run", required=False)
@with_stack
@shared
@click.pass_obj
def command(output: Output, *, run: str | None, stack_name: str) -> int:
    """Show the progress of a RUN (its ID, its execution's ARN, or its queue), and its report at the end.

    Without RUN, watches the run in progress. If there are several, lists them. Ctrl-C stops watching; the run
    continues.
    """
    account = Account(output.profile, output.region)
    account.use()
    runs = StackRuns(account, find_stack(account, stack_name))
    execution = find_run(account, runs, run) if run is not None else _only(output, runs)
    if execution is None:
        return Exit.DONE
    ended, report = Watch(output, account, runs).until_ended(execution)
    return show_end(output, execution.run_id, ended, report)


def _only(output: Output, runs: StackRuns) -> Execution | None:
    """Return the run in progress; None if there are several, which are listed then."""
    found = runs.running()
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(
            f"No run is in progress in the stack {runs.stack.name}. Start one: {again('redrive start QUEUE')}"
        )
    if output.as_json:
        output.document(
            running=[
                {"run": each.run_id, "executionArn": each.arn, "dlq": each.given.get("dlq")}
                | {"startedAt": each.started_at.isoformat()}
                for each in found
            ]
        )
        return None
    rows = ((each.run_id, str(each.given.get("dlq", "")), moment(each.started_at)) for each in found)
    output.table(("RUN", "QUEUE", "STARTED"), rows)
    output.say("")
    output.say(f"Watch one: {again(redrive_command('watch', found[0].reference))}")
    return None
