"""Plays fault schedules: `make faults SEED=100 COUNT=50`.

Prints one line per schedule, whatever failed with its seed, and a summary; keeps the results in build/faults.jsonl.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from local.ending import ending_cleanly
from local.workspace import ROOT
from tests.faults.schedules import draw
from tests.faults.suite import Played, deployed

RESULTS = ROOT / "build" / "faults.jsonl"


def main(
    seed: Annotated[int, typer.Option(help="The first schedule's seed.")] = 1,
    count: Annotated[int, typer.Option(help="How many schedules.")] = 50,
    workers: Annotated[int, typer.Option(help="How many at a time.")] = 8,
    show: Annotated[bool, typer.Option(help="Print the schedules, and play none.")] = False,
) -> None:
    """Play schedules; exit status 1 if one is violated."""
    seeds = range(seed, seed + count)
    if show:
        print("\n".join(draw(each).described() for each in seeds))
        return
    with ending_cleanly():
        sys.exit(0 if play(seeds, workers) else 1)


def play(seeds: Sequence[int], workers: int) -> bool:
    """Play schedules and print what came of them; return whether all held."""
    played: list[Played] = []
    RESULTS.parent.mkdir(exist_ok=True)
    with deployed(seeds) as stage:
        began = time.monotonic()
        for one in stage.play_all(seeds, workers):
            played.append(one)
            _show(one)
            _keep(one)
        seconds = time.monotonic() - began
    print(summary(played, seconds))
    return not any(one.violations for one in played)


def _show(one: Played) -> None:
    outcome = "VIOLATED" if one.violations else "ok"
    faults = len(one.hits)
    print(
        f"{outcome:8} seed {one.schedule.seed:<6} {one.schedule.scenario:15} {one.seconds:5.0f} s, "
        f"{faults} faults, {' then '.join(one.statuses)}",
        flush=True,
    )
    if one.violations:
        print(one.described(), flush=True)


def _keep(one: Played) -> None:
    record = {
        "seed": one.schedule.seed,
        "scenario": one.schedule.scenario,
        "violations": list(one.violations),
        "statuses": list(one.statuses),
        "hits": list(one.hits),
        "seconds": round(one.seconds, 1),
        "report": one.report,
    }
    with RESULTS.open("a") as results:
        results.write(json.dumps(record) + "\n")


def summary(played: Sequence[Played], seconds: float) -> str:
    """Return one line about all schedules."""
    violated = [one.schedule.seed for one in played if one.violations]
    kinds = Counter(violation.split(":", 1)[0] for one in played for violation in one.violations)
    listed = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items())) or "none"
    hits = sum(len(one.hits) for one in played)
    silent = sum("without report" in status for one in played for status in one.statuses[:1])
    each = seconds / len(played) if played else 0.0
    seeds = f"; seeds {', '.join(map(str, violated))}" if violated else ""
    return (
        f"{len(played)} schedules, {hits} faults, {seconds:.0f} s ({each:.1f} s each), {silent} runs without a report; "
        f"violations: {listed}{seeds}"
    )


if __name__ == "__main__":
    typer.run(main)
