"""What a sample says about where a message came from: by name if AWS confirms it, otherwise only what kind of thing.

Called by the summary. Whoever can send to a queue can write any ARN into a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from redrive.domain.judging.verdicts import Redrive, Verdict
from redrive.domain.messages.arns import arn_name
from redrive.domain.messages.destinations import unqualified
from redrive.domain.messages.opened import OpenedMessage
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.sampling.sample import OriginKind

# Kinds by the service in an ARN.
_KINDS: Mapping[str, OriginKind] = {
    "sqs": OriginKind.QUEUE,
    "lambda": OriginKind.FUNCTION,
    "events": OriginKind.RULE,
    "scheduler": OriginKind.SCHEDULE,
    "sns": OriginKind.TOPIC,
    "s3": OriginKind.BUCKET,
    "pipes": OriginKind.PIPE,
}


def origin_of(
    opened: OpenedMessage, verdict: Verdict, plan: RunPlan, confirmed: Callable[[str], bool]
) -> tuple[str | None, OriginKind | None]:
    """Return the name of what a message came from, None if AWS doesn't confirm it, and what kind of thing it is.

    Parameters
    ----------
    opened, verdict : OpenedMessage, Verdict
        The message, and the verdict on it.
    plan : RunPlan
        The run.
    confirmed : Callable[[str], bool]
        Whether AWS's configuration has confirmed an ARN.
    """
    arn = opened.origin
    if arn is None:
        return None, None
    kind = _KINDS.get(arn.split(":", 3)[2]) if arn.count(":") >= 5 else None
    # SQS itself writes the source, the plan's queues were looked up, and so was what a message is redriven to.
    known = {opened.received.source_arn, *(queue.arn for queue in plan.receivers)}
    if isinstance(verdict, Redrive):
        known.add(verdict.outbound.destination.arn)
    return arn_name(arn) if arn in known or unqualified(arn) in known or confirmed(arn) else None, kind
