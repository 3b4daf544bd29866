"""Runs inline Map states in JSONata with a history of their iterations, which ministack leaves out.

``local.ministack_compat.apply`` calls :func:`apply`.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ministack.services import stepfunctions

from local.ministack_compat import fit
from local.ministack_compat.step_functions import (
    Context,
    Execution,
    ExecutionError,
    ExecutionOverError,
    State,
    check_not_over,
    run_states,
    under_ender,
)

# Step Functions Developer Guide, "Map state processing modes": an inline Map runs up to 40 iterations at a time.
MAX_CONCURRENCY = 40

Outcome = tuple[Any, str | None]


def apply() -> None:
    """Put the patches of this module in place."""
    fit.replace(stepfunctions, _execute_map=execute_map)


def execute_map(state: State, value: Any, execution: Execution, ctx: Context) -> Outcome:
    """Run a Map state with its Retry and Catch."""
    if (state["ItemProcessor"].get("ProcessorConfig") or {}).get("Mode", "INLINE") != "INLINE":
        raise ExecutionError("States.Runtime", "The embedded cloud runs inline Map states only.")
    outcome: Outcome = stepfunctions._with_retry_and_catch(
        state, value, ctx, lambda: _run_map(state, value, execution, ctx)
    )
    return outcome


def _run_map(state: State, value: Any, execution: Execution, ctx: Context) -> Outcome:
    processor, name = state["ItemProcessor"], ctx["State"]["Name"]
    items = stepfunctions._jsonata_state_field(state, "Items", "array", value, ctx) if "Items" in state else value
    limit = MAX_CONCURRENCY
    if "MaxConcurrency" in state:
        limit = int(stepfunctions._jsonata_state_field(state, "MaxConcurrency", "number", value, ctx)) or limit

    def iteration(index: int, item: Any) -> Any:
        def record(event: str) -> None:
            details = {f"m{event[1:]}EventDetails": {"name": name, "index": index}}
            stepfunctions._add_event(execution, event, details)

        record("MapIterationStarted")
        # An iteration reads the variables around it, and those that it assigns stay inside (Step Functions Developer
        # Guide, "Variable scope").
        inner = {**ctx, "variables": dict(ctx["variables"]), "Map": {"Item": {"Index": index, "Value": item}}}
        if "ItemSelector" in state:
            item = stepfunctions._apply_jsonata_template(state["ItemSelector"], value, inner)
        try:
            result = run_states(processor["States"], processor["StartAt"], item, execution, inner)
        except ExecutionError:
            record("MapIterationFailed")
            raise
        except ExecutionOverError:
            record("MapIterationAborted")
            raise
        record("MapIterationSucceeded")
        return result

    started = {"mapStateStartedEventDetails": {"length": len(items)}}
    stepfunctions._add_event(execution, "MapStateStarted", started)
    try:
        results = _run_together(iteration, items, min(limit, MAX_CONCURRENCY))
    except ExecutionError:
        stepfunctions._add_event(execution, "MapStateFailed")
        raise
    stepfunctions._add_event(execution, "MapStateSucceeded")
    output = stepfunctions._apply_jsonata_output(state, value, ctx, result=results, default=results)
    stepfunctions._apply_state_assign(state, value, ctx, result=results)
    return output, stepfunctions._next_or_end(state)


def _run_together(work: Callable[[int, Any], Any], items: list[Any], concurrency: int) -> list[Any]:
    """Run the work for each item in a thread; the first error ends the others and is raised."""
    ender = threading.Event()
    results: list[Any] = [None] * len(items)
    errors: list[Exception] = []

    def run(index: int) -> None:
        try:
            results[index] = under_ender(ender, lambda: work(index, items[index]))
        except ExecutionOverError:
            return
        except ExecutionError as error:
            errors.append(error)
            ender.set()
        except Exception as error:  # noqa: BLE001 (the edge of the thread; the execution's thread raises it)
            errors.append(ExecutionError("States.Runtime", str(error)))
            ender.set()

    with ThreadPoolExecutor(max_workers=max(1, min(concurrency, len(items)))) as pool:
        # Threads of a pool don't inherit the context variables that contain account, Region, and enders.
        for index in range(len(items)):
            pool.submit(contextvars.copy_context().run, run, index)
    if errors:
        raise errors[0]
    check_not_over()
    return results
