"""Presents the results: each target with its measured value, and the table of tools, in docs/design/benchmarks.md.

Used by `bench.__main__`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "design" / "benchmarks.md"
_BEGIN = "<!-- measured: begin (written by `make bench`) -->"
_END = "<!-- measured: end -->"

type Results = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A target for the redrive."""

    #: What is measured.
    what: str
    #: What the value must be.
    bound: str
    #: The key in the results that has the value.
    needs: str
    #: Returns the measured value as text.
    value: Callable[[Results], str]
    #: Returns whether the target is met.
    is_met: Callable[[Results], bool]


def _point(results: Results, messages: int) -> Any:
    return next(point for point in results["growth"]["points"] if point["messages"] == messages)


def _highest(values: Mapping[str, float]) -> tuple[str, float]:
    return max(values.items(), key=lambda entry: entry[1])


def _best_peer(results: Results) -> tuple[str, float]:
    measured = (name for name, row in results["peers"].items() if "messages_per_second" in row)
    return _highest({name: results["peers"][name]["messages_per_second"] for name in measured})


def _slowest(results: Results, package: str) -> tuple[str, float]:
    return _highest({name: ratio for name, ratio in results["import_ratio"].items() if name.startswith(package)})


def _most_extra_writes(results: Results) -> tuple[str, float]:
    return _highest({name: row["extra_writes"] for name, row in results["consumers"].items()})


def _schema_verdict(results: Results) -> float:
    return float(results["microseconds_per_message"]["store event, JSON Schema contract"]["verdict"])


TARGETS = (
    Target(
        "SQS calls per message, 10,000 messages",
        "at most 0.305",
        "growth",
        lambda results: f"{_point(results, 10_000)['calls_per_message']:.4f}",
        lambda results: bool(_point(results, 10_000)["calls_per_message"] <= 0.305),
    ),
    Target(
        "speed, as a share of the fastest loop that judges nothing",
        "at least 1.8",
        "vs_best_loop",
        lambda results: f"{results['vs_best_loop']:.2f}",
        lambda results: bool(results["vs_best_loop"] >= 1.8),
    ),
    Target(
        "speed, compared with the fastest other tool",
        "at least 2.0 times",
        "vs_best_peer",
        lambda results: "{:.2f} ({:.0f}/s, {} {:.0f}/s)".format(
            results["vs_best_peer"], results["ours"]["messages_per_second"], *_best_peer(results)
        ),
        lambda results: bool(results["vs_best_peer"] >= 2.0),
    ),
    Target(
        "what the endpoint can do, compared with the fastest tool",
        "at least 1.5 times",
        "endpoint_headroom",
        lambda results: f"{results['endpoint_headroom']:.2f}",
        lambda results: bool(results["endpoint_headroom"] >= 1.5),
    ),
    Target(
        "mean rate, compared with the requested rate",
        "within 1 %",
        "pace",
        lambda results: "; ".join(
            f"{rate}/s: {100 * row['mean_error']:.2f} %" for rate, row in results["pace"].items()
        ),
        lambda results: all(row["mean_error"] <= 0.01 for row in results["pace"].values()),
    ),
    Target(
        "messages in the worst second",
        "at most the rate plus one batch",
        "pace",
        lambda results: "; ".join(
            f"{rate}/s: {row['worst_window']} of {row['allowed_window']}" for rate, row in results["pace"].items()
        ),
        lambda results: all(row["worst_window"] <= row["allowed_window"] for row in results["pace"].values()),
    ),
    Target(
        "memory for 50,000 messages, compared with 1,000",
        "at most 1.15 times",
        "growth",
        lambda results: f"{results['growth']['memory_ratio']:.3f}",
        lambda results: bool(results["growth"]["memory_ratio"] <= 1.15),
    ),
    Target(
        "processor time per message, compared with the plain loop",
        "at most 0.35 times",
        "cpu_ratio",
        lambda results: f"{results['cpu_ratio']:.2f}",
        lambda results: bool(results["cpu_ratio"] <= 0.35),
    ),
    Target(
        "verdict on a small message with a JSON Schema contract",
        "below 25 µs",
        "microseconds_per_message",
        lambda results: f"{_schema_verdict(results):.1f} µs",
        lambda results: _schema_verdict(results) < 25,
    ),
    Target(
        "state transitions for 10,000 messages at full speed",
        "at most 60",
        "growth",
        lambda results: f"{results['growth']['transitions_per_10000']}",
        lambda results: bool(results["growth"]["transitions_per_10000"] <= 60),
    ),
    Target(
        "a run of ten messages on the embedded cloud, in a new deployment and in one that has run before",
        "at most 3.5 s and 1.2 s",
        "cold_run_seconds",
        lambda results: f"{results['cold_run_seconds']:.2f} s and {results['warm_run_seconds']:.2f} s",
        lambda results: bool(results["cold_run_seconds"] <= 3.5 and results["warm_run_seconds"] <= 1.2),
    ),
    Target(
        "import time of a handler of the redrive, compared with boto3 and a client",
        "at most 1.4 times",
        "import_ratio",
        lambda results: "{1:.2f} (`{0}` is the slowest)".format(*_slowest(results, "redrive.")),
        lambda results: bool(_slowest(results, "redrive.")[1] <= 1.4),
    ),
    Target(
        "import time of an example's function, compared with the same",
        "at most 1.6 times",
        "import_ratio",
        lambda results: "{1:.2f} (`{0}` is the slowest)".format(*_slowest(results, "examples.")),
        lambda results: bool(_slowest(results, "examples.")[1] <= 1.6),
    ),
    Target(
        "`redrive --help`",
        "at most 0.35 s",
        "command",
        lambda results: f"{results['command']['help_seconds']:.2f} s",
        lambda results: bool(results["command"]["help_seconds"] <= 0.35),
    ),
    Target(
        "requests of `redrive queues`, for 201 queues of which 2 have messages",
        "at most 1.1 per queue",
        "command",
        lambda results: f"{results['command']['calls_per_queue']:.2f}",
        lambda results: bool(results["command"]["calls_per_queue"] <= 1.1),
    ),
    Target(
        "time of `redrive queues` for nine queues, compared with a script that only makes its requests",
        "at most 1.5 times",
        "command",
        lambda results: f"{results['command']['queues_ratio']:.2f} ({results['command']['queues_seconds']:.2f} s)",
        lambda results: bool(results["command"]["queues_ratio"] <= 1.5),
    ),
    Target(
        "speed of `redrive move`, as a share of a lane's",
        "at least 0.95",
        "command",
        lambda results: f"{results['command']['move_ratio']:.2f} ({results['command']['move']:.0f}/s)",
        lambda results: bool(results["command"]["move_ratio"] >= 0.95),
    ),
    Target(
        "DynamoDB writes per message that make a consumer idempotent",
        "at most 1",
        "consumers",
        lambda results: "{1:g} (`{0}` has the most)".format(*_most_extra_writes(results)),
        lambda results: bool(_most_extra_writes(results)[1] <= 1),
    ),
)


