"""Waits for a run of a stack, shows how far it is, and returns its report.

Used by the commands that start, watch, and stop runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pydantic import ValidationError

from redrive.adapters.account import Account
from redrive.adapters.error_codes import error_code, passes
from redrive.adapters.stack_runs import Execution, Live, StackRuns
from redrive.command.display import Display
from redrive.command.exits import INTERRUPTED, CommandError, Exit, explained
from redrive.command.output import Output
from redrive.command.progress import Pace, Progress
from redrive.command.report_text import exit_of, print_report
from redrive.command.shared import again
from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueRef
from redrive.domain.moving.results import Totals, smallest
from redrive.domain.plain_text import redrive_command
from redrive.domain.plan.request import RedriveRequest, parse_request
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Next

# Seconds between two looks, and the longest pause if AWS doesn't answer.
POLL_SECONDS = 2.0
_LONGEST_PAUSE = 30.0
# Seconds without an answer after which watching ends.
_PATIENCE = 600.0
# Seconds after which a run has its queue's lock, or has been rejected.
_UNTIL_PLANNED = 60.0
_DOING = {
    Next.WAIT: "waiting for messages in flight elsewhere",
    Next.CLEAN_UP: "finishing",
    Next.CONTINUE: "continuing in a new execution",
}


@dataclass
class Watch:
    """Watches one run until it has ended.

    Parameters
    ----------
    output, account, runs : Output, Account, StackRuns
        Where it is shown, and what is watched.
    """

    output: Output
    account: Account
    runs: StackRuns

    def until_ended(self, execution: Execution) -> tuple[Execution, Report]:
        """Return the report of a run once it has one, and the execution that ended with it.

        Raises
        ------
        CommandError
            If it ends without a report, or can't be watched anymore.
        """
        return self._unless_interrupted(execution, self._until_ended)

    def has_ended_early(self, execution: Execution) -> bool:
        """Return whether a run ends before it holds its queue's lock, as one that is rejected does.

        Raises
        ------
        CommandError
            If AWS doesn't answer.
        """
        return self._unless_interrupted(execution, self._has_ended_early)

    def _unless_interrupted[T](self, execution: Execution, follow: Callable[[Execution], T]) -> T:
        """Return what following a run returns; whatever ends that doesn't end the run, and says so."""
        try:
            return follow(execution)
        except KeyboardInterrupt:
            raise self._still_running(execution, "The run continues.", INTERRUPTED) from None
        except Exception as error:
            known = explained(error)
            if known is None or isinstance(error, CommandError):
                raise
            raise self._still_running(execution, f"{known} The run continues.", known.exit) from error

    def _has_ended_early(self, execution: Execution) -> bool:
        queue = queue_of(self.account, str(execution.given.get("dlq", "")))
        ends_at = time.monotonic() + _UNTIL_PLANNED
        while queue is not None and time.monotonic() < ends_at:
            lock = self.runs.holder(queue.arn)
            if lock is not None and lock.run_id == execution.run_id:
                return False
            found = self.runs.described(execution.arn)
            if found is not None and not found.is_on:
                return True
            time.sleep(POLL_SECONDS / 4)
        return False

    def _until_ended(self, execution: Execution) -> tuple[Execution, Report]:
        run_id = execution.run_id
        request = _request(execution)
        queue = None if request is None else queue_of(self.account, request.dlq)
        dlq = queue.name if queue else run_id
        at_first: int | None = None
        pace = Pace()
        with Display(self.output) as display:
            while (execution := self._patiently(display, partial(self._next, run_id, execution))).is_on:
                live = self._patiently(display, lambda: self.runs.live(run_id))
                stopping = queue is not None and self._stopping(display, queue, run_id)
                totals = live.totals or Totals()
                if at_first is None and queue is not None:
                    facts = self.account.queues.readable_facts(queue)
                    at_first = facts.messages + totals.counts.moved if facts else None
                now = time.monotonic()
                display.show(
                    Progress(
                        title=dlq,
                        doing="stopping" if stopping else _doing(live),
                        totals=totals,
                        total=_total(live, request, at_first),
                        limit=_limit(live, request),
                        rate=pace.rate(totals.counts.redriven, now) if live.totals else None,
                    ),
                    now,
                )
                time.sleep(POLL_SECONDS)
        return execution, self._report_of(execution)

    def _next(self, run_id: str, execution: Execution) -> Execution:
        """Return the execution as it is now, or the one that the run has continued in if this one was ended early."""
        found = self.runs.described(execution.arn) or execution
        if found.is_on or report_in(found) is not None:
            return found
        progress = self.runs.live(run_id).progress
        if progress is not None and progress.tally.successor is not None:
            following = self.runs.described(self.runs.stack.execution_arn(progress.tally.successor))
            return following or found
        return found

    def _stopping(self, display: Display, queue: QueueRef, run_id: str) -> bool:
        lock = self._patiently(display, lambda: self.runs.holder(queue.arn))
        return lock is not None and lock.run_id == run_id and lock.stopping

    def _patiently[T](self, display: Display, read: Callable[[], T]) -> T:
        """Return what AWS answers, however often it must be asked."""
        pause, began = POLL_SECONDS, time.monotonic()
        while True:
            try:
                return read()
            except Exception as error:
                if not passes(error) or time.monotonic() - began > _PATIENCE:
                    raise
                if pause == POLL_SECONDS:
                    display.say(f"AWS doesn't answer ({error_code(error)}). Trying again ...")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _report_of(self, execution: Execution) -> Report:
        report = report_in(execution)
        if report is None:
            raise CommandError(
                f"The execution of {execution.run_id} has ended without a report: {execution.status}"
                f"{f' ({execution.error})' if execution.error else ''}. What it didn't move is still in the queue. "
                "Start another run: it makes visible again what this one kept invisible."
            )
        return report

    def _still_running(self, execution: Execution, text: str, code: int) -> CommandError:
        watch, stop = (again(redrive_command(verb, execution.reference)) for verb in ("watch", "stop"))
        return CommandError(f"{text} Watch it: {watch}  Stop it: {stop}", code)


