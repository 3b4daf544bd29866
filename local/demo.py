"""The main job before your eyes: dead letters in, redriven, reported, and every message accounted for.

Run by `make demo` on the embedded cloud, one scenario after the other on one deployment; exits with 1 where
a message is missing.
"""

from __future__ import annotations

import sys

from rich.console import Console

from local.scenario import play

DEMO = ("store-events", "email-tasks")


def main() -> int:
    """Play the scenarios of the demo; return the exit code."""
    return 0 if play(DEMO, Console(highlight=False)) else 1


if __name__ == "__main__":
    sys.exit(main())
