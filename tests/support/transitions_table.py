"""The lane's table of transitions in Markdown, as docs/design/moving.md shows it."""

from __future__ import annotations

import inspect
import re

from redrive.domain.moving.transitions import TRANSITIONS, Event, Stage

# What a member of an enumeration means is said in the comment behind it.
_MEMBER = re.compile(r'^ +([A-Z_]+) = ".*"  # (.*)$', re.MULTILINE)


def transitions_table() -> str:
    """Return what each stage waits for, and each transition with what causes it."""
    stages, events = _meanings(Stage), _meanings(Event)
    lines = ["| stage | what the message waits for |", "| --- | --- |"]
    lines += [f"| {stage} | {stages[stage.name]} |" for stage in Stage]
    lines += ["", "| from | event | what happens | to |", "| --- | --- | --- | --- |"]
    lines += [f"| {stage} | {event} | {events[event.name]} | {to} |" for (stage, event), to in TRANSITIONS.items()]
    return "\n".join(lines)


def _meanings(members: type) -> dict[str, str]:
    return dict(_MEMBER.findall(inspect.getsource(members)))
