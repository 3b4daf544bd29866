"""Runs all benchmarks (`make bench`) or some of them (`python -m bench pace cpu`).

A whole run writes bench/results.json and the table in docs/design/benchmarks.md; a part is only printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import report
from bench.endpoint import Endpoint
from bench.measurements import ALL

_RESULTS = Path(__file__).resolve().with_name("results.json")


def main() -> int:
    """Run the requested benchmarks; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"one or more of: {', '.join(ALL)}; default: all")
    parts = parser.parse_args().parts or list(ALL)
    if unknown := set(parts) - set(ALL):
        parser.error(f"expected one or more of {', '.join(ALL)}, found {', '.join(sorted(unknown))}")
    results: dict[str, Any] = {"machine": _machine()}
    started = time.monotonic()
    with Endpoint.open() as endpoint:
        for part in parts:
            print(f"{part} ...", flush=True)
            part_started = time.monotonic()
            results |= ALL[part](endpoint)
            print(f"  {time.monotonic() - part_started:.0f} seconds", flush=True)
    results |= {
        "minutes": round((time.monotonic() - started) / 60, 1),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
    }
    print(f"\n{report.text(results)}")
    if set(parts) == set(ALL):
        _RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        report.write(results)
    met = [target.is_met(results) for target in report.TARGETS if target.needs in results]
    return 0 if all(met) else 1


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    command = ["git", "-C", str(_RESULTS.parent), "describe", "--always", "--dirty", "--exclude=*"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    return finished.stdout.strip() or "none"


if __name__ == "__main__":
    sys.exit(main())
