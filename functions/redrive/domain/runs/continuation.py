"""How a long run continues: what the input of its next execution says, and what the runs table has about the run.

Used by the tally step, which names the next execution, and by that execution's first step, which takes over.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from redrive.domain.model import Model
from redrive.domain.plan.run_plan import AnyPlan
from redrive.domain.runs.tally import AnyTally
from redrive.domain.sampling.sample import AnySample

# A name has at most 80 characters (Step Functions developer guide, "Step Functions service quotas").
_MAX_NAME = 80


class Continuation(Model):
    """The input of an execution that continues a run."""

    #: The run's id. Whether this execution may continue the run is recorded in the runs table.
    run: Annotated[str, Field(min_length=1, max_length=_MAX_NAME)]


class RunProgress(Model):
    """How far a run is. It is recorded after each round, perhaps by a version with another format."""

    plan: AnyPlan
    #: What the run's sample showed.
    sample: AnySample
    tally: AnyTally


def successor_name(run_id: str, token: str) -> str:
    """Return the name of the execution that a run continues in.

    Parameters
    ----------
    run_id : str
        The run.
    token : str
        What nobody can guess. Otherwise, anyone who may start executions could start one of this name first, and the
        run couldn't continue.
    """
    return f"{run_id[: _MAX_NAME - len(token) - 1]}-{token}"