def text(results: Results) -> str:
    """Return the results as Markdown, without the parts that weren't measured."""
    sections: dict[str, Callable[[Results], str]] = {
        "peers": _tools,
        "limit": _limit,
        "growth": _growth,
        "import_ratio": _imports,
        "microseconds_per_message": _envelopes,
        "consumers": _consumers,
    }
    parts = [_targets(results)] if any(target.needs in results for target in TARGETS) else []
    return "\n\n".join([*parts, *(section(results) for key, section in sections.items() if key in results)])


def write(results: Results) -> None:
    """Put what was measured between the markers in docs/design/benchmarks.md; what is around them stays."""
    machine = results["machine"]
    setup = (
        f"Measured on {results['date']}, commit {results['commit']}, in {results['minutes']:.0f} minutes, on "
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GB, "
        f"Python {machine['python']}; load at the start: {machine['load']}."
    )
    before, _, rest = DOCUMENT.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    DOCUMENT.write_text(f"{before}{_BEGIN}\n\n{setup}\n\n{text(results)}\n\n{_END}{after}")


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _targets(results: Results) -> str:
    rows = [
        [target.what, target.bound, target.value(results), "met" if target.is_met(results) else "**missed**"]
        for target in TARGETS
        if target.needs in results
    ]
    return _table(["what", "target", "measured", ""], rows)


def _tools(results: Results) -> str:
    tools = {
        "ours": results["ours"],
        "ours, no contract": results["ours_without_contract"],
        **results["peers"],
    }
    rows = []
    for name, row in tools.items():
        if "not_measured" in row:
            rows.append([name, f"not measured: {row['not_measured']}", "", "", "", ""])
            continue
        peak = row["peak_rss_mb"]
        rows.append(
            [
                name,
                f"{row['messages_per_second']:.0f}",
                f"{row['calls_per_message']:.3f}",
                ", ".join(row["attributes_kept"]) or "none",
                row["failed_entry"],
                "" if peak is None else f"{peak:.0f}",
            ]
        )
    head = ["tool", "messages/s", "calls per message", "kept", "result of a `Failed` entry", "peak RSS, MB"]
    return _table(head, rows)


def _limit(results: Results) -> str:
    limit = results["limit"]
    rows = [[f"loop, {name} threads", f"{rate:.0f}"] for name, rate in limit["by_threads"].items()]
    return _table(["limit", "messages/s"], [*rows, ["ours, in the same rounds", f"{limit['ours']:.0f}"]])


def _growth(results: Results) -> str:
    rows = [
        [
            f"{point['messages']:,}",
            f"{point['seconds']:.1f}",
            f"{point['cpu_seconds_per_1000']:.2f}",
            "" if point["peak_rss_mb"] is None else f"{point['peak_rss_mb']:.1f}",
            f"{point['calls_per_message']:.4f}",
            str(point["transitions"]),
            str(point["history_events"]),
            f"{point['workflow_seconds']:.0f}",
        ]
        for point in results["growth"]["points"]
    ]
    head = [
        "messages", "seconds, one lane", "CPU s per 1,000", "peak RSS, MB", "calls per message",
        "transitions", "history events", "seconds, whole workflow",
    ]  # fmt: skip
    return _table(head, rows)


def _imports(results: Results) -> str:
    rows = [[f"`{name}`", f"{ratio:.2f}"] for name, ratio in results["import_ratio"].items()]
    return _table(["import", "multiple of boto3 and a client"], rows)


def _consumers(results: Results) -> str:
    rows = [
        [
            f"`{name}`",
            f"{row['microseconds']:.0f}",
            f"{row['json_loads_microseconds']:.1f}",
            f"{row['writes']:g}",
            f"{row['extra_writes']:g}",
        ]
        for name, row in results["consumers"].items()
    ]
    head = [
        "consumer, without its work", "CPU µs per message", "`json.loads` alone, µs",
        "DynamoDB writes per message", "of these, for idempotency",
    ]  # fmt: skip
    return _table(head, rows)


def _envelopes(results: Results) -> str:
    rows = [
        [name, f"{row['json_loads']:.1f}", f"{row['unwrap']:.1f}", f"{row['verdict']:.1f}"]
        for name, row in results["microseconds_per_message"].items()
    ]
    return _table(["message", "`json.loads` of the body, µs", "unwrap, µs", "unwrap and verdict, µs"], rows)
