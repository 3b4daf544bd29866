"""The embedded cloud's Step Functions in JSONata, as far as ministack alone differs from AWS."""

import json
import subprocess
from collections import Counter

import pytest

from local.workspace import ROOT, cloud_python
from tests.support.cloud_resources import (
    ROLE,
    finished,
    history,
    make_function,
    make_queue,
    output_of,
    run,
    start,
    unique,
)
from tests.support.eventually import eventually


def machine(**states):
    """Return a definition of states that follow each other in the order given, unless they say otherwise."""
    names = list(states)
    for name, following in zip(names, [*names[1:], None], strict=True):
        state = states[name]
        if state["Type"] in ("Succeed", "Fail", "Choice") or "Next" in state:
            continue
        state.update({"Next": following} if following else {"End": True})
    return {"StartAt": names[0], "States": states}


def invoke(function, **fields):
    arguments = {"FunctionName": function, "Payload": "{% $states.input %}"}
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": arguments,
        "Output": "{% $states.result.Payload %}",
        **fields,
    }


def catching(*errors, following="Caught"):
    return [{"ErrorEquals": list(errors), "Next": following, "Output": "{% $states.errorOutput %}"}]


CAUGHT = {"Type": "Succeed"}
ECHO = {"Type": "Pass"}
RAISING = """
    class FlakyError(Exception): ...

    def handle(event, context):
        raise FlakyError("no luck")
"""


@pytest.fixture(scope="module")
def raising(cloud):
    """A function that always raises FlakyError."""
    return make_function(cloud, RAISING)


# Errors -----------------------------------------------------------------------------------------------------


def test_catch_names_the_class_of_a_function_error_and_gets_its_cause(cloud, raising):
    caught = output_of(
        cloud,
        machine(
            Call=invoke(raising, Catch=[*catching("ValueError", following="Wrong"), *catching("FlakyError")]),
            Wrong={"Type": "Fail", "Error": "Wrong"},
            Caught=CAUGHT,
        ),
    )

    assert caught["Error"] == "FlakyError"
    assert json.loads(caught["Cause"])["errorMessage"] == "no luck"


def test_retry_names_the_class_of_a_function_error(cloud):
    function = make_function(
        cloud,
        """
        calls = 0

        class FlakyError(Exception): ...

        def handle(event, context):
            global calls
            calls += 1
            if calls < 3:
                raise FlakyError
            return calls
        """,
    )
    retry = [{"ErrorEquals": ["FlakyError"], "IntervalSeconds": 1, "MaxDelaySeconds": 1, "BackoffRate": 9}]

    # With the third attempt after 9 seconds, this would not end in time.
    assert finished(cloud, start(cloud, machine(Call=invoke(function, Retry=retry))))["output"] == "3"


@pytest.mark.parametrize(
    ("body", "error"), [("os._exit(1)", "Runtime.ExitError"), ("time.sleep(9)", "Sandbox.Timedout")]
)
def test_a_crash_and_a_timeout_of_a_function_can_be_caught_by_name(cloud, body, error):
    source = f"import os, time\ndef handle(event, context): {body}"
    call = invoke(make_function(cloud, source, Timeout=1), Catch=catching(error))

    assert output_of(cloud, machine(Call=call, Caught=CAUGHT))["Error"] == error


def test_a_throttled_function_is_reported_as_too_many_requests(cloud):
    throttled = make_function(cloud, RAISING)
    cloud.client("lambda").put_function_concurrency(FunctionName=throttled, ReservedConcurrentExecutions=0)
    call = invoke(throttled, Catch=catching("Lambda.TooManyRequestsException"))

    assert output_of(cloud, machine(Call=call, Caught=CAUGHT))["Error"] == "Lambda.TooManyRequestsException"


def test_catch_assigns_variables_from_the_error(cloud, raising):
    catch = [
        {
            "ErrorEquals": ["States.ALL"],
            "Assign": {"failure": "{% $states.errorOutput.Error %}", "input": "{% $states.input %}"},
            "Next": "After",
        }
    ]

    output = output_of(
        cloud,
        machine(
            Call=invoke(raising, Catch=catch),
            After={"Type": "Pass", "Output": {"failure": "{% $failure %}", "input": "{% $input %}"}},
        ),
        {"order": 1},
    )

    assert output == {"failure": "FlakyError", "input": {"order": 1}}


