"""What template.yaml passes to the functions through their environment.

Read once by each handler module when Lambda loads it.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Json

from redrive.domain.messages.destinations import DeliveryPolicy, unqualified


class Settings(BaseModel):
    """The environment of a redrive function; what a function doesn't need isn't set there."""

    model_config = ConfigDict(hide_input_in_errors=True)

    #: Name of the runs table.
    run_table: str = ""
    #: The queue for messages that must not be redriven.
    quarantine_queue_arn: str = ""
    #: Which queue or function has which contract (`redrive.contracts.registry`).
    queue_contracts: str = ""
    #: Whether a run that moves messages must say why.
    require_reason: bool = False
    #: How many days the record of a run is kept.
    record_days: int = 90
    #: The account that the stack is in.
    account_id: str = ""
    #: Name of the bucket of report pages; empty for none.
    report_bucket: str = ""
    #: Host of AWS's console, without the Region.
    console_host: str = ""
    #: Which client moves messages: `lean` (`redrive.adapters.batch_client`) or boto3's.
    sqs_client: Literal["lean", "boto3"] = "boto3"
    #: How long one slice moves messages, in seconds.
    slice_seconds: float = 60.0
    #: Events in an execution's history after which the run continues in a new one; None for the default.
    max_history_events: int | None = None
    #: ARNs of what may be delivered to besides queues, separated by spaces.
    destination_arns: str = ""
    #: Unique ids of the mover's role and of its former roles, separated by spaces.
    mover_role_ids: str = ""
    #: Whether samples show error texts.
    show_error_texts: bool = False
    #: Keys of the input of a run that an alarm starts.
    automatic_run_input: Json[dict[str, Any]] = {}
    #: Minutes that an alarm must stay on before a run starts, and between the first two such runs.
    automatic_after_minutes: float = 0.0
    automatic_delay_minutes: float = 15.0
    #: Runs that may start automatically on one queue, in 24 hours and in a row.
    automatic_max_runs: int = 3

    @property
    def delivery_policy(self) -> DeliveryPolicy:
        """What besides queues may be delivered to."""
        return DeliveryPolicy(frozenset(unqualified(arn) for arn in self.destination_arns.split()))

    @property
    def movers(self) -> frozenset[str]:
        """Whose `redrive` attribute is believed."""
        return frozenset(self.mover_role_ids.split())


def settings() -> Settings:
    """Return the settings in the environment."""
    names = {name.upper(): name for name in Settings.model_fields}
    return Settings.model_validate({names[key]: value for key, value in os.environ.items() if key in names})
