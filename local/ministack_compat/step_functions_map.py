"""Runs Parallel and Map states, inline and distributed, with their JSONata fields, as Step Functions does.

``local.ministack_compat.apply`` calls :func:`apply`; ministack knows the JSONata fields of an inline Map
only.
"""

from __future__ import annotations

import contextvars
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ministack.services import s3, stepfunctions

from local.ministack_compat.step_functions import (
    Context,
    Execution,
    ExecutionError,
    ExecutionOverError,
    State,
    check_not_over,
    check_size,
    is_jsonata,
    run_states,
    under_ender,
)

ANCHORS = (
    "services.s3:_put_object",
    "services.stepfunctions:_execute_map",
    "services.stepfunctions:_execute_parallel",
    "services.stepfunctions:_map_runs",
    "services.stepfunctions:_read_map_items",
    "services.stepfunctions:_resolve_params_obj",
    "services.stepfunctions:_resolve_path_or_ctx",
    "services.stepfunctions:_with_retry_and_catch",
)

# Step Functions Developer Guide, "Map state processing modes": an inline Map runs up to 40 iterations at a
# time. A distributed one runs up to 10,000; threads of one process set a lower limit here.
MAX_INLINE_CONCURRENCY = 40
MAX_DISTRIBUTED_CONCURRENCY = 64

Outcome = tuple[Any, str | None]


def apply() -> None:
    """Put the patches of this module in place."""
    stepfunctions._execute_parallel = execute_parallel
    stepfunctions._execute_map = execute_map


def execute_parallel(state: State, value: Any, execution: Execution, ctx: Context) -> Outcome:
    """Run a Parallel state under its Retry and Catch."""
    return _under_retry(state, value, ctx, lambda: _run_parallel(state, value, execution, ctx))


