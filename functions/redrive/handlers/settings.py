"""What template.yaml tells the functions through their environment.

Read once by each handler module when Lambda loads it.
"""

from __future__ import annotations

import os
from typing import Any

from pydantic import BaseModel, Json

from redrive.domain.automation import Limits
from redrive.domain.destinations import Allowed
from redrive.domain.tallying import MAX_HISTORY_EVENTS


class Settings(BaseModel):
    """The environment of a redrive function; what a function does not need is not set there.

    Attributes
    ----------
    run_table : str
        Name of the DynamoDB table of runs.
    quarantine_queue_url, quarantine_queue_arn : str
        The queue for letters that must not be redriven.
    queue_contracts : str
        Which queue or function has which contract (`contracts.registry.ContractMapping`).
    slice_seconds : float
        How long one slice moves letters.
    max_history_events : int
        Events in an execution's history after which the run goes on in a new one.
    function_name_patterns, state_machine_name_patterns : str
        Names of what may be delivered to beside queues, with blanks between and the wildcard `*` in them.
    automatic_run_input : dict[str, Any]
        Keys of the input of a run that an alarm starts.
    automatic_after_minutes, automatic_delay_minutes : float
        Minutes that an alarm must last before a run starts, and between the first two such runs.
    automatic_max_runs : int
        Runs that may start by themselves on one queue, in 24 hours and in a row.
    """

    run_table: str = ""
    quarantine_queue_url: str = ""
    quarantine_queue_arn: str = ""
    queue_contracts: str = ""
    slice_seconds: float = 60.0
    max_history_events: int = MAX_HISTORY_EVENTS
    function_name_patterns: str = ""
    state_machine_name_patterns: str = ""
    automatic_run_input: Json[dict[str, Any]] = {}
    automatic_after_minutes: float = 0.0
    automatic_delay_minutes: float = 15.0
    automatic_max_runs: int = 3

    @property
    def limits(self) -> Limits:
        """How often runs may start by themselves."""
        return Limits(
            first_delay=self.automatic_delay_minutes * 60,
            most_runs=self.automatic_max_runs,
            after_alarm=self.automatic_after_minutes * 60,
        )

    @property
    def allowed(self) -> Allowed:
        """What may be delivered to beside queues."""
        return Allowed(
            tuple(self.function_name_patterns.split()), tuple(self.state_machine_name_patterns.split())
        )


def settings() -> Settings:
    """Return the settings in the environment."""
    names = {name.upper(): name for name in Settings.model_fields}
    return Settings.model_validate({names[key]: value for key, value in os.environ.items() if key in names})
