"""`redrive stop`: asks a run of a stack to stop, and waits until it has."""

from __future__ import annotations

import click

from redrive.adapters.account import Account
from redrive.adapters.stack import find_stack
from redrive.adapters.stack_runs import Execution, StackRuns
from redrive.command.exits import CommandError, Exit
from redrive.command.output import Output
from redrive.command.shared import again, shared, subject, with_stack
from redrive.command.watching import Watch, find_run, queue_of, show_end
from redrive.domain.plain_text import redrive_command
from redrive.domain.runs.ending import Status


@click.command("stop", short_help="Stop a run.")
@subject("target", metavar="QUEUE|RUN")
@click.option(
    "--wait/--no-wait", default=True, help="Wait until the run has ended, and show its report. Default: --wait."
)
@with_stack
@shared
@click.pass_obj
def command(output: Output, *, target: str, wait: bool, stack_name: str) -> int:
    """Stop the run on a QUEUE (name, ARN, or URL), or a RUN (its ID or its execution's ARN).

    Its lanes finish their open requests and make the rest visible again, and the report goes out. Nothing is lost.
    Start another run to move what's left.
    """
    account = Account(output.profile, output.region)
    account.use()
    runs = StackRuns(account, find_stack(account, stack_name))
    queue = queue_of(account, target)
    execution = None if queue else _running(account, runs, target)
    answer = runs.ask_to_stop(target if execution is None else str(execution.given["dlq"]))
    if "runId" not in answer:
        raise CommandError(_in_a_terminal(str(answer.get("errorMessage", "no answer"))), Exit.REJECTED)
    run_id = str(answer["runId"])
    execution = execution or runs.described(runs.stack.execution_arn(run_id))
    output.say(f"Stopping the run {run_id}. Its lanes finish their open requests.")
    if not wait or execution is None:
        if output.as_json:
            output.document(run=run_id, executionArn=runs.stack.execution_arn(run_id))
        else:
            output.text(run_id)
        output.say(f"Watch it: {again(redrive_command('watch', run_id))}")
        return Exit.DONE
    ended, report = Watch(output, account, runs).until_ended(execution)
    code = show_end(output, run_id, ended, report)
    return Exit.DONE if report.status is Status.STOPPED else code


def _running(account: Account, runs: StackRuns, run: str) -> Execution:
    """Return the run in progress that holds its queue.

    Raises
    ------
    CommandError
        If there is no such run, or it has ended.
    """
    execution = find_run(account, runs, run)
    queue = queue_of(account, str(execution.given.get("dlq", ""))) if execution.is_on else None
    lock = None if queue is None else runs.holder(queue.arn)
    if lock is None or lock.run_id != execution.run_id:
        why = "isn't moving messages yet; try again in a moment" if execution.is_on else "has ended"
        report = again(redrive_command("watch", execution.reference))
        raise CommandError(f"The run {execution.run_id} {why}. Watch it: {report}", Exit.REJECTED)
    return execution


def _in_a_terminal(error: str) -> str:
    """Return what the stop function says, with what to do in a terminal."""
    sentence, found, _ = error.partition(" List the runs in progress with: ")
    return f"{sentence} See the runs in progress: {again('redrive watch')}" if found else error
