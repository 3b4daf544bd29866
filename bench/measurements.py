"""The measurements: each returns its part of bench/results.json.

`bench.__main__` runs all of them or the requested ones. Tools that are compared take turns, so other load on the
machine affects them equally, and medians are compared.
"""

from __future__ import annotations

import math
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from operator import itemgetter
from statistics import median
from typing import Any

from bench import command, consumers, imports, measured, messages, peers
from bench.endpoint import Endpoint
from bench.measured import ToolError
from bench.tools import Run, Tool, move, ours, plain_loop
from bench.workflow import Workflow

type Results = dict[str, Any]

_MESSAGES = 5_000
_MESSAGES_ONE_BY_ONE = 500
_ROUNDS = 3
_LIMIT_THREADS = (4, 8, 16)
_CPU_MESSAGES = 3_000
_PROBE_MESSAGES = 20
_PROBE_SECONDS = 60
_PACES = (5, 50, 200, 500, 2000)
# Maximum messages per second of one lane.
_LANE_RATE = 500
_PACE_SECONDS = 20
# Seconds to ignore at each end of a run with several lanes, whose processes don't start and stop together.
_STARTING_SECONDS = 2.0
_GROWTH = (1_000, 10_000, 50_000)
_GROWTH_FULL = 230_000
# The lowest rate at which a run doesn't time out, in messages per second.
_MIN_RATE = 150
_ENVELOPES_SECONDS = 120
# Messages in a small run, and its timeout in seconds.
_SMALL = 10
_SMALL_PATIENCE = 60


def measure_peers(endpoint: Endpoint) -> Results:
    """Return speed, calls, memory, and kept attributes, for the redrive and the other tools."""
    factories: dict[str, Callable[[], Tool]] = {
        "ours": ours,
        "ours without a contract": lambda: ours(contract=False),
        "plain loop": plain_loop,
        **peers.ALL,
    }
    rows: Results = {}
    tools: dict[str, Tool] = {}
    for name, factory in factories.items():
        try:
            tool = factory()
            rows[name] = _probe(endpoint, tool)
            tools[name] = tool
        except ToolError as error:
            rows[name] = {"not_measured": str(error)}
    for name, runs in _in_turns(endpoint, tools, _ROUNDS).items():
        peaks = [run.peak_rss_mb for run in runs if run.peak_rss_mb is not None]
        rows[name] = {
            "messages": runs[0].messages,
            "messages_per_second": round(median(run.rate for run in runs), 1),
            "calls_per_message": round(median(run.calls_per_message for run in runs), 4),
            "peak_rss_mb": round(median(peaks), 1) if peaks else None,
            "endpoint_share": round(median(run.endpoint_share for run in runs), 3),
        } | rows[name]
    fastest = max((row for row in rows.values() if "messages_per_second" in row), key=itemgetter("messages_per_second"))
    own, without_contract = rows.pop("ours"), rows.pop("ours without a contract")
    best = max(row["messages_per_second"] for row in rows.values() if "messages_per_second" in row)
    return {
        "endpoint_headroom": round(1 / fastest["endpoint_share"], 2),
        "vs_best_peer": round(own["messages_per_second"] / best, 3),
        "ours": own,
        "ours_without_contract": without_contract,
        "peers": rows,
    }


def _probe(endpoint: Endpoint, tool: Tool) -> Results:
    """Return which attributes a tool keeps, and what it does about a failed entry."""
    count = _PROBE_MESSAGES
    with endpoint.queues(count, everything=True) as queues:
        move(tool, endpoint, queues, count, seconds=_PROBE_SECONDS)
        arrived = endpoint.sqs.receive_message(
            QueueUrl=queues.source_url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
        )["Messages"][0]
        kept = messages.kept(arrived)
    with endpoint.queues(count) as queues:
        endpoint.fail_next_entry(queues.source_url)
        run = move(tool, endpoint, queues, count, seconds=_PROBE_SECONDS, complete=False)
        failed = _after_failed_entry(run, endpoint.depth(queues.source_url), endpoint.depth(queues.dlq_url))
    return {"attributes_kept": kept, "failed_entry": failed}


