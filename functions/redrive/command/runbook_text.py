"""The runbook of a dead-letter queue as Markdown, generated from what's deployed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from redrive import VERSION
from redrive.adapters.stack import Stack
from redrive.command.consumers_text import settings_of
from redrive.command.markdown import block, code, table, text
from redrive.command.output import ago
from redrive.command.shared import again
from redrive.domain.messages.arns import console_address
from redrive.domain.messages.consumers import ConsumedQueue, Consumer
from redrive.domain.messages.queues import QueueRef
from redrive.domain.moving.results import smallest

# Tag names, without a prefix, that name an owner.
_OWNERS = frozenset({"owner", "owners", "team", "contact", "oncall", "on-call"})
# Rate (messages per second) and size of the first run.
_CAREFUL, _FEW = 5, 10


@dataclass(frozen=True)
class Runbook:
    """The facts about a dead-letter queue, and the page made from them."""

    dlq: QueueRef
    #: In seconds.
    retention: int
    tags: Mapping[str, str]
    consumed: list[ConsumedQueue]
    #: Maximum messages per second for each source queue, by its name; None if it declares none.
    max_rates: Mapping[str, float | None]
    #: Location of each source queue's contract, by the queue's name. Queues without a known contract are missing.
    contracts: Mapping[str, str]
    #: The stack that covers the queue; None without one.
    stack: Stack | None
    #: What couldn't be read.
    unreadable: list[str]
    made_at: datetime

    def __str__(self) -> str:
        """Return the page."""
        return "\n\n".join(self._parts()) + "\n"

    def _parts(self) -> Iterator[str]:
        name = text(self.dlq.name)
        _, _, _, region, account, _ = self.dlq.arn.split(":")
        yield f"# Runbook: {name}"
        command = again(f"redrive runbook {self.dlq.name}")
        yield (
            f"Made by {code(command)}, version {VERSION}, on {self.made_at:%Y-%m-%d} from what is deployed in account "
            f"{account}, {region}. After changes, make it again."
        )
        yield table(("", ""), self._facts())
        yield "## Consumers"
        yield from self._consumers()
        yield "## Redrive"
        yield from self._steps()

    def _facts(self) -> Iterator[tuple[str, str]]:
        owners = [tag for tag in self.tags if tag.rsplit(":", 1)[-1].lower() in _OWNERS]
        for tag in sorted(owners):
            yield f"Tag {code(tag)}", text(self.tags[tag])
        if not owners:
            yield "Owner", f"no tag names one, such as {code('owner')}"
        yield "Source queues", ", ".join(code(queue.queue) for queue in self.consumed) or "none: name a destination"
        # SQS developer guide, "Using dead-letter queues".
        since = "it arrived in this queue" if self.dlq.fifo else "it was first sent"
        yield "Deadline", f"SQS deletes a message {ago(self.retention)} after {since}"
        for source, rate in self.max_rates.items():
            if rate is not None:
                yield f"Max rate of {code(source)}", f"{rate:g} messages per second"
        for source, location in self.contracts.items():
            yield f"Contract of {code(source)}", code(location)
        if self.stack is not None:
            yield "Stack", f"{code(self.stack.name)}, version {text(self.stack.version)}"
        else:
            yield "Stack", "none covers this queue"

    def _consumers(self) -> Iterator[str]:
        rows = [
            (code(queue.queue), code(consumer.function), settings_of(consumer), self._logs(consumer))
            for queue in self.consumed
            for consumer in queue.consumers or ()
        ]
        if rows:
            yield table(("Queue", "Function", "Settings", "Logs"), rows)
        without = [code(queue.queue) for queue in self.consumed if queue.consumers == ()]
        if without:
            yield f"No function of this account consumes {', '.join(without)}."
        if self.unreadable:
            yield f"Not all is known, because {', '.join(map(code, self.unreadable))} was denied or failed."
        for queue in self.consumed:
            for warning in queue.warnings:
                yield f"**Before a redrive:** {text(warning.text)}"
                yield block([warning.remedy])

    def _logs(self, consumer: Consumer) -> str:
        if consumer.log_group is None:
            return ""
        # The console encodes the name twice, with $ in the place of %.
        group = quote(quote(consumer.log_group, safe=""), safe="").replace("%", "$")
        page = console_address(self.dlq.arn, "cloudwatch", f"logsV2:log-groups/log-group/{group}")
        return f"[{text(consumer.log_group)}]({page})"

    def _steps(self) -> Iterator[str]:
        name, stack = self.dlq.name, self.stack
        yield "See what failed, why, and where it would go:"
        yield block([again(f"redrive look {name}")])
        yield "Correct the cause first: messages that fail again come back. See what a run would do:"
        to = "" if self.consumed else " --destination QUEUE"
        yield block([again(f"redrive start {name}{to} --dry-run") if stack else again(f"redrive plan {name}{to}")])
        yield "Redrive a few and see that none comes back, then the rest. Both show the plan and ask first:"
        because = ' --because "INCIDENT: why"' if stack else ""
        verb, watch = ("start", " --watch") if stack else ("move", "")
        rate = smallest(*self.max_rates.values()) if self.max_rates else None
        limits = f" --rate {min(_CAREFUL, rate or _CAREFUL):g} --max-messages {_FEW}"
        rest = "" if rate is None else f" --rate {rate:g}"
        yield block(again(f"redrive {verb} {name}{to}{limit}{watch}{because}") for limit in (limits, rest))
        if stack is None:
            yield "Stop it with Ctrl-C: it ends at a safe point. If anything else interrupts it, resume it:"
            yield block([again(f"redrive move {name} --resume")])
            return
        yield "Watch it from any computer, and stop it: nothing is lost, and another run moves what is left."
        yield block([again(f"redrive watch {name}"), again(f"redrive stop {name}")])
        yield "See what was done, and what was quarantined:"
        quarantine = stack.quarantine_url.rsplit("/", 1)[-1]
        # Only the stack knows where the messages in its quarantine belong.
        yield block([again(f"redrive runs {name}"), again(f"redrive start {quarantine} --dry-run")])
