"""The record of a run: who started it, why, with which input, and what came of it, for whoever asks weeks later.

Made after the plan, after each round, and with the report; `redrive.adapters.run_records` keeps it. The `redrive`
command shows it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from redrive.domain.model import DisplayName, Model
from redrive.domain.moving.results import Counts
from redrive.domain.names import short_name
from redrive.domain.plan.request import MAX_BECAUSE, MAX_STARTED_BY, RedriveRequest, valid_request
from redrive.domain.plan.run_plan import RunIdentity, RunPlan
from redrive.domain.runs.rate_over_time import RatePoint, with_point
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Tally

# Bytes of JSON that are kept of each part. An item has at most 400 KB with its names (DynamoDB developer guide, "Quotas
# and limits"), an input may have 256 KiB (Step Functions developer guide, "Step Functions service quotas").
_MAX_INPUT = 64 * 1024
_MAX_PLAN = 64 * 1024
_MAX_REPORT = 192 * 1024
_KEYS = frozenset(field.alias or name for name, field in RedriveRequest.model_fields.items())


class RunRecord(Model):
    """What is kept of a run."""

    #: Name of the execution that the run began with, or a hash of it.
    run_id: DisplayName
    #: ARN of that execution.
    execution_arn: DisplayName
    #: Name of the dead-letter queue; None if the run was rejected and its input names none.
    dlq: DisplayName | None
    #: When the run started, in UTC.
    started_at: datetime
    #: When the record was written, in UTC.
    updated_at: datetime
    #: How the run ended, perhaps in a way that this version doesn't know; None until then.
    status: DisplayName | None = None
    #: Why it was started, according to its input.
    because: str | None = None
    #: Who started it, according to its input: a claim.
    started_by: str | None = None
    #: The input as it came, as far as it fits.
    input: Any = None
    #: The plan, which has the input with its defaults; None if the run was rejected before it had one.
    plan: dict[str, Any] | None = None
    #: Rounds so far.
    rounds: int = 0
    #: Lanes of the latest round.
    lanes: int = 0
    #: Messages by what happened to them so far.
    counts: Counts = Field(default_factory=Counts)
    #: How fast it was, in at most 60 points.
    rate_over_time: tuple[RatePoint, ...] = ()
    #: The report; None until the run has ended.
    report: dict[str, Any] | None = None
    #: Which parts didn't fit, and are missing here.
    cut: tuple[str, ...] = ()

    @property
    def known_as(self) -> str:
        """The execution's real ARN, even if the record shows a hash."""
        planned = (self.plan or {}).get("executionArn")
        return planned if isinstance(planned, str) else self.execution_arn

    @property
    def request(self) -> Mapping[str, Any] | None:
        """The input as it came; None if it's invalid, because then it can contain anything, or if it was cut."""
        if any(part.startswith("input") for part in self.cut):
            return None
        return valid_request(self.input)

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON. The input stays as it came, lone surrogates included."""
        return self.model_dump(mode="json", exclude={"input"}) | {"input": self.input}


def running_record(plan: RunPlan, tally: Tally, *, given: Any = None, now: datetime) -> RunRecord:
    """Return the record of a run that isn't over.

    Parameters
    ----------
    plan, tally : RunPlan, Tally
        The run, and how far it is.
    given : Any
        The input as it came; without it, the input as it was understood.
    now : datetime
        The time.
    """
    counts = tally.counts
    remaining = tally.queue.total if tally.queue else plan.waiting
    return _fitting(
        run_id=plan.run_id,
        execution_arn=plan.execution_arn,
        dlq=plan.dlq.name,
        started_at=plan.started,
        updated_at=now,
        because=plan.request.because,
        started_by=plan.request.started_by,
        input=_input(plan, given),
        plan=plan.model_dump(mode="json"),
        rounds=tally.rounds,
        lanes=len(tally.lanes),
        counts=counts + Counts(seen=counts.all_seen, remaining=remaining),
        rate_over_time=tally.rate_over_time,
    )


def final_record(report: Report, plan: RunIdentity | None, tally: Tally | None, *, given: Any) -> RunRecord:
    """Return the record of a run that has ended, however it did.

    Parameters
    ----------
    report : Report
        Its report.
    plan, tally : RunIdentity | None, Tally | None
        How far it got.
    given : Any
        The input of the execution that ends as it came; that of a continued run names the run and nothing else.
    """
    tally = tally or Tally()
    whole = plan if isinstance(plan, RunPlan) else None
    return _fitting(
        run_id=report.run_id,
        execution_arn=report.execution_arn,
        # What a rejected input names may be an ARN or a URL.
        dlq=report.dlq and short_name(report.dlq),
        started_at=report.started_at,
        updated_at=report.finished_at,
        status=report.status.value,
        because=whole.request.because if whole else _claim(given, "because", MAX_BECAUSE),
        started_by=whole.request.started_by if whole else _claim(given, "startedBy", MAX_STARTED_BY),
        input=_input(whole, given),
        plan=whole.model_dump(mode="json") if whole else None,
        rounds=tally.rounds,
        lanes=len(tally.lanes),
        counts=report.counts,
        rate_over_time=_to_the_end(report, tally),
        report=report.model_dump(mode="json"),
    )


def _input(plan: RunPlan | None, given: Any) -> Any:
    """Return the input as it came, or as it was understood if the execution that is at hand got another."""
    if plan is not None and not (isinstance(given, Mapping) and "dlq" in given):
        return plan.request.model_dump(mode="json", exclude_defaults=True)
    return given


def _claim(given: Any, key: str, length: int) -> str | None:
    found = given.get(key) if isinstance(given, Mapping) else None
    # JSON can have half of a character, which no database takes.
    return found[:length].encode(errors="replace").decode() if isinstance(found, str) else None


def _to_the_end(report: Report, tally: Tally) -> tuple[RatePoint, ...]:
    """Return the points, with one more if a round that was interrupted has moved something."""
    points, counts = tally.rate_over_time, report.counts
    if not points or (points[-1].redriven, points[-1].quarantined) == (counts.redriven, counts.quarantined):
        return points
    return with_point(points, counts, seconds=(report.finished_at - report.started_at).total_seconds())


# What fits


def _fitting(**parts: Any) -> RunRecord:
    """Return the record of these parts without what is too large, and with the names of that."""
    cut: list[str] = []
    parts["input"] = _fitting_input(parts["input"], cut)
    if _size(parts["plan"]) > _MAX_PLAN:
        parts["plan"] = None
        cut.append("plan")
    report = parts.get("report")
    if report is not None and _size(report) > _MAX_REPORT:
        report |= {"sample": None}
        cut.append("report.sample")
        if _size(report) > _MAX_REPORT:
            parts["report"] = None
            cut.append("report")
    return RunRecord(**parts, cut=tuple(cut))


def _fitting_input(given: Any, cut: list[str]) -> Any:
    if _size(given) <= _MAX_INPUT:
        return given
    if not isinstance(given, Mapping):
        cut.append("input")
        return None
    kept, room = {}, _MAX_INPUT
    for key, value in sorted(given.items(), key=_size):
        room -= _size({key: value})
        if room >= 0:
            kept[key] = value
        else:
            # Another key can be any text.
            cut.append(f"input.{key}" if key in _KEYS else "input")
    return kept


def _size(part: Any) -> int:
    return len(json.dumps(part))