def _after_failed_entry(run: Run, sent: int, remaining: int) -> str:
    if "SendMessageBatch" not in run.sqs_calls:
        return "none: sends one by one"
    if sent == run.messages and not remaining:
        return "sent again"
    if sent + remaining < run.messages:
        return "lost: deleted without being sent"
    if sent + remaining == run.messages:
        return "remains in the dead-letter queue"
    return f"stops; {sent + remaining - run.messages} sent messages also remain in the dead-letter queue"


def measure_limit(endpoint: Endpoint) -> Results:
    """Return the speed of a loop that judges nothing, and the redrive's speed as a share of it."""
    tools = {"ours": ours()} | {str(threads): plain_loop(threads) for threads in _LIMIT_THREADS}
    runs = _in_turns(endpoint, tools, _ROUNDS)
    rates = {name: median(run.rate for run in found) for name, found in runs.items()}
    own = rates.pop("ours")
    threads, best = max(rates.items(), key=lambda entry: entry[1])
    return {
        "vs_best_loop": round(own / best, 3),
        "limit": {
            "messages_per_second": round(best, 1),
            "threads": int(threads),
            "share": round(own / best, 3),
            "ours": round(own, 1),
            "by_threads": {name: round(rate, 1) for name, rate in rates.items()},
        },
    }


def measure_cpu(endpoint: Endpoint) -> Results:
    """Return the redrive's processor time per message as a multiple of the plain loop's."""
    tools = {"ours": ours(), "plain loop": plain_loop()}
    runs = _in_turns(endpoint, tools, _ROUNDS, _CPU_MESSAGES)
    used = {name: median(run.cpu_seconds for run in found) for name, found in runs.items()}
    return {
        "cpu_ratio": round(used["ours"] / used["plain loop"], 3),
        "cpu_seconds_per_1000": {name: round(1000 * seconds / _CPU_MESSAGES, 3) for name, seconds in used.items()},
    }


def measure_pace(endpoint: Endpoint) -> Results:
    """Return how exactly the redrive keeps a rate, as seen by the endpoint."""
    return {"pace": {str(rate): _pace(endpoint, rate) for rate in _PACES}}


def _pace(endpoint: Endpoint, rate: int) -> Results:
    # More messages than can be moved in the time.
    count = int(1.5 * rate * _PACE_SECONDS)
    lanes = math.ceil(rate / _LANE_RATE)
    tool = ours(rate=rate / lanes, slices=1, slice_seconds=_PACE_SECONDS, lanes=lanes)
    with endpoint.queues(count) as queues:
        run = move(tool, endpoint, queues, count, seconds=3 * _PACE_SECONDS, complete=False)
    sends = [(call.arrived, call.entries) for call in run.calls if call.operation == "SendMessageBatch"]
    sends.sort()
    mean = _mean_rate(sends, margin=_STARTING_SECONDS if lanes > 1 else 0.0)
    batch = int(run.finished.result["batch"])
    return {
        "mean_error": round(abs(mean / rate - 1), 4),
        "worst_window": _worst_window(sends),
        "allowed_window": rate + batch,
        "batch": batch,
    }


def _mean_rate(sends: Sequence[tuple[float, int]], margin: float) -> float:
    """Return the mean rate in messages per second, ignoring the first and last `margin` seconds."""
    first, last = sends[0][0] + margin, sends[-1][0] - margin
    within = [(arrived, entries) for arrived, entries in sends if first <= arrived <= last]
    # Exclude the last batch, because its interval comes after it.
    return sum(entries for _, entries in within[:-1]) / (within[-1][0] - within[0][0])