def test_states_all_does_not_catch_a_payload_over_the_quota(cloud):
    function = make_function(cloud, "def handle(event, context): return 'x' * 262_145")
    call = invoke(function, Catch=catching("States.ALL"))

    description = run(cloud, machine(Call=call, Caught=CAUGHT))

    assert (description["status"], description["error"]) == ("FAILED", "States.DataLimitExceeded")


@pytest.mark.parametrize(
    ("resource", "arguments", "error"),
    [
        (
            "sqs:sendMessage",
            {"QueueUrl": "http://x/000000000000/no", "MessageBody": "x"},
            "SQS.QueueDoesNotExistException",
        ),
        ("sqs:sendMessage", {"QueueUrl": "QUEUE", "MessageBody": "x", "DelaySeconds": 901}, "SQS.SqsException"),
        (
            "sns:publish",
            {"TopicArn": "arn:aws:sns:us-east-1:000000000000:no", "Message": "x"},
            "SNS.NotFoundException",
        ),
        (
            "states:startExecution",
            {"StateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:no"},
            "StepFunctions.StateMachineDoesNotExistException",
        ),
    ],
)
def test_errors_of_other_services_have_the_names_of_the_java_sdk(cloud, resource, arguments, error):
    if arguments.get("QueueUrl") == "QUEUE":
        arguments = {**arguments, "QueueUrl": make_queue(cloud).url}
    call = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Arguments": arguments}

    assert run(cloud, machine(Call=call))["error"] == error


def test_fail_evaluates_its_error_and_its_cause(cloud):
    fail = {"Type": "Fail", "Error": "{% 'Bad' & 'Luck' %}", "Cause": "{% $states.input.why %}"}

    description = run(cloud, machine(Fail=fail), {"why": "no reason"})

    assert (description["error"], description["cause"]) == ("BadLuck", "no reason")
    assert "output" not in description


# Data -------------------------------------------------------------------------------------------------------


def test_succeed_evaluates_its_output(cloud):
    assert output_of(cloud, machine(End={"Type": "Succeed", "Output": "{% $states.input + 1 %}"}), 1) == 2


def test_assign_sees_the_variables_as_they_were_before(cloud):
    output = output_of(
        cloud,
        machine(
            First={"Type": "Pass", "Assign": {"x": 1}},
            Second={"Type": "Pass", "Assign": {"x": "{% $x + 1 %}", "before": "{% $x %}"}},
            Last={"Type": "Pass", "Output": {"x": "{% $x %}", "before": "{% $before %}"}},
        ),
    )

    assert output == {"x": 2, "before": 1}


def test_the_context_names_the_execution_and_the_state_machine(cloud):
    arn = start(cloud, machine(Show={"Type": "Pass", "Output": "{% $states.context %}"}), name=unique("run"))

    context = json.loads(finished(cloud, arn)["output"])

    assert context["Execution"]["Id"] == arn
    assert context["Execution"]["Name"] == arn.rsplit(":", 1)[1]
    assert context["Execution"]["StartTime"].endswith("Z")
    assert context["Execution"]["RoleArn"] == ROLE
    assert ":stateMachine:" in context["StateMachine"]["Id"]
    assert context["State"]["Name"] == "Show"


def test_choice_applies_assign_and_output_of_the_rule_or_of_the_default(cloud):
    def chosen(number):
        choice = {
            "Type": "Choice",
            "Choices": [
                {
                    "Condition": "{% $states.input > 5 %}",
                    "Next": "End",
                    "Assign": {"size": "large"},
                    "Output": "rule",
                }
            ],
            "Default": "End",
            "Assign": {"size": "small"},
            "Output": "default",
        }
        end = {"Type": "Pass", "Output": "{% [$states.input, $size] %}", "End": True}
        return output_of(cloud, machine(Choose=choice, End=end), number)

    assert (chosen(9), chosen(1)) == (["rule", "large"], ["default", "small"])


def test_a_condition_that_is_no_boolean_fails(cloud):
    choice = {"Type": "Choice", "Choices": [{"Condition": "{% 'yes' %}", "Next": "End"}], "Default": "End"}

    description = run(cloud, machine(Choose=choice, End={"Type": "Succeed"}))

    assert description["error"] == "States.QueryEvaluationError"


def test_a_text_that_a_function_returns_stays_a_text(cloud):
    function = make_function(cloud, """def handle(event, context): return '{"a": 1}'""")

    assert output_of(cloud, machine(Call=invoke(function))) == '{"a": 1}'


# Map ------------------------------------------------------------------------------------------------------