def queue_of(account: Account, text: str) -> QueueRef | None:
    """Return the queue of that name, ARN, or URL; None if there is none."""
    try:
        return account.queues.find(text)
    except RejectedError:
        return None


def find_run(account: Account, runs: StackRuns, text: str) -> Execution:
    """Return the run that holds a queue, or else the run of that id or ARN.

    Raises
    ------
    CommandError
        If there is neither.
    """
    queue = queue_of(account, text)
    lock = None if queue is None else runs.holder(queue.arn)
    arn = lock.execution_arn if lock else text if text.startswith("arn:") else runs.stack.execution_arn(text)
    found = runs.described(arn)
    if found is not None and found.continues is not None:
        found = runs.described(runs.stack.execution_arn(found.continues)) or found
    if found is not None:
        return found
    stack = f"in the stack {runs.stack.name}"
    if queue is None:
        raise CommandError(f"There is no run {text} {stack}. See the runs in progress: {again('redrive watch')}")
    last = again(redrive_command("report", queue.name))
    raise CommandError(f"No run on {queue.name} is in progress {stack}. See the report of the last one: {last}")


def show_end(output: Output, run_id: str, execution: Execution, report: Report) -> Exit:
    """Show the report of a run, and return its exit code; `execution` is the one that ended with the report."""
    if output.as_json:
        output.document(run=run_id, report=report.model_dump(mode="json"))
    else:
        print_report(output, report, given=execution.given)
    if execution.error == "Redrive.NotPublished":
        output.warn("SNS rejected the report, so subscribers didn't get it.")
    return exit_of(report)


def _request(execution: Execution) -> RedriveRequest | None:
    try:
        return parse_request(execution.given)
    except RejectedError:
        return None


def report_in(execution: Execution) -> Report | None:
    """Return the report that an execution ended with; None if it has none."""
    try:
        return None if execution.result is None else Report.model_validate_json(execution.result)
    except ValidationError:
        return None


def _doing(live: Live) -> str:
    if live.progress is None:
        return "planning and sampling" if live.totals is None else "moving"
    tally = live.progress.tally
    if tally.next is Next.MOVE:
        return "moving"
    return _DOING[tally.next]


def _total(live: Live, request: RedriveRequest | None, at_first: int | None) -> int | None:
    if request is None or request.dry_run:
        return None
    plan = live.progress.plan if live.progress else None
    waiting = plan.waiting if isinstance(plan, RunPlan) else at_first
    if waiting is None:
        return request.max_messages
    return min(waiting, request.max_messages or waiting)


def _limit(live: Live, request: RedriveRequest | None) -> float | None:
    plan = live.progress.plan if live.progress else None
    if isinstance(plan, RunPlan):
        return smallest(plan.rate, live.progress.tally.max_rate if live.progress else None)
    return None if request is None or request.dry_run else request.rate
