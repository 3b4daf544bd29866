"""A dry run in this process, as a stack would play it, with the operator's credentials.

Used by the commands that show what would happen. Plays the steps Plan, Sample, and Report; moves nothing and keeps
nothing, and messages become visible again at once.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from redrive.adapters.account import Account
from redrive.adapters.failure_destinations import FailureDestinations
from redrive.adapters.sqs import Queues
from redrive.command.output import Output
from redrive.command.refusals import refused, unroutable
from redrive.contracts.contract import MessageContract
from redrive.domain.errors import RejectedError
from redrive.domain.judging.judge import Judgment
from redrive.domain.judging.verdicts import Redrive
from redrive.domain.messages.destinations import DeliveryPolicy
from redrive.domain.messages.queues import QueueAddress
from redrive.domain.plan.planning import check_contracts, check_trusted, plan_run
from redrive.domain.plan.request import parse_request
from redrive.domain.plan.run_plan import Execution, RunPlan
from redrive.domain.runs.report import Report, make_report
from redrive.domain.sampling.sample import SampleGroup
from redrive.workflow.memory import Facts
from redrive.workflow.ports import Peek
from redrive.workflow.sample import sample

#: Messages that are looked at. A run looks at fewer, because it shows nothing to anybody before it moves them.
SAMPLE = 100
# A full scan of 120,000 messages takes a minute.
_SECONDS = 300.0
_PROGRESS_EVERY = 1_000


class NoFacts:
    """There is no runs table: nothing is known of what earlier runs did."""

    def recall(self, _ids: Iterable[str]) -> Mapping[str, str]:
        """Return nothing."""
        return {}

    def record(self, _provenance_by_id: Mapping[str, str]) -> None:
        """Nothing is moved, so nothing is recorded."""
        raise NotImplementedError


@dataclass(frozen=True)
class Deployment:
    """What a deployment knows besides the queues; without one, none of it."""

    quarantine_arn: str | None = None
    facts: Facts = field(default_factory=NoFacts)
    delivery_policy: DeliveryPolicy = field(default_factory=DeliveryPolicy)
    #: Unique ids of the roles whose `redrive` attribute is believed.
    movers: frozenset[str] = frozenset()


class Seen(NamedTuple):
    """A message that was looked at."""

    #: As ReceiveMessage returned it.
    message: Mapping[str, Any]
    judgment: Judgment
    group: SampleGroup

    @property
    def sent_at(self) -> int:
        """When it was sent, in milliseconds since 1970."""
        return int(self.message["Attributes"]["SentTimestamp"])

    @property
    def receiver(self) -> QueueAddress | None:
        """The queue that the message would go to; None if it would go nowhere, or not to a queue."""
        verdict = self.judgment.verdict
        if not isinstance(verdict, Redrive) or not verdict.outbound.destination.takes_batches:
            return None
        destination = verdict.outbound.destination
        return QueueAddress(name=destination.name, arn=destination.arn, url=destination.address)


def dry_run(
    account: Account,
    given: Mapping[str, Any],
    output: Output,
    *,
    find_contract: Callable[[str], MessageContract | None],
    deployment: Deployment | None = None,
    planned: Callable[[RunPlan], None] = lambda _: None,
    seen: Callable[[Seen], None] = lambda _: None,
) -> Report:
    """Return the report of a dry run in this process.

    Parameters
    ----------
    account : Account
        Where the queue is.
    given : Mapping[str, Any]
        The input of a run.
    output : Output
        Where progress is shown.
    find_contract : Callable[[str], MessageContract | None]
        Port.
    deployment : Deployment | None
        The deployment that a run would be started in.
    planned : Callable[[RunPlan], None]
        Called with the plan.
    seen : Callable[[Seen], None]
        Called with each message that was looked at.

    Raises
    ------
    CommandError
        If a run with this input would be rejected.
    """
    deployment = deployment or Deployment()
    given = {"sampleSize": SAMPLE, **given, "dryRun": True}
    now = datetime.now(UTC)
    execution = Execution(id="", name=f"dry-run-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}", started_at=now)
    queues = _Watched(account.queues, output)
    try:
        plan = plan_run(parse_request(given), execution, queues, deployment.quarantine_arn)
        if deployment.quarantine_arn is not None:
            check_trusted(plan, queues, deployment.delivery_policy)
    except RejectedError as error:
        raise refused(account, error) from None
    check_contracts(plan, find_contract)
    planned(plan)
    errors: list[str] = []
    try:
        found = sample(
            plan,
            queues=queues,
            facts=deployment.facts,
            find_contract=find_contract,
            delivery_policy=deployment.delivery_policy,
            confirm=FailureDestinations().confirm,
            movers=deployment.movers,
            log_error=lambda message_id, error: errors.append(f"{message_id}: {error}"),
            seconds=_SECONDS,
            retries=0,
            pause=time.sleep,
            now=lambda: datetime.now(UTC),
            seen=lambda message, judgment, group: seen(Seen(queues.in_hand.pop(message.message_id), judgment, group)),
        )
    except RejectedError as error:
        raise unroutable(error, plan.dlq.name) from None
    for text in errors[:10]:
        output.warn(f"Message {text} (unexpected error)")
    facts = account.queues.readable_facts(plan.dlq)
    return make_report(
        given=given,
        execution=execution,
        plan=plan,
        sample=found,
        tally=None,
        error=None,
        queue=facts.counts if facts else None,
        in_next_queue=None,
        now=datetime.now(UTC),
    )


class _Watched:
    """The queues, with progress while messages are peeked at, and the messages that weren't judged yet."""

    def __init__(self, queues: Queues, output: Output) -> None:
        self._queues = queues
        self._output = output
        self.in_hand: dict[str, Mapping[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queues, name)

    def peek(self, peek: Peek, seconds: float) -> Generator[dict[str, Any]]:
        """Yield messages, each once; all are visible again at the end."""
        for number, message in enumerate(self._queues.peek(peek, seconds), start=1):
            self.in_hand[message["MessageId"]] = message
            if number % _PROGRESS_EVERY == 0:
                self._output.say(f"{number:,} messages looked at ...")
            yield message