def test_map_takes_items_selector_and_concurrency_as_expressions(cloud):
    each = {
        "Type": "Map",
        "Items": "{% $states.input.numbers %}",
        "MaxConcurrency": "{% $states.input.lanes %}",
        "ItemSelector": {
            "number": "{% $states.context.Map.Item.Value %}",
            "index": "{% $states.context.Map.Item.Index %}",
        },
        "ItemProcessor": machine(Add={"Type": "Pass", "Output": "{% $states.input.number + $states.input.index %}"}),
        "Output": "{% $sum($states.result) %}",
    }

    assert output_of(cloud, machine(Each=each), {"numbers": [10, 20, 30], "lanes": 2}) == 63


def test_the_history_has_every_iteration_and_its_states(cloud):
    each = {"Type": "Map", "Items": [1, 2, 3], "ItemProcessor": machine(Echo=dict(ECHO))}
    arn = start(cloud, machine(Each=each))
    finished(cloud, arn)

    events = history(cloud, arn)

    kinds = Counter(event["type"] for event in events)
    assert kinds["MapIterationStarted"] == kinds["MapIterationSucceeded"] == kinds["PassStateEntered"] == 3
    assert kinds["MapStateStarted"] == kinds["MapStateSucceeded"] == 1
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))


# Calls to other services ------------------------------------------------------------------------------------


def test_a_published_message_has_its_attributes_its_subject_and_its_text_for_each_protocol(cloud):
    matching, plain = make_queue(cloud), make_queue(cloud)
    sns = cloud.client("sns")
    topic = sns.create_topic(Name=unique("topic"))["TopicArn"]
    policy = json.dumps({"outcome": ["failed"]})
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=matching.arn,
        Attributes={"FilterPolicy": policy, "RawMessageDelivery": "true"},
    )
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=plain.arn)
    message = {"default": "d", "sqs": "for queues"}
    publish = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish",
        "Arguments": {
            "TopicArn": topic,
            "Subject": "Report",
            "MessageStructure": "json",
            "Message": message,
            "MessageAttributes": {"outcome": {"DataType": "String", "StringValue": "failed"}},
        },
    }

    assert set(output_of(cloud, machine(Publish=publish))) == {"MessageId"}

    (raw,) = eventually(matching.receive)
    assert (raw["Body"], raw["MessageAttributes"]["outcome"]["StringValue"]) == ("for queues", "failed")
    envelope = json.loads(eventually(plain.receive)[0]["Body"])
    assert (envelope["Subject"], envelope["Message"]) == ("Report", "for queues")


CHILD = "{% $states.input.child %}"


def child_machine(cloud, **states):
    return cloud.client("stepfunctions").create_state_machine(
        name=unique("child"),
        definition=json.dumps({"QueryLanguage": "JSONata", **machine(**states)}),
        roleArn=ROLE,
    )["stateMachineArn"]


def nested(**fields):
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {"StateMachineArn": CHILD, "Input": {"number": 1}},
        **fields,
    }


def test_a_nested_execution_gives_its_output(cloud):
    child = child_machine(cloud, Add={"Type": "Pass", "Output": "{% $states.input.number + 1 %}"})

    result = output_of(cloud, machine(Nested=nested()), {"child": child})

    assert (result["Status"], result["Output"]) == ("SUCCEEDED", 2)


def test_a_nested_execution_that_fails_is_a_failed_task_with_its_description_as_cause(cloud):
    child = child_machine(cloud, Fail={"Type": "Fail", "Error": "Broken", "Cause": "no luck"})

    caught = output_of(
        cloud,
        machine(Nested=nested(Catch=catching("States.TaskFailed")), Caught=CAUGHT),
        {"child": child},
    )

    assert caught["Error"] == "States.TaskFailed"
    cause = json.loads(caught["Cause"])
    assert (cause["Status"], cause["Error"], cause["Cause"]) == ("FAILED", "Broken", "no luck")


