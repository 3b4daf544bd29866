"""What `redrive doctor` found: each with its severity and, unless all is well, what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from redrive.command.output import Output


class Severity(StrEnum):
    """How much a finding matters."""

    #: A run would be rejected or fail, or messages would be lost.
    PROBLEM = "problem"
    #: It works, but not as it should.
    WARNING = "warning"
    #: It couldn't be checked.
    UNKNOWN = "unknown"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    severity: Severity
    #: Which check: credentials, queues, permissions, stack, patterns, runs, contracts, topics, keys, retention, or
    #: consumers.
    check: str
    text: str
    #: A command, or a sentence where there is none; None if the text says it or nothing has to be done.
    remedy: str | None = None


_STYLES = {Severity.PROBLEM: "red", Severity.WARNING: "yellow", Severity.UNKNOWN: "dim", Severity.OK: "green"}


def print_findings(output: Output, findings: Iterable[Finding]) -> None:
    """Print a line per finding, and what to do below it."""
    for finding in findings:
        if output.quiet and finding.severity is Severity.OK:
            continue
        line = f"{finding.severity.value.upper():<8} {finding.check}: {finding.text}"
        output.text(line, style=_STYLES[finding.severity])
        if finding.remedy is not None:
            output.text(f"    {finding.remedy}", whole=True)


def document_of(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return findings as JSON."""
    return [asdict(finding) for finding in findings]


def ask_for(permissions: str) -> str:
    """Return the remedy for missing permissions."""
    return f"Ask whoever manages your access for {permissions}."
