"""The definitions break no rule that only Step Functions checks, and the check of each rule finds what breaks it."""

import copy
import json
from typing import Any

import pytest

from tests.support.asl_rules import problems
from tests.support.cfn_lint import linted
from tests.support.definitions import DEFINITIONS, definition
from tests.support.executions import VALUES

BROKEN: dict[str, Any] = {
    "QueryLanguage": "JSONata",
    "StartAt": "A",
    "States": {
        "A": {"Type": "Pass", "Assign": {"x": "{% $states.input.x %}"}, "Next": "B"},
        "B": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {"FunctionName": "f", "Payload": {"x": "{% $x[y = 1].(z & $) %}"}},
            "Assign": {"y": "{% $states.result.Payload %}"},
            "Retry": [
                {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxDelaySeconds": 2, "JitterStrategy": "FULL"}
            ],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Assign": {"e": "{% $states.errorOutput.Cause %}"}, "Next": "C"}],
            "Next": "M",
        },
        "M": {
            "Type": "Map",
            "Items": "{% $y %}",
            "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Pass", "Assign": {"i": 1}, "End": True}}},
            "Next": "C",
        },
        "C": {"Type": "Choice", "Choices": [{"Condition": "{% $x = 1 %}", "Next": "D"}], "Default": "F"},
        "D": {"Type": "Succeed", "Output": "{% $x %}"},
        "F": {"Type": "Fail", "Error": "E", "Cause": "{% $x %}"},
    },
}
PAYLOAD = ("B", "Arguments", "Payload", "x")
RETRY = ("B", "Retry", 0)
BREAKS = [
    (PAYLOAD, "{% x %}", "top level"),
    (PAYLOAD, "{% $ %}", "top level"),
    (PAYLOAD, "{% $$.x %}", "top level"),
    (PAYLOAD, "{% * %}", "top level"),
    (PAYLOAD, "{% $x ? name : 1 %}", "top level"),
    (PAYLOAD, "{% {'a': [b]} %}", "top level"),
    (PAYLOAD, "{% $map($x, function($v) { $v & name }) %}", "top level"),
    (PAYLOAD, "{% $x[$$.y = 1] %}", "top level"),
    (PAYLOAD, "{% $eval('1') %}", "$eval"),
    (PAYLOAD, "{% 1 + %}", "parsed"),
    (PAYLOAD, " {% $x %}", "whole text"),
    (PAYLOAD, "{% $x %}\n", "whole text"),
    (PAYLOAD, "x: {% $x %}", "whole text"),
    (PAYLOAD, "{% $states.result %}", "isn't there"),
    (PAYLOAD, "{% $states.errorOutput %}", "isn't there"),
    (PAYLOAD, "{% $states.output %}", "doesn't exist"),
    (("B", "Arguments", "Payload", "y.$"), "$.x", "JSONPath"),
    (("B", "Resource"), "{% $x %}", "isn't evaluated"),
    (("B", "Parameters"), {}, "Parameters"),
    (("B", "ResultPath"), None, "ResultPath"),
    (("D", "Assign"), {"z": 1}, "Assign"),
    (("F", "Output"), 1, "Output"),
    (("F", "Comments"), "", "Comments"),
    (("C", "Choices", 0, "Variable"), "$.x", "Variable"),
    (("A", "Assign", "states"), 1, "can't be called"),
    (("A", "Assign", "a.b"), 1, "can't be called"),
    (("A", "Assign", "$a"), 1, "can't be called"),
    (("A", "Assign", "a" * 81), 1, "can't be called"),
    (("a" * 81,), {"Type": "Succeed"}, "at most 80"),
    (("M", "ItemProcessor", "States", "A"), {"Type": "Succeed"}, "same name"),
    (("M", "ItemProcessor", "States", "I", "Assign", "x"), 1, "inner scope"),
    (("M", "ItemProcessor", "States", "I", "Output"), "{% x %}", "top level"),
    ((*RETRY, "MaxDelaySeconds"), 1, "MaxDelaySeconds"),
    ((*RETRY, "MaxDelaySeconds"), 31_622_400, "MaxDelaySeconds"),
    ((*RETRY, "IntervalSeconds"), 0, "IntervalSeconds"),
    ((*RETRY, "MaxAttempts"), 100_000_000, "MaxAttempts"),
    ((*RETRY, "BackoffRate"), 0.5, "BackoffRate"),
    ((*RETRY, "JitterStrategy"), "SOME", "JitterStrategy"),
    ((*RETRY, "Next"), "C", "Next"),
]


@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_definitions_break_no_rule(name):
    assert problems(definition(name)) == []


def test_what_breaks_no_rule_is_accepted():
    assert problems(BROKEN) == []


@pytest.mark.parametrize(("path", "value", "problem"), BREAKS, ids=lambda part: str(part)[:40])
def test_what_breaks_one_rule_is_found(path, value, problem):
    broken = copy.deepcopy(BROKEN)
    place: Any = broken["States"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    [found] = problems(broken)
    assert problem in found


@pytest.mark.parametrize(("key", "value"), [("QueryLanguage", "JSONPath"), ("Comment", "x" * 1_100_000)])
def test_what_breaks_a_rule_of_the_whole_is_found(key, value):
    assert len(problems(BROKEN | {key: value})) == 1


# cfn-lint knows a schema of definitions, but sees only those that are in a template.


def linted_definition(states: dict[str, Any]) -> list[str]:
    text = json.dumps(states)
    for placeholder, value in VALUES.items():
        arn = value if value.startswith(("arn:", "aws")) else f"arn:aws:lambda:us-east-1:123456789012:function:{value}"
        text = text.replace(f"${{{placeholder}}}", arn)
    properties = {"RoleArn": "arn:aws:iam::123456789012:role/workflow", "DefinitionString": text}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    return linted(json.dumps({"Resources": {"Workflow": machine}}))


@pytest.mark.parametrize("name", DEFINITIONS)
def test_cfn_lint_accepts_the_definitions(name):
    assert linted_definition(definition(name)) == []


def test_cfn_lint_sees_the_definition():
    broken = copy.deepcopy(definition())
    del broken["States"]["Report"]["Next"]
    assert [problem[:5] for problem in linted_definition(broken)] == ["E3601"]
