"""The queue for messages that must not be redriven, for runs without a stack.

Used by `redrive move`, which creates it if the operator wants it to. A stack has its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueRef

if TYPE_CHECKING:
    from redrive.adapters.account import Account

#: Its name.
NAME = "redrive-quarantine"
# The longest retention, in seconds (SQS API reference, CreateQueue).
_RETENTION = 14 * 24 * 3600
_TAGS = {"created-by": "redrive move"}


def create_quarantine(account: Account) -> QueueRef:
    """Return the quarantine, which is created if it isn't there: encrypted, without plain HTTP, for 14 days.

    Raises
    ------
    RejectedError
        If there is a queue of that name that this command hasn't created.
    """
    found = account.queues.find(NAME)
    if found is None:
        meta = account.sqs.meta
        arn = f"arn:{meta.partition}:sqs:{meta.region_name}:{account.caller().account_id}:{NAME}"
        account.sqs.create_queue(
            QueueName=NAME,
            Attributes={
                "MessageRetentionPeriod": str(_RETENTION),
                "SqsManagedSseEnabled": "true",
                "Policy": json.dumps(_policy(arn)),
            },
            tags=_TAGS,
        )
        found = account.queues.find(NAME)
    if found is None:
        raise RejectedError(f"{NAME} was created a moment ago, but SQS doesn't list it yet. Start again in a minute.")
    if _TAGS.items() <= account.queues.tags(found).items():
        return found
    raise RejectedError(
        f"There is a queue {NAME} that this command hasn't created: its tags say nothing of it. If messages may go "
        f"there that must not be redriven, name it: --quarantine {NAME}"
    )


def _policy(arn: str) -> dict[str, object]:
    """Return what refuses plain HTTP (SQS developer guide, "Amazon SQS security best practices")."""
    statement = {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
