"""Makes reports and the errors that end runs, for the tests of reports and their messages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from redrive.domain.messages.queues import QueueCounts
from redrive.domain.runs.ending import StateError
from redrive.domain.runs.report import Report, make_report
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample
from tests.support import factories

NOW = datetime.fromtimestamp(factories.STARTED_AT / 1000, UTC) + timedelta(minutes=5)


def state_error(error: str, text: str = "secret") -> StateError:
    """Return an error as Lambda and Step Functions pass it on."""
    cause = json.dumps({"errorMessage": text, "errorType": error, "stackTrace": [f"raise {error}({text!r})"]})
    return StateError.model_validate({"Error": error, "Cause": cause})


def report(**changes: Any) -> Report:
    """Return the report of a run; what isn't given is that of a run that found nothing to do.

    `in_queue` is the number of visible messages.
    """
    values: dict[str, Any] = {
        "given": {"dlq": "orders-dlq"},
        "execution": factories.execution(),
        "plan": factories.plan(),
        "sample": Sample(sampled=10),
        "tally": Tally(),
        "error": None,
        "queue": QueueCounts(visible=changes.pop("in_queue", 0)),
        "in_next_queue": None,
        "now": NOW,
    }
    return make_report(**(values | changes))