def _worst_window(sends: Sequence[tuple[float, int]]) -> int:
    """Return the highest number of messages that arrived within one second."""
    worst = within = first = 0
    for arrived, entries in sends:
        within += entries
        while arrived - sends[first][0] >= 1:
            within -= sends[first][1]
            first += 1
        worst = max(worst, within)
    return worst


def measure_growth(endpoint: Endpoint) -> Results:
    """Return time, processor time, memory, and state transitions for queues of different lengths."""
    workflow = Workflow(endpoint)
    # The first run starts the functions of a new deployment.
    cold, *warm = [workflow.run(_SMALL, _SMALL_PATIENCE).seconds for _ in range(1 + _ROUNDS)]
    full = os.environ.get("BENCH_FULL") == "1"
    points = [_growth_point(endpoint, workflow, count) for count in (*_GROWTH, *([_GROWTH_FULL] if full else []))]
    by_count = {point["messages"]: point for point in points}
    small, middle, large = (by_count[count] for count in _GROWTH)
    has_memory = small["peak_rss_mb"] and large["peak_rss_mb"]
    return {
        "cold_run_seconds": round(cold, 2),
        "warm_run_seconds": round(median(warm), 2),
        "growth": {
            "points": points,
            "memory_ratio": round(large["peak_rss_mb"] / small["peak_rss_mb"], 3) if has_memory else None,
            "transitions_per_10000": middle["transitions"],
        },
    }


def _growth_point(endpoint: Endpoint, workflow: Workflow, count: int) -> Results:
    patience = 60 + count / _MIN_RATE
    with endpoint.queues(count) as queues:
        run = move(ours(), endpoint, queues, count, seconds=patience)
    whole = workflow.run(count, patience)
    return {
        "messages": count,
        "seconds": round(run.seconds, 2),
        "cpu_seconds_per_1000": round(1000 * run.cpu_seconds / count, 3),
        "peak_rss_mb": run.peak_rss_mb and round(run.peak_rss_mb, 1),
        "calls_per_message": round(run.calls_per_message, 4),
        "transitions": whole.transitions,
        "history_events": whole.history_events,
        "workflow_seconds": round(whole.seconds, 1),
    }


def measure_envelopes(_endpoint: Endpoint) -> Results:
    """Return the time to unwrap and judge one message, by envelope and contract."""
    command = [sys.executable, "-m", "bench.envelopes"]
    finished = measured.run(command, measured.environment(), _ENVELOPES_SECONDS)
    return {"microseconds_per_message": finished.result}


def measure_imports(_endpoint: Endpoint) -> Results:
    """Return each handler's import time as a multiple of importing boto3 and creating a client."""
    return {"import_ratio": {name: round(ratio, 3) for name, ratio in imports.ratios().items()}}


def measure_consumers(_endpoint: Endpoint) -> Results:
    """Return each consumer's overhead."""
    return {"consumers": consumers.overheads()}


def _in_turns(endpoint: Endpoint, tools: dict[str, Tool], rounds: int, count: int = _MESSAGES) -> dict[str, list[Run]]:
    """Return the runs of each tool. Each round runs every tool once, with new queues."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for _ in range(rounds):
        for name, tool in tools.items():
            number = _MESSAGES_ONE_BY_ONE if name == "phoenix-letter" else count
            with endpoint.queues(number) as queues:
                runs[name].append(move(tool, endpoint, queues, number))
            print(f"  {name}: {runs[name][-1].rate:.0f} messages/s", flush=True)
    return runs


ALL: dict[str, Callable[[Endpoint], Results]] = {
    "peers": measure_peers,
    "limit": measure_limit,
    "cpu": measure_cpu,
    "pace": measure_pace,
    "growth": measure_growth,
    "imports": measure_imports,
    "envelopes": measure_envelopes,
    "consumers": measure_consumers,
    "command": lambda endpoint: {"command": command.waits(endpoint) | command.speed(endpoint)},
}