def execute_map(state: State, value: Any, execution: Execution, ctx: Context) -> Outcome:
    """Run a Map state under its Retry and Catch."""
    processor = state.get("ItemProcessor") or state["Iterator"]
    distributed = (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED"
    run = _run_distributed_map if distributed else _run_inline_map
    return _under_retry(state, value, ctx, lambda: run(state, processor, value, execution, ctx))


def _under_retry(state: State, value: Any, ctx: Context, attempt: Callable[[], Outcome]) -> Outcome:
    outcome: Outcome = stepfunctions._with_retry_and_catch(state, value, ctx, attempt)
    return outcome


def _run_parallel(state: State, value: Any, execution: Execution, ctx: Context) -> Outcome:
    if is_jsonata(state, ctx):
        branch_input = stepfunctions._apply_jsonata_arguments(state, value, ctx)
    else:
        effective = stepfunctions._apply_input_path(state, value, ctx)
        branch_input = stepfunctions._apply_parameters(state, effective, ctx)

    def branch_runner(branch: dict[str, Any]) -> Callable[[], Any]:
        inner = _inner_context(ctx)
        return lambda: run_states(branch["States"], branch["StartAt"], branch_input, execution, inner)

    stepfunctions._add_event(execution, "ParallelStateStarted")
    branches = state["Branches"]
    try:
        results = _run_together([branch_runner(branch) for branch in branches], len(branches))
    except ExecutionError:
        stepfunctions._add_event(execution, "ParallelStateFailed")
        raise
    stepfunctions._add_event(execution, "ParallelStateSucceeded")
    return _output(state, value, results, ctx)


def _run_inline_map(
    state: State, processor: dict[str, Any], value: Any, execution: Execution, ctx: Context
) -> Outcome:
    items = _items(state, value, ctx)
    name = ctx["State"]["Name"]

    def iteration(index: int, item: Any) -> Callable[[], Any]:
        def run() -> Any:
            details = {"name": name, "index": index}
            _add_iteration_event(execution, "MapIterationStarted", details)
            inner = _inner_context(ctx, Map={"Item": {"Index": index, "Value": item}})
            item_input = _select(state, item, value, inner)
            try:
                result = run_states(processor["States"], processor["StartAt"], item_input, execution, inner)
            except ExecutionError:
                _add_iteration_event(execution, "MapIterationFailed", details)
                raise
            except ExecutionOverError:
                _add_iteration_event(execution, "MapIterationAborted", details)
                raise
            _add_iteration_event(execution, "MapIterationSucceeded", details)
            return result

        return run

    started = {"mapStateStartedEventDetails": {"length": len(items)}}
    stepfunctions._add_event(execution, "MapStateStarted", started)
    limit = int(_field(state, "MaxConcurrency", value, ctx) or 0) or MAX_INLINE_CONCURRENCY
    try:
        iterations = [iteration(index, item) for index, item in enumerate(items)]
        results = _run_together(iterations, min(limit, MAX_INLINE_CONCURRENCY))
    except ExecutionError:
        stepfunctions._add_event(execution, "MapStateFailed")
        raise
    stepfunctions._add_event(execution, "MapStateSucceeded")
    return _output(state, value, results, ctx)


def _add_iteration_event(execution: Execution, event: str, details: dict[str, Any]) -> None:
    stepfunctions._add_event(execution, event, {f"m{event[1:]}EventDetails": details})


# Distributed Map --------------------------------------------------------------------------------------------


class _MapRun:
    """One run of a distributed Map state: child executions, their counts and the failures it tolerates."""

    def __init__(self, state: State, total: int, value: Any, execution: Execution, ctx: Context) -> None:
        self.execution = execution
        self.tolerated_count = _field(state, "ToleratedFailureCount", value, ctx)
        self.tolerated_percentage = _field(state, "ToleratedFailurePercentage", value, ctx)
        self.max_concurrency = int(_field(state, "MaxConcurrency", value, ctx) or 0)
        _, _, _, region, account, _, machine = execution["stateMachineArn"].split(":")[:7]
        label = state.get("Label") or stepfunctions.new_uuid()
        self.owner = f"arn:aws:states:{region}:{account}"
        self.child_machine = f"{machine}/{label}"
        counts = dict.fromkeys(
            (
                "pending",
                "running",
                "succeeded",
                "failed",
                "timedOut",
                "aborted",
                "total",
                "resultsWritten",
                "failuresNotRedrivable",
                "pendingRedrive",
            ),
            0,
        )
        counts.update(total=total, pending=total)
        self.record: dict[str, Any] = {
            "mapRunArn": f"{self.owner}:mapRun:{self.child_machine}:{stepfunctions.new_uuid()}",
            "executionArn": execution["executionArn"],
            "status": "RUNNING",
            "startDate": stepfunctions.now_iso(),
            "maxConcurrency": self.max_concurrency,
            "toleratedFailurePercentage": float(self.tolerated_percentage or 0),
            "toleratedFailureCount": int(self.tolerated_count or 0),
            "itemCounts": counts,
            "executionCounts": dict(counts),
            "redriveCount": 0,
            "_stateMachineArn": f"{self.owner}:stateMachine:{self.child_machine}",
        }
        self.arn: str = self.record["mapRunArn"]
        self._lock = threading.Lock()
        stepfunctions._map_runs[self.arn] = self.record

    def new_child(self, child_input: Any) -> Execution:
        name = stepfunctions.new_uuid()
        child = {
            "executionArn": f"{self.owner}:execution:{self.child_machine}:{name}",
            "stateMachineArn": self.record["_stateMachineArn"],
            "name": name,
            "status": "RUNNING",
            "startDate": stepfunctions.now_iso(),
            "stopDate": None,
            "input": json.dumps(child_input),
            "output": None,
            "mapRunArn": self.arn,
            "events": [],
            "testCase": "",
            "mockAttempts": {},
        }
        stepfunctions._executions[child["executionArn"]] = child
        self._count("pending", "running")
        return child

    def end_child(self, child: Execution, status: str, **ending: Any) -> None:
        child.update(status=status, stopDate=stepfunctions.now_iso(), **ending)
        self._count("running", status.lower())

    def end(self, status: str) -> None:
        self.record.update(status=status, stopDate=stepfunctions.now_iso())

    def fails_with(self, failed: int) -> bool:
        """Tell whether so many failures are too many: any, unless a threshold is set."""
        if not failed:
            return False
        if self.tolerated_count is None and self.tolerated_percentage is None:
            return True
        total = self.record["itemCounts"]["total"]
        over_count = self.tolerated_count is not None and failed > self.tolerated_count
        over_percentage = (
            self.tolerated_percentage is not None and failed * 100 > self.tolerated_percentage * total
        )
        return over_count or over_percentage

    def _count(self, before: str, after: str) -> None:
        with self._lock:
            for counts in (self.record["itemCounts"], self.record["executionCounts"]):
                counts[before] -= 1
                counts[after] += 1


def _run_distributed_map(
    state: State, processor: dict[str, Any], value: Any, execution: Execution, ctx: Context
) -> Outcome:
    inputs = [
        _select(state, item, value, _inner_context(ctx, Map={"Item": {"Index": index, "Value": item}}))
        for index, item in enumerate(_items(state, value, ctx))
    ]
    if "ItemBatcher" in state:
        inputs = _batches(state["ItemBatcher"], inputs, state, value, ctx)
    run = _MapRun(state, len(inputs), value, execution, ctx)
    failures: list[Any] = []
    children: list[Execution] = []

    def child_runner(child_input: Any) -> Callable[[], Any]:
        def work() -> Any:
            child = run.new_child(child_input)
            children.append(child)
            own = {"Id": child["executionArn"], "Name": child["name"], "StartTime": child["startDate"]}
            # A child is an execution of its own: it sees no variable and no item of its parent but its input.
            inner = _inner_context(
                ctx, Execution={**ctx["Execution"], **own, "Input": child_input}, variables={}
            )
            try:
                check_size(child_input, "The item")
                result = run_states(processor["States"], processor["StartAt"], child_input, child, inner)
            except ExecutionError as error:
                run.end_child(child, "FAILED", error=error.error, cause=error.cause)
                failures.append(error)
                if run.fails_with(len(failures)):
                    raise ExecutionError(
                        "States.ExceedToleratedFailureThreshold",
                        "The specified tolerated failure threshold was exceeded",
                    ) from error
                return _FAILED
            except ExecutionOverError:
                run.end_child(child, "ABORTED")
                raise
            run.end_child(child, "SUCCEEDED", output=json.dumps(result))
            return result

        return work

    details = {"mapRunStartedEventDetails": {"mapRunArn": run.arn}}
    stepfunctions._add_event(execution, "MapRunStarted", details)
    limit = min(run.max_concurrency or MAX_DISTRIBUTED_CONCURRENCY, MAX_DISTRIBUTED_CONCURRENCY)
    try:
        results = _run_together([child_runner(child_input) for child_input in inputs], limit)
    except ExecutionError as error:
        run.end("FAILED")
        failed = {"error": error.error, "cause": error.cause}
        stepfunctions._add_event(execution, "MapRunFailed", {"mapRunFailedEventDetails": failed})
        raise
    except ExecutionOverError:
        run.end("ABORTED")
        raise
    run.end("SUCCEEDED")
    stepfunctions._add_event(execution, "MapRunSucceeded")
    if "ResultWriter" in state:
        return _output(state, value, _write_results(state, value, run, children, ctx), ctx)
    return _output(state, value, [result for result in results if result is not _FAILED], ctx)


_FAILED = object()


def _batches(batcher: dict[str, Any], items: list[Any], state: State, value: Any, ctx: Context) -> list[Any]:
    """Group items into the inputs of child executions (Step Functions Developer Guide, "ItemBatcher")."""
    evaluated = _template(batcher, state, value, ctx)
    most_items = int(evaluated.get("MaxItemsPerBatch") or len(items) or 1)
    most_bytes = int(evaluated.get("MaxInputBytesPerBatch") or 262_144)
    shared = {"BatchInput": evaluated["BatchInput"]} if "BatchInput" in evaluated else {}
    batches: list[list[Any]] = []
    size = 0
    for item in items:
        item_size = len(json.dumps(item))
        if not batches or len(batches[-1]) >= most_items or size + item_size > most_bytes:
            batches.append([])
            size = 0
        batches[-1].append(item)
        size += item_size
    return [{"Items": batch, **shared} for batch in batches]


def _write_results(
    state: State, value: Any, run: _MapRun, children: list[Execution], ctx: Context
) -> dict[str, Any]:
    """Write the children's results to S3.

    ministack ignores ResultWriter (Step Functions Developer Guide, "ResultWriter").
    """
    writer = state["ResultWriter"]
    target = _template(writer.get("Arguments") or writer.get("Parameters") or {}, state, value, ctx)
    run_id = run.arn.rsplit(":", 1)[1]
    prefix = "/".join(filter(None, [str(target.get("Prefix", "")).strip("/"), run_id]))
    files: dict[str, list[dict[str, Any]]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for status in ("FAILED", "SUCCEEDED"):
        of_status = [_exported(child) for child in children if child["status"] == status]
        if of_status:
            key = f"{prefix}/{status}_0.json"
            body = json.dumps(of_status).encode()
            s3._put_object(target["Bucket"], key, body, {})
            files[status].append({"Key": key, "Size": len(body)})
    manifest = {"DestinationBucket": target["Bucket"], "MapRunArn": run.arn, "ResultFiles": files}
    s3._put_object(target["Bucket"], f"{prefix}/manifest.json", json.dumps(manifest).encode(), {})
    details = {"Bucket": target["Bucket"], "Key": f"{prefix}/manifest.json"}
    return {"MapRunArn": run.arn, "ResultWriterDetails": details}


def _exported(child: Execution) -> dict[str, Any]:
    fields = ("executionArn", "input", "name", "output", "error", "cause", "startDate", "stopDate", "status")
    return {name[0].upper() + name[1:]: child[name] for name in fields if child.get(name) is not None}


# Shared by Parallel and Map ---------------------------------------------------------------------------------


def _inner_context(ctx: Context, **changes: Any) -> Context:
    # Variables of the outer scope can be read inside, but those assigned inside stay there (Step Functions
    # Developer Guide, "Variable scope"); ministack shares them between the branches of a Parallel state.
    return {**ctx, "variables": dict(ctx["variables"]), **changes}


def _items(state: State, value: Any, ctx: Context) -> list[Any]:
    if "ItemReader" in state:
        reader = state["ItemReader"]
        if is_jsonata(state, ctx):
            reader = _template(reader, state, value, ctx)
        items: Any = stepfunctions._read_map_items(reader, value, ctx)
    elif is_jsonata(state, ctx):
        items = (
            stepfunctions._jsonata_state_field(state, "Items", "array", value, ctx)
            if "Items" in state
            else value
        )
    else:
        effective = stepfunctions._apply_input_path(state, value, ctx)
        items = stepfunctions._resolve_path_or_ctx(state.get("ItemsPath", "$"), effective, ctx)
    if not isinstance(items, list):
        raise ExecutionError("States.Runtime", "The items of a Map state must be an array.")
    return items


def _select(state: State, item: Any, value: Any, ctx: Context) -> Any:
    selector = state.get("ItemSelector") or (None if is_jsonata(state, ctx) else state.get("Parameters"))
    if selector is None:
        return item
    return _template(selector, state, value, ctx)


def _template(template: Any, state: State, value: Any, ctx: Context) -> Any:
    if is_jsonata(state, ctx):
        return stepfunctions._apply_jsonata_template(template, value, ctx)
    effective = stepfunctions._apply_input_path(state, value, ctx)
    return stepfunctions._resolve_params_obj(template, effective, ctx)


def _field(state: State, name: str, value: Any, ctx: Context) -> Any:
    """Return a number given as such, as an expression, or by a path; None when the state does not have it."""
    if f"{name}Path" in state:
        return stepfunctions._resolve_path_or_ctx(state[f"{name}Path"], value, ctx)
    if name not in state:
        return None
    if is_jsonata(state, ctx):
        return stepfunctions._jsonata_state_field(state, name, "number", value, ctx)
    return state[name]


def _output(state: State, value: Any, result: Any, ctx: Context) -> Outcome:
    following = stepfunctions._next_or_end(state)
    if is_jsonata(state, ctx):
        output = stepfunctions._apply_jsonata_output(state, value, ctx, result=result, default=result)
        stepfunctions._apply_state_assign(state, value, ctx, result=result)
        return output, following
    selected = stepfunctions._apply_result_selector(state, result)
    output = stepfunctions._apply_result_path(state, value, selected)
    return stepfunctions._apply_output_path(state, output, ctx), following


def _run_together(works: list[Callable[[], Any]], concurrency: int) -> list[Any]:
    """Run each work on a thread; the first error ends the others and is raised."""
    ender = threading.Event()
    results: list[Any] = [None] * len(works)
    errors: list[Exception] = []

    def run(index: int) -> None:
        try:
            results[index] = under_ender(ender, works[index])
        except ExecutionOverError:
            return
        except ExecutionError as error:
            errors.append(error)
            ender.set()
        except Exception as error:  # noqa: BLE001 (the edge of the thread; the execution's thread raises it)
            errors.append(ExecutionError("States.Runtime", str(error)))
            ender.set()

    with ThreadPoolExecutor(max_workers=max(1, min(concurrency, len(works)))) as pool:
        # Threads of a pool do not inherit the context variables that hold account, region and enders.
        for index in range(len(works)):
            pool.submit(contextvars.copy_context().run, run, index)
    if errors:
        raise errors[0]
    check_not_over()
    return results
