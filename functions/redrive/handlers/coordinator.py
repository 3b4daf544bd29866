"""Plans, tallies, cleans up, and reports: every step of a run that needs no access to what is in a message.

Called by the states Plan, Resume, Tally, CleanUp, and Report. One function, because they need the same permissions.
"""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import ConfigDict

from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.contract_store import ContractStore
from redrive.adapters.executions import Executions
from redrive.adapters.rate_shares import RateShares
from redrive.adapters.report_pages import ReportPages
from redrive.adapters.run_records import RunRecords
from redrive.adapters.run_table import RunTable
from redrive.adapters.sqs import Queues, sqs_client
from redrive.adapters.table import dynamodb_client
from redrive.domain.errors import unexpected
from redrive.domain.model import Model
from redrive.domain.moving.results import SliceResult
from redrive.domain.plan.run_plan import AnyPlan, Execution, RunPlan
from redrive.domain.runs.continuation import RunProgress
from redrive.domain.runs.ending import StateError
from redrive.domain.runs.record import RunRecord, final_record, running_record
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import MAX_HISTORY_EVENTS, AnyTally, Tally
from redrive.domain.sampling.sample import AnySample, Sample
from redrive.runtime.metrics import RunMetrics
from redrive.runtime.settings import settings
from redrive.runtime.start import started
from redrive.runtime.task import StepHandler, logger, task
from redrive.workflow.clean_up import clean_up
from redrive.workflow.plan import Planned, plan
from redrive.workflow.report import Reported, counts_at_end, report
from redrive.workflow.resume import resume
from redrive.workflow.tally import tally

_settings = settings()
_queues = Queues(sqs_client())
_dynamodb = dynamodb_client()
_table = RunTable(_settings.run_table, _dynamodb)
_checkpoints = Checkpoints(_settings.run_table, _dynamodb)
_executions = Executions()
_shares = RateShares(_settings.run_table, _executions, _dynamodb)
_metrics = RunMetrics(_table)
_records = RunRecords(_settings.run_table, _dynamodb, days=_settings.record_days)
_pages = ReportPages(_settings.report_bucket, _settings.account_id, _settings.console_host)
# The workflow that a run began with may pass on more.
_OF_ANY_VERSION = ConfigDict(extra="ignore")


class PlanTask(Model):
    """The execution's input as it came, and the execution."""

    step: Literal["plan"]
    input: Any
    execution: Execution


class ResumeTask(Model):
    """The continuation in the execution's input as it came, and the execution."""

    step: Literal["resume"]
    continuation: Any
    execution: Execution


class TallyTask(Model):
    """The run, its sample, its tally before the round, what the lanes did in it, and how many attempts came before."""

    step: Literal["tally"]
    plan: RunPlan
    sample: Sample
    tally: Tally
    slices: tuple[SliceResult, ...]
    retries: int = 0


class CleanUpTask(Model):
    """The run and its tally after the last round that was added up."""

    model_config = _OF_ANY_VERSION

    step: Literal["clean-up"]
    plan: AnyPlan
    tally: AnyTally


class ReportTask(Model):
    """How far the run got, and what ended it early."""

    model_config = _OF_ANY_VERSION

    step: Literal["report"]
    input: Any
    execution: Execution
    plan: AnyPlan | None = None
    sample: AnySample | None = None
    tally: AnyTally | None = None
    failure: StateError | None = None


@task
def _plan(event: PlanTask, _context: LambdaContext) -> Planned:
    contracts = ContractStore(_settings.queue_contracts, _settings.account_id)
    contracts.mapping()
    planned = plan(
        event.input,
        event.execution,
        quarantine_arn=_settings.quarantine_queue_arn,
        queues=_queues,
        store=_table,
        checkpoints=_checkpoints,
        executions=_executions,
        shares=_shares,
        find_contract=contracts.find,
        delivery_policy=_settings.delivery_policy,
        require_reason=_settings.require_reason,
        pause=time.sleep,
    )
    made = planned.plan
    logger.info(
        "planned",
        dlq=made.dlq.name,
        waiting=made.waiting,
        rate=made.rate,
        maxRate=made.max_rate,
        dryRun=made.request.dry_run,
    )
    _keep(lambda: running_record(made, planned.tally, given=event.input, now=datetime.now(UTC)))
    return planned


@task
def _resume(event: ResumeTask, _context: LambdaContext) -> RunProgress:
    taken_over = resume(event.continuation, event.execution, store=_table)
    logger.info("resumed", dlq=taken_over.plan.dlq.name, runId=taken_over.plan.run_id, round=taken_over.tally.rounds)
    return taken_over


@task
def _tally(event: TallyTask, _context: LambdaContext) -> Tally:
    now = datetime.now(UTC)
    after = tally(
        event.plan,
        event.sample,
        event.tally,
        event.slices,
        queues=_queues,
        store=_table,
        metrics=_metrics,
        token=lambda: secrets.token_hex(8),
        now=now,
        retries=event.retries,
        max_history_events=_settings.max_history_events or MAX_HISTORY_EVENTS,
    )
    logger.info("round done", round=after.rounds, moved=after.counts.moved, next=after.next)
    _keep(lambda: running_record(event.plan, after, now=now))
    return after


@task
def _clean_up(event: CleanUpTask, _context: LambdaContext) -> Tally:
    done = clean_up(
        event.plan,
        event.tally,
        queues=_queues,
        store=_table,
        checkpoints=_checkpoints,
        shares=_shares,
        metrics=_metrics,
        pause=time.sleep,
    )
    logger.info("cleaned up", released=done.released, notReleased=done.not_released)
    return done.tally


@task
def _report(event: ReportTask, _context: LambdaContext) -> Reported:
    queue, in_next_queue = counts_at_end(event.plan, event.input, _queues)
    if event.plan and queue is None:
        # The report goes out all the same; what remains is what the lanes know.
        logger.warning("the queue can't be read", dlq=event.plan.dlq.name)
    reported = report(
        given=event.input,
        execution=event.execution,
        plan=event.plan,
        sample=event.sample,
        tally=event.tally,
        error=event.failure,
        queue=queue,
        in_next_queue=in_next_queue,
        metrics=_metrics,
        write_page=lambda made: _write_page(event, made),
        now=datetime.now(UTC),
    )
    made = reported.report
    _keep(lambda: final_record(made, event.plan, event.tally, given=event.input))
    logger.info("reported", status=made.status, dlq=made.dlq, **made.counts.model_dump())
    return reported


def _keep(make: Callable[[], RunRecord]) -> None:
    """Keep a record of the run. It is for people who ask later, so nothing that goes wrong with it ends the run."""
    try:
        _records.keep(make())
    except Exception as error:  # noqa: BLE001
        logger.warning("record not kept", error=str(unexpected(error)))


def _write_page(event: ReportTask, made: Report) -> str | None:
    """Write the page of a run, and return its address. Whatever goes wrong with it, the run has its report."""
    try:
        # Only this step makes a page.
        from redrive.domain.page.document import page_key, page_of  # noqa: PLC0415

        record = final_record(made, event.plan, event.tally, given=event.input)
        return _pages.write(page_key(made), page_of(made, record))
    except Exception as error:  # noqa: BLE001
        logger.warning("page not written", error=str(unexpected(error)))
        return None


handler = StepHandler({"plan": _plan, "resume": _resume, "tally": _tally, "clean-up": _clean_up, "report": _report})

started()
