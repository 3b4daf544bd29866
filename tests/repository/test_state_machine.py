"""The workflows' definitions: complete, reachable, in step with the handlers that they call."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import pytest
import yaml
from jsonata import Jsonata

from redrive.domain import errors
from redrive.domain.automatic.decisions import Ended, Progress, Step
from redrive.domain.plan.request import RedriveRequest
from redrive.domain.plan.run_plan import AnyPlan, RunPlan
from redrive.domain.runs.continuation import Continuation, RunProgress
from redrive.domain.runs.ending import StateError, Status, error_text
from redrive.domain.runs.notification import Notification
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import MAX_LANES, Next, Tally
from redrive.domain.sampling.sample import Sample
from tests.support.definitions import DEFINITIONS, Function, definition, functions, resources
from tests.support.jsonata_reading import expressions, read

# Step Functions developer guide, "Handling errors in Step Functions workflows" and "Handle transient Lambda
# service exceptions"; Lambda developer guide, "Troubleshoot invocation issues" (Runtime.ExitError).
DOCUMENTED_ERRORS = {
    "States.ALL",
    "States.TaskFailed",
    "States.Timeout",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Runtime.OutOfMemory",
    "Sandbox.Timedout",
    # Step Functions API reference, StartExecution: also if an execution of this name has ended. LocalStack's snapshots
    # of AWS have it under this name.
    "StepFunctions.ExecutionAlreadyExistsException",
    # Step Functions developer guide, "Start workflow executions from a task state". The others are classes of the SDK;
    # AWSStepFunctionsException stands for errors without a class of their own.
    "StepFunctions.ExecutionLimitExceeded",
    "StepFunctions.ExecutionLimitExceededException",
    "StepFunctions.AWSStepFunctionsException",
    "StepFunctions.SdkClientException",
}
OWN_ERRORS = {name for name, found in vars(errors).items() if isinstance(found, type)}
# What the guide asks every caller of Lambda to try again, and how a function that was killed or timed out is reported.
TRANSIENT = {name for name in DOCUMENTED_ERRORS if name.startswith(("Lambda.", "Runtime.", "Sandbox."))}
THROTTLED = "Lambda.TooManyRequestsException"
# Decisions, which another attempt would repeat.
FINAL = {"RejectedError", "LockLostError", "SupersededError", "FormatError"}
NO_CATCH = {
    "MoveSlice": "the Map around it catches",
    "Report": "there is nothing left to report with: the execution fails with the error itself",
    "Decide": "what can't be decided starts nothing: the execution fails, which has an alarm",
    "Notify": "there is nothing left to notify with: the execution fails, which has an alarm",
}
# JSONata's own functions are those of jsonata-python; these are Step Functions' additions (developer guide,
# "Transforming data with JSONata").
ADDED_FUNCTIONS = {"partition", "range", "hash", "random", "uuid", "parse"}
MODELS = {
    "plan": RunPlan,
    "sample": Sample,
    "tally": Tally,
    "report": Report,
    "notification": Notification,
    "step": Step,
    "progress": Progress,
}
ERROR_FIELDS = {"Error", "Cause"}
EXECUTION_FIELDS = {"id", "name", "startedAt"}


@dataclass(frozen=True)
class State:
    """A state, and the states that it is among."""

    name: str
    fields: dict[str, Any]
    among: dict[str, Any]

    @property
    def nexts(self) -> list[tuple[str, frozenset[str]]]:
        """The states that may follow, each with the variables that are assigned on the way."""
        fields = self.fields
        ways = [(fields[key], fields.get("Assign", {})) for key in ("Next", "Default") if key in fields]
        ways += [(choice["Next"], choice.get("Assign", {})) for choice in fields.get("Choices", [])]
        ways += [(catcher["Next"], catcher.get("Assign", {})) for catcher in fields.get("Catch", [])]
        return [(name, frozenset(assigned)) for name, assigned in ways]

    def own_expressions(self) -> list[tuple[tuple[str, ...], str]]:
        """The expressions of the state, without those of the states inside it."""
        return list(expressions({key: value for key, value in self.fields.items() if key != "ItemProcessor"}))

    @property
    def inside(self) -> dict[str, Any] | None:
        """The machine inside a Map."""
        return self.fields.get("ItemProcessor")


def states_of(machine: dict[str, Any]) -> dict[str, State]:
    return {name: State(name, fields, machine["States"]) for name, fields in machine["States"].items()}


def every_machine() -> Iterator[dict[str, Any]]:
    for name in DEFINITIONS:
        yield definition(name)
        yield from (state.inside for state in states_of(definition(name)).values() if state.inside)


EVERY_STATE = [state for machine in every_machine() for state in states_of(machine).values()]
LAMBDA_TASKS = [state for state in EVERY_STATE if state.fields.get("Resource", "").endswith(":lambda:invoke")]
each_state = pytest.mark.parametrize("state", EVERY_STATE, ids=lambda state: state.name)
each_lambda_task = pytest.mark.parametrize("state", LAMBDA_TASKS, ids=lambda state: state.name)
each_file = pytest.mark.parametrize("name", DEFINITIONS)


def substitutions(name: str) -> dict[str, Any]:
    """Return what the template puts into the definition in a file."""
    (found,) = (
        machine["DefinitionSubstitutions"]
        for machine in resources("AWS::Serverless::StateMachine").values()
        if machine["DefinitionUri"] == f"statemachines/{name}.asl.yaml"
    )
    return found


def function_of(state: State) -> Function:
    placeholder = state.fields["Arguments"]["FunctionName"].strip("${}")
    known = {key: value for file in DEFINITIONS for key, value in substitutions(file).items()}
    name, attribute = known[placeholder]["Fn::GetAtt"]
    assert attribute == "Arn"
    return functions()[name]


def payload_of(state: State) -> dict[str, Any]:
    payload: dict[str, Any] | str = state.fields["Arguments"]["Payload"]
    if isinstance(payload, str):
        assert payload == "{% $states.input %}"
        (around,) = [other for other in EVERY_STATE if other.inside and state.name in other.inside["States"]]
        payload = around.fields["ItemSelector"]
    return payload


def keys_of(model: Any) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def routed(state: str, *, machine: str = "redrive", **variables: Any) -> str:
    """Return where a Choice goes."""
    fields = definition(machine)["States"][state]
    for choice in fields["Choices"]:
        found = Jsonata(choice["Condition"][2:-2]).evaluate(None, frame(variables))
        assert isinstance(found, bool), f"a condition is true or false, but {choice['Condition']} gave {found!r}"
        if found:
            return choice["Next"]
    return fields["Default"]


def frame(variables: dict[str, Any]) -> Any:
    made = Jsonata("null").create_frame()
    for name, value in variables.items():
        made.bind(name, value)
    return made


# The file


@each_file
def test_the_file_goes_to_aws_as_it_is_so_it_has_no_anchors_and_no_aliases(name):
    events = list(yaml.parse(DEFINITIONS[name].read_text()))
    assert not [event for event in events if getattr(event, "anchor", None) is not None]


@each_file
def test_every_placeholder_is_substituted_and_every_substitution_is_used(name):
    used = set(re.findall(r"\$\{(\w+)\}", DEFINITIONS[name].read_text()))
    assert used == substitutions(name).keys()


@each_state
def test_every_state_has_a_comment(state):
    assert len(state.fields.get("Comment", "")) > 10


# The graph


@each_state
def test_every_state_leads_to_states_that_exist_or_ends(state):
    assert {name for name, _ in state.nexts} <= state.among.keys()
    ends = state.fields.get("End") is True or state.fields["Type"] in {"Fail", "Succeed"}
    assert ends != bool({"Next", "Default"} & state.fields.keys())


@pytest.mark.parametrize("machine", [*every_machine()], ids=lambda machine: machine["StartAt"])
def test_every_state_can_be_reached(machine):
    states, reached, ahead = states_of(machine), set(), [machine["StartAt"]]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += [following for following, _ in states[name].nexts]
    assert reached == states.keys()


def test_every_task_and_map_catches_what_fails_or_has_a_reason_not_to():
    without = {
        state.name for state in EVERY_STATE if state.fields["Type"] in {"Task", "Map"} and "Catch" not in state.fields
    }
    assert without == NO_CATCH.keys()


@each_state
def test_every_error_that_is_retried_or_caught_exists(state):
    handled = state.fields.get("Retry", []) + state.fields.get("Catch", [])
    assert {name for part in handled for name in part["ErrorEquals"]} <= DOCUMENTED_ERRORS | OWN_ERRORS


@each_state
def test_what_matches_everything_stands_alone_and_last(state):
    for handlers in (state.fields.get("Retry", []), state.fields.get("Catch", [])):
        for place, handler in enumerate(handlers):
            if "States.ALL" in handler["ErrorEquals"]:
                assert handler["ErrorEquals"] == ["States.ALL"]
                assert place == len(handlers) - 1


def attempts_at(state: State, error: str) -> int:
    """Return how often a state is tried again after an error: the first retrier that names it decides."""
    for retrier in state.fields["Retry"]:
        if error in retrier["ErrorEquals"] or retrier["ErrorEquals"] == ["States.ALL"]:
            return retrier.get("MaxAttempts", 3)
    return 0


@each_lambda_task
@pytest.mark.parametrize("error", sorted(TRANSIENT - {THROTTLED}))
def test_what_lambda_cannot_do_for_a_moment_is_tried_again_often(state, error):
    assert attempts_at(state, error) == 6


@each_lambda_task
def test_a_run_outlasts_half_an_hour_without_free_concurrency(state):
    (retrier,) = [one for one in state.fields["Retry"] if one["ErrorEquals"] == [THROTTLED]]
    intervals = [
        min(retrier["MaxDelaySeconds"], retrier["IntervalSeconds"] * retrier["BackoffRate"] ** attempt)
        for attempt in range(retrier["MaxAttempts"])
    ]
    # With full jitter, a delay is half of its interval on average (Step Functions developer guide, "Retrying after an
    # error").
    assert retrier["JitterStrategy"] == "FULL"
    assert sum(intervals) / 2 >= 30 * 60


@each_lambda_task
@pytest.mark.parametrize("error", sorted(OWN_ERRORS))
def test_a_decision_of_this_app_is_not_tried_again_and_everything_else_is(state, error):
    assert FINAL <= OWN_ERRORS
    assert attempts_at(state, error) == (0 if error in FINAL else 3)


@each_lambda_task
@pytest.mark.parametrize("error", ["States.Timeout", "ClientError", "ReadTimeoutError", "KeyError"])
def test_what_nobody_has_thought_of_is_tried_again(state, error):
    assert attempts_at(state, error) == 3


def test_after_the_lock_is_taken_every_error_leads_through_clean_up():
    ways = {
        state.name: {catcher["Next"] for catcher in state.fields["Catch"]}
        for state in EVERY_STATE
        if state.name in {"Sample", "Lanes", "Tally"}
    }
    assert ways == {"Sample": {"CleanUp"}, "Lanes": {"CleanUp"}, "Tally": {"CleanUp"}}


# What goes in and out of the functions


@each_lambda_task
def test_a_function_is_given_the_keys_that_its_task_names(state):
    payload = payload_of(state)
    event, _ = function_of(state).task_models(payload.get("step"))
    assert payload.keys() == keys_of(event)


@each_lambda_task
def test_a_variable_is_given_what_its_name_says(state):
    _, answer = function_of(state).task_models(payload_of(state).get("step"))
    parts = {name: field.annotation for name, field in answer.model_fields.items()}
    assigned = {name: value for name, value in state.fields.get("Assign", {}).items() if value is not None}
    for name, expression in assigned.items():
        (path,) = [path for path in read(expression[2:-2]).paths if len(path) > 1]
        assert path[:3] == ("states", "result", "Payload")
        # A run that continues may be one that another version began.
        found = parts[path[3]] if len(path) > 3 else answer
        assert found in {MODELS[name], get_args(AnyPlan)[0] if name == "plan" else None}


@each_file
def test_the_execution_is_passed_as_the_handlers_read_it(name):
    assert definition(name)["States"]["Begin"]["Assign"]["execution"].keys() == EXECUTION_FIELDS


def test_how_a_run_ended_is_passed_as_the_automatic_handler_reads_it():
    start = definition("automatic")["States"]["StartRun"]
    fields = [start["Assign"], *(catcher["Assign"] for catcher in start["Catch"])]
    assert {key for assigned in fields for key in assigned["ended"]} == keys_of(Ended)


# Expressions


@each_state
def test_every_expression_can_be_parsed_and_calls_functions_that_exist(state):
    known = ADDED_FUNCTIONS | {"type", "exists", "contains", "length", "substring", "string"}
    for _, expression in state.own_expressions():
        assert read(expression).functions <= known


@each_state
def test_every_field_of_a_variable_exists_in_what_the_variable_holds(state):
    known = {name: keys_of(model) for name, model in MODELS.items()}
    known |= {"failure": ERROR_FIELDS, "execution": EXECUTION_FIELDS}
    for _, expression in state.own_expressions():
        for path in read(expression).paths:
            if path[0] in known and len(path) > 1:
                assert path[1] in known[path[0]], expression
            if path[:2] == ("plan", "request"):
                assert set(path[2:3]) <= keys_of(RedriveRequest), expression


@each_file
def test_no_expression_refers_to_a_variable_that_is_not_assigned_on_every_way_there(name):
    assert not list(unassigned(definition(name), frozenset()))


def unassigned(machine: dict[str, Any], before: frozenset[str]) -> Iterator[str]:
    """Yield each use of a variable that some way to it does not assign."""
    states = states_of(machine)
    known = {machine["StartAt"]: before}
    ahead = [machine["StartAt"]]
    while ahead:
        name = ahead.pop()
        for following, assigned in states[name].nexts:
            reaching = known[name] | assigned
            if following not in known or not known[following] <= reaching:
                known[following] = known.get(following, reaching) & reaching
                ahead.append(following)
    for name, variables in known.items():
        for _, expression in states[name].own_expressions():
            for path in read(expression).paths:
                if path[0] not in variables | {"states"}:
                    yield f"{name}: ${path[0]} in {expression}"
        if states[name].inside is not None:
            yield from unassigned(states[name].inside, variables)


def test_the_check_of_variables_sees_one_that_only_some_ways_assign():
    machine = {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Task", "Assign": {"x": 1}, "Next": "B", "Catch": [{"Next": "B"}]},
            "B": {"Type": "Succeed", "Output": "{% $x %}"},
        },
    }
    assert list(unassigned(machine, frozenset())) == ["B: $x in $x"]


# Decisions are made in Python: the workflow only routes


@pytest.mark.parametrize(
    ("step", "state"),
    [
        (Next.MOVE, "Lanes"),
        (Next.WAIT, "WaitForMessages"),
        (Next.CONTINUE, "Continue"),
        (Next.CLEAN_UP, "CleanUp"),
    ],
)
def test_every_step_that_a_tally_can_name_has_its_state(step, state):
    assert set(Next) == {Next.MOVE, Next.WAIT, Next.CONTINUE, Next.CLEAN_UP}
    assert routed("WhatNext", tally=Tally(next=step).model_dump(mode="json")) == state


@pytest.mark.parametrize(
    ("step", "state"), [("wait", "WaitAWhile"), ("start", "StartRun"), ("notify", "Notify"), ("end", "Done")]
)
def test_every_step_that_an_automatic_start_can_take_has_its_state(step, state):
    assert set(get_args(Step.model_fields["next"].annotation)) == {"wait", "start", "notify", "end"}
    assert routed("WhatNext", machine="automatic", step={"next": step}) == state


@pytest.mark.parametrize("status", Status)
def test_refused_and_failed_runs_end_as_failed_and_all_others_do_not(status):
    ends = {Status.REJECTED: "Rejected", Status.FAILED: "Failed"}
    assert routed("HowItEnded", report={"status": status.value}) == ends.get(status, "Done")


@pytest.mark.parametrize(("dry_run", "state"), [(True, "CleanUp"), (False, "Lanes")])
def test_a_dry_run_moves_nothing(dry_run, state):
    assert routed("IsDryRun", plan={"request": {"dryRun": dry_run}}) == state


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ({"dlq": "orders-dlq"}, "Plan"),
        ({}, "Plan"),
        ("orders-dlq", "Plan"),
        (None, "Plan"),
        ([{"continuation": {}}], "Plan"),
        ({"continuation": {"plan": {}}}, "Resume"),
    ],
)
def test_only_an_input_with_a_continuation_takes_a_run_over(given, state):
    assert routed("IsContinued", input=given) == state


def test_the_next_execution_is_given_the_run_s_id_alone_and_takes_over_everything_that_was_recorded():
    given = definition()["States"]["Continue"]["Arguments"]["Input"]["continuation"]
    assert set(given) == set(Continuation.model_fields)
    assert given == {"run": "{% $plan.runId %}"}
    taken = definition()["States"]["Resume"]["Assign"]
    assert taken == {name: f"{{% $states.result.Payload.{name} %}}" for name in RunProgress.model_fields}


# How an execution ends that its run continued in another one from


def evaluated(expression: str, **variables: Any) -> Any:
    return Jsonata(expression.strip()[2:-2]).evaluate(None, frame(variables))


NEXT = Tally(successor="night-shift-5c1f0e9ab27d4386").model_dump(mode="json")


def test_the_next_execution_is_described_by_its_own_arn():
    name = "night-shift"
    arn = "arn:aws:states:us-east-1:123456789012:execution:redrive:"
    given = definition()["States"]["DescribeSuccessor"]["Arguments"]["ExecutionArn"]
    found = evaluated(given, execution={"id": arn + name, "name": name}, tally=NEXT)
    assert found == f"{arn}night-shift-5c1f0e9ab27d4386"


@pytest.mark.parametrize(
    ("successor", "state"),
    [
        ({"Status": "RUNNING"}, "WaitForSuccessor"),
        ({"Status": "PENDING_REDRIVE", "Error": "Redrive.Failed", "Cause": "{}"}, "WaitForSuccessor"),
        ({"Status": "SUCCEEDED", "Output": "{}"}, "Done"),
        ({"Status": "FAILED", "Error": "Redrive.Failed", "Cause": "{}"}, "EndedElsewhere"),
        ({"Status": "FAILED", "Error": "Redrive.Failed", "Cause": '"' * 32_768}, "EndedElsewhere"),
        ({"Status": "FAILED", "Error": "Redrive.NotPublished", "Cause": "{"}, "EndedElsewhere"),
        ({"Status": "FAILED", "Error": "States.DataLimitExceeded", "Cause": "Redrive.Failed"}, "CleanUp"),
        ({"Status": "FAILED", "Error": "Redrive.Rejected", "Cause": "{}"}, "CleanUp"),
        ({"Status": "FAILED", "Error": "ContinuationError", "Cause": "{}"}, "CleanUp"),
        ({"Status": "FAILED", "Error": "MyRedrive.Failed"}, "CleanUp"),
        ({"Status": "FAILED"}, "CleanUp"),
        ({"Status": "ABORTED"}, "CleanUp"),
        ({"Status": "TIMED_OUT", "Error": "States.Timeout"}, "CleanUp"),
    ],
)
def test_only_an_execution_that_failed_with_the_run_has_cleaned_up_and_reported(successor, state):
    assert routed("HowSuccessorEnded", successor=successor) == state


def test_the_execution_before_it_cleans_up_and_reports_unless_this_one_has():
    ends = {state.name: state.fields for state in EVERY_STATE if state.fields["Type"] == "Fail"}
    del ends["EndedElsewhere"]
    routes = {name: routed("HowSuccessorEnded", successor={"Status": "FAILED", **end}) for name, end in ends.items()}
    assert routes == {
        "Failed": "EndedElsewhere",
        "NotPublished": "EndedElsewhere",
        # A rejected execution has reported that it was rejected, but not what the run has moved.
        "Rejected": "CleanUp",
        "NotResumed": "CleanUp",
    }


@pytest.mark.parametrize("status", ["ABORTED", "TIMED_OUT", "FAILED"])
def test_the_report_of_a_run_whose_next_execution_was_aborted_says_which_one_and_what_to_do(status):
    failure = definition()["States"]["HowSuccessorEnded"]["Assign"]["failure"]
    cause = evaluated(failure["Cause"], successor={"Status": status}, tally=NEXT)
    assert error_text(StateError(error=failure["Error"], cause=cause)) == (
        "Expected the execution night-shift-5c1f0e9ab27d4386, in which the run continued, to end with a report, but it "
        f"is {status}. Start another run to move the rest."
    )


@pytest.mark.parametrize("order", [("Error", "Cause"), ("Cause", "Error")])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("error", ["Redrive.Rejected", "Redrive.Failed", "States.Timeout", None])
@pytest.mark.parametrize(
    "report", ["", "{", '{"Error":"Redrive.Rejected"}', '{"Error": "Redrive.Rejected"}' + 'é"' * 20_000]
)
def test_a_rejected_automatic_run_is_recognized_and_no_cause_is_too_long_to_be_read(order, separators, error, report):
    description = {name: {"Error": error, "Cause": report}[name] for name in order}
    text = json.dumps({"ExecutionArn": "arn", **description, "Status": "FAILED"}, separators=separators)[:32_768]
    (catcher,) = definition("automatic")["States"]["StartRun"]["Catch"]
    expression = catcher["Assign"]["ended"]["error"].replace("$states.errorOutput", "$caught")
    found = evaluated(expression, caught={"Error": "States.TaskFailed", "Cause": text})
    # A long report in front of the error hides it. Then the run counts as one that wasn't rejected.
    readable = order[0] == "Error" or len(report) < 100
    assert found == ("Redrive.Rejected" if error == "Redrive.Rejected" and readable else "States.TaskFailed")


def test_all_lanes_of_a_round_run_at_the_same_time():
    assert definition()["States"]["Lanes"]["MaxConcurrency"] == MAX_LANES
