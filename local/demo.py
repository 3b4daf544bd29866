"""The main job, live: messages fail, a redrive moves them back, and every message is accounted for.

`make demo` runs these scenarios, one after the other on one deployment; exit status 1 if a message is missing.
"""

from __future__ import annotations

import sys

from rich.console import Console

from local.ending import ending_cleanly
from local.scenario import play

DEMO = ("store-events", "email-tasks")


def main() -> int:
    """Run the scenarios of the demo; return the exit status."""
    return 0 if play(DEMO, Console(highlight=False)) else 1


if __name__ == "__main__":
    with ending_cleanly():
        sys.exit(main())