def test_the_cause_of_a_nested_execution_that_fails_is_cut_off_and_its_description_is_not(cloud):
    child = child_machine(cloud, Fail={"Type": "Fail", "Error": "Broken", "Cause": '"' * 20_000})
    started = machine(
        Nested=nested(Catch=catching("States.TaskFailed", following="Describe")),
        Describe={
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sfn:describeExecution",
            "Arguments": {"ExecutionArn": "{% $execution %}"},
            "Output": {
                "cut": "{% $length($cut) %}",
                "status": "{% $states.result.Status %}",
                "cause": "{% $length($states.result.Cause) %}",
            },
        },
    )
    started["States"]["Nested"]["Arguments"]["Name"] = name = unique("child")
    started["States"]["Nested"]["Catch"][0]["Assign"] = {
        "cut": "{% $states.errorOutput.Cause %}",
        "execution": f"{child.replace(':stateMachine:', ':execution:')}:{name}",
    }

    assert output_of(cloud, started, {"child": child}) == {"cut": 32_768, "status": "FAILED", "cause": 20_000}


def test_a_task_that_waits_for_its_token_ends_with_what_is_sent(cloud):
    queue = make_queue(cloud)
    wait = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Arguments": {"QueueUrl": queue.url, "MessageBody": "{% $states.context.Task.Token %}"},
    }
    arn = start(cloud, machine(Wait=wait))

    token = eventually(queue.receive)[0]["Body"]
    cloud.client("stepfunctions").send_task_success(taskToken=token, output='{"approved": true}')

    assert json.loads(finished(cloud, arn)["output"]) == {"approved": True}


# Executions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ({"Type": "Parallel", "Branches": []}, "doesn't support states of the type Parallel"),
        ({"Type": "Wait", "Seconds": 0, "QueryLanguage": "JSONPath"}, "expects QueryLanguage to be JSONata"),
    ],
)
def test_what_the_embedded_cloud_does_not_support_fails_the_execution_and_names_it(cloud, state, cause):
    assert cause in run(cloud, machine(State=state))["cause"]


def test_stopping_an_execution_ends_the_iterations_of_its_map(cloud):
    queue = make_queue(cloud)
    send = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Arguments": {"QueueUrl": queue.url, "MessageBody": "x"},
    }
    waiting = {"Type": "Wait", "Seconds": 1}
    each = {"Type": "Map", "Items": [1, 2], "ItemProcessor": machine(Wait=waiting, Send=send)}
    arn = start(cloud, machine(Each=each))
    eventually(lambda: Counter(event["type"] for event in history(cloud, arn))["WaitStateEntered"] == 2)

    cloud.client("stepfunctions").stop_execution(executionArn=arn, error="Stopped", cause="by hand")

    eventually(lambda: Counter(event["type"] for event in history(cloud, arn))["MapIterationAborted"] == 2)
    description = finished(cloud, arn)
    assert (description["status"], description["error"]) == ("ABORTED", "Stopped")
    assert queue.depth() == (0, 0, 0)


def test_an_execution_times_out_as_its_definition_says(cloud):
    definition = {"TimeoutSeconds": 1, **machine(Wait={"Type": "Wait", "Seconds": 60})}

    description = run(cloud, definition)

    assert (description["status"], description["error"]) == ("TIMED_OUT", "States.Timeout")


def test_starting_a_running_execution_again_with_the_same_input_answers_with_that_execution(cloud):
    client = cloud.client("stepfunctions")
    child = child_machine(cloud, Wait={"Type": "Wait", "Seconds": 60})

    first, second = (
        client.start_execution(stateMachineArn=child, name="once", input="{}")["executionArn"] for _ in range(2)
    )
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(stateMachineArn=child, name="once", input='{"other": 1}')

    assert first == second
    client.stop_execution(executionArn=first)


# Prints what a request sees as soon as it sees that an execution has ended.
WATCHED = """
import json, sys
from local.ministack_compat import step_functions

class Watched(dict):
    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        if key == "status":
            print(json.dumps(self))

execution = {"status": "RUNNING", "output": None, "stopDate": None, "events": [], "sync": True, "stateMachineArn": "a"}
step_functions.finish(Watched(execution), sys.argv[1], **json.loads(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        ("SUCCEEDED", {"output": '{"a": 1}'}),
        ("FAILED", {"error": "E", "cause": "C"}),
        ("TIMED_OUT", {"error": "States.Timeout", "cause": None}),
    ],
)
def test_whoever_sees_that_an_execution_has_ended_sees_how(status, ending):
    given = ending | ({"output": json.loads(ending["output"])} if "output" in ending else {})
    command = [cloud_python(), "-c", WATCHED, status, json.dumps(given)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    seen = json.loads(done.stdout)

    assert {key: seen[key] for key in ("status", *ending)} == {"status": status, **ending}
    assert seen["stopDate"]
    assert [event["type"].lower() for event in seen["events"]] == [f"execution{status.lower().replace('_', '')}"]
