"""The findings of `redrive doctor`: each has a severity and, unless all is well, a remedy."""

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
    #: A command, or a sentence if no command helps; None if the text says it or there's nothing to do.
    remedy: str | None = None


_STYLES = {Severity.PROBLEM: "red", Severity.WARNING: "yellow", Severity.UNKNOWN: "dim", Severity.OK: "green"}


def print_findings(output: Output, findings: Iterable[Finding]) -> None:
    """Print a line for each finding, with its remedy below."""
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
    return f"Ask whoever manages your AWS permissions for {permissions}."
