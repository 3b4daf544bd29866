"""Prints the consumers of queues in a terminal, and warns about settings that would hurt a redrive.

Used by the commands that look at a queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from redrive.command.output import Output
from redrive.command.shared import aws
from redrive.domain.messages.consumers import ConsumedQueue, Consumer


def print_consumers(output: Output, queues: Iterable[ConsumedQueue], unreadable: Iterable[str]) -> None:
    """Print a line for each consumer, then the warnings.

    Parameters
    ----------
    output : Output
        Where to print.
    queues : Iterable[ConsumedQueue]
        The queues that messages go to.
    unreadable : Iterable[str]
        What couldn't be read about them.
    """
    queues = list(queues)
    lines = [line for queue in queues for line in _lines(queue)]
    if lines:
        output.text()
    for line in lines:
        output.text(line)
    for queue in queues:
        for warning in queue.warnings:
            output.text(f"Warning: {warning.text}", style="yellow")
            output.say(f"  {warning.remedy}")
    if missing := sorted(unreadable):
        output.say(
            f"Some facts about consumers are missing, because these credentials don't allow {', '.join(missing)}."
        )


def placed(queues: Iterable[ConsumedQueue]) -> list[ConsumedQueue]:
    """Return the queues with this process's profile and Region added to their warnings' remedies."""
    return [
        queue.model_copy(
            update={
                "warnings": tuple(
                    warning.model_copy(update={"remedy": aws(warning.remedy)}) for warning in queue.warnings
                )
            }
        )
        for queue in queues
    ]


def settings_of(consumer: Consumer) -> str:
    """Return a function's settings as a consumer, in one line."""
    limit = consumer.max_concurrency
    window = f" after up to {consumer.batching_window} s" if consumer.batching_window else ""
    return ", ".join(
        [
            consumer.state.lower(),
            f"batches of up to {consumer.batch_size:,}{window}",
            "no maximum concurrency" if limit is None else f"at most {limit:,} at once",
            "timeout unknown" if consumer.timeout is None else f"timeout {consumer.timeout} s",
        ]
    )


def _lines(queue: ConsumedQueue) -> Iterator[str]:
    for consumer in queue.consumers or ():
        yield f"{queue.queue} is consumed by {consumer.function}: {settings_of(consumer)}"
    if queue.consumers == ():
        yield f"No function in this account consumes {queue.queue}. If nothing else does, messages pile up."
