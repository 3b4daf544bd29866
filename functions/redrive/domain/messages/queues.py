"""A queue as the whole app refers to it.

Made by `redrive.adapters.sqs`; embedded in plans and destinations.
"""

from __future__ import annotations

from redrive.domain.model import Model


class QueueRef(Model):
    """A queue that exists."""

    name: str
    arn: str
    url: str
    fifo: bool
