"""Plays runs on hostile messages: `make fuzz SEED=100 COUNT=50`. A search goes on from the last seed it printed.

Prints one line per seed, and of a seed that violates something the smallest run that does.
"""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

# A region, and credentials that lead nowhere.
import tests.conftest  # noqa: F401
from tests.hostile.suite import SEEDS, search


def main(
    seed: Annotated[int, typer.Option(help="The first seed.")] = SEEDS.stop,
    count: Annotated[int, typer.Option(help="How many seeds.")] = 50,
) -> None:
    """Play seeds; exit status 1 if one violates something."""
    violated: list[int] = []
    messages, began = 0, time.monotonic()
    for number in range(seed, seed + count):
        started = time.monotonic()
        try:
            played, outcome = search(number), "ok"
        except AssertionError as error:
            violated.append(number)
            played, outcome = 0, "VIOLATED"
            print("\n".join([str(error), *getattr(error, "__notes__", ())]), flush=True)
        messages += played
        print(f"{outcome:8} seed {number:<6} {played:5} messages {time.monotonic() - started:5.1f} s", flush=True)
    listed = f"; violated by seeds {', '.join(map(str, violated))}" if violated else ""
    print(f"{count} seeds, {messages} messages, {time.monotonic() - began:.0f} s{listed}")
    sys.exit(1 if violated else 0)


if __name__ == "__main__":
    typer.run(main)
