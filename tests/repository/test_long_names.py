"""A stack may have a name of 128 characters: nothing that the template builds from it gets too long.

CloudFormation itself shortens the names that it generates, so `!GetAtt` and `!Ref` always hold. Deployed with such a
name, the stack runs in `tests/e2e/test_automatic_start.py`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import rendering
from tests.support.definitions import listed
from tests.support.rendering import rendered, transformed

# CloudFormation API reference, CreateStack: "It must start with an alphabetical character and can't be longer than 128
# characters".
STACK = "s" * 128
ACCOUNT, REGION = "123456789012", "ap-southeast-2"
# As many and as long as the parameter takes.
PATTERNS = [f"{number}-".ljust(80, "q") for number in range(8)]
#: By type: where its ARN has the name, and the longest name that its service allows.
GENERATED = {
    "AWS::SQS::Queue": (f"arn:aws:sqs:{REGION}:{ACCOUNT}:", 80),
    "AWS::Lambda::Function": (f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:", 64),
    "AWS::StepFunctions::StateMachine": (f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:", 80),
    "AWS::SNS::Topic": (f"arn:aws:sns:{REGION}:{ACCOUNT}:", 256),
    "AWS::DynamoDB::Table": (f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/", 255),
    "AWS::CloudWatch::Alarm": (f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:", 255),
    "AWS::Events::Rule": (f"arn:aws:events:{REGION}:{ACCOUNT}:rule/", 64),
    "AWS::SSM::Parameter": (f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/", 64),
}
#: By property: the longest name (CloudFormation template reference; for dashboards, PutDashboard of the CloudWatch API
#: reference).
EXPLICIT = {"LogGroupName": 512, "DashboardName": 255}
# CloudFormation adds a hyphen, the logical ID, another hyphen, and random characters.
RANDOM = 13


@pytest.fixture(scope="module")
def longest() -> Iterator[dict[str, Any]]:
    """The resources after deployment with everything on, each name as long as it may be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(rendering._VALUES, "AWS::StackName", STACK)
        patch.setitem(rendering._VALUES, "AWS::Region", REGION)
        patch.setitem(rendering._VALUES, "QueueNamePattern", ",".join(PATTERNS))
        text = json.dumps(rendered(transformed()["Resources"], examples=True))
    types = {name: each["Type"] for name, each in transformed()["Resources"].items() if each["Type"] in GENERATED}

    def generated(match: re.Match[str]) -> str:
        logical, attribute = match.groups()
        arn, most = GENERATED[types[logical]]
        name = f"{STACK}-{logical}-{'x' * RANDOM}"[-most:]
        by_arn = types[logical] in {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}
        return arn + name if attribute == "Arn" or (by_arn and not attribute) else name

    # A key of the JSON isn't a reference.
    text = re.sub(rf"\b({'|'.join(types)})\b(?:\.(Arn|QueueName|Name))?(?!\": {{)", generated, text)
    found: dict[str, Any] = json.loads(text)
    return found


def named_explicitly(found: Any) -> Iterator[tuple[str, str]]:
    if isinstance(found, dict):
        yield from ((key, text) for key, text in found.items() if isinstance(text, str) and STACK in text)
        found = list(found.values())
    if isinstance(found, list):
        for part in found:
            yield from named_explicitly(part)


def test_every_name_that_the_template_builds_from_the_stacks_name_is_short_enough(longest):
    properties = [resource["Properties"] for resource in longest.values()]
    names = {key: text for key, text in named_explicitly(properties) if key.endswith("Name")}
    assert names.keys() == EXPLICIT.keys()
    assert {key: text for key, text in names.items() if len(text) > EXPLICIT[key]} == {}


def test_the_names_of_alarms_have_room_for_the_whole_name_of_the_stack():
    # The rule of automatic starts and a permission match alarms by it.
    alarms = [name for name, each in transformed()["Resources"].items() if each["Type"].startswith("AWS::CloudWatch::")]
    assert len(STACK) + max(map(len, alarms)) + 1 + RANDOM <= 255


def test_the_permissions_of_every_role_fit(longest):
    # IAM user guide, "IAM and AWS STS quotas": 10,240 characters of inline policies per role, without white space.
    sizes: dict[str, int] = {}
    for name, resource in longest.items():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::IAM::Role":
            policies = [policy["PolicyDocument"] for policy in listed(properties.get("Policies", []))]
            sizes[name] = sizes.get(name, 0) + sum(len(re.sub(r"\s", "", json.dumps(each))) for each in policies)
        elif resource["Type"] == "AWS::IAM::Policy":
            for role in properties["Roles"]:
                sizes[role] = sizes.get(role, 0) + len(re.sub(r"\s", "", json.dumps(properties["PolicyDocument"])))
    assert {name: size for name, size in sizes.items() if size > 10_240} == {}


def test_the_environment_of_every_function_fits(longest):
    # Lambda developer guide, "Lambda quotas": 4 KB for all environment variables.
    sizes = {
        name: sum(len(f"{key}{value}") for key, value in resource["Properties"]["Environment"]["Variables"].items())
        for name, resource in longest.items()
        if resource["Type"] == "AWS::Lambda::Function"
    }
    assert {name: size for name, size in sizes.items() if size > 4_096} == {}


def test_the_rule_of_the_composite_alarm_fits(longest):
    # CloudWatch API reference, PutCompositeAlarm: AlarmRule.
    assert len(longest["SomethingNeedsAPersonAlarm"]["Properties"]["AlarmRule"]) <= 10_240


def test_the_pattern_of_automatic_starts_fits(longest):
    # EventBridge user guide, "EventBridge quotas": 2,048 characters of an event pattern.
    assert len(json.dumps(longest["DLQAlarmRule"]["Properties"]["EventPattern"])) <= 2_048
