"""Who may use the stack besides its own roles: whatever a policy on a resource allows is listed here, word for word.

The policies of roles are compared with the calls that need them by `tests.permissions`. The policy that no test
deploys, for the deployer's key, is listed here, too.
"""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.definitions import functions, listed, statements
from tests.support.rendering import transformed

Json = dict[str, Any]
RESOURCES: dict[str, Json] = transformed()["Resources"]
THIS_ACCOUNT = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
ALARMS = {"Principal": {"Service": "cloudwatch.amazonaws.com"}, "Resource": "*", "Condition": THIS_ACCOUNT}
SERVICES = {
    **{f"{name}Role": "lambda" for name in functions()},
    **{"RedriveStateMachineRole": "states", "AutomaticStateMachineRole": "states"},
    **{"DLQAlarmRuleRole": "events", "AutomaticScheduleRole": "scheduler", "SlackChannelRole": "chatbot"},
}


def notified(function: str, topic: str) -> list[Json]:
    """Return what lets a topic invoke a function."""
    return [
        {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Ref": function},
            "Principal": "sns.amazonaws.com",
            "SourceArn": {"Ref": topic},
        }
    ]


GRANTS: dict[str, list[Json]] = {
    "AlarmKey": [
        {
            # KMS developer guide, "Default key policy": without it nobody may be able to change the key.
            "Principal": {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}},
            "Action": "kms:*",
            "Resource": "*",
        },
        {**ALARMS, "Action": ["kms:Decrypt", "kms:GenerateDataKey*"]},
    ],
    "AlarmTopicPolicy": [{**ALARMS, "Action": "sns:Publish", "Topics": [{"Ref": "AlarmTopic"}]}],
    "LostStartsQueuePolicy": [
        {
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": "*",
            "Condition": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["DLQAlarmRule", "Arn"]}}},
            "Queues": [{"Ref": "LostStartsQueue"}],
        }
    ],
    "SlackWebhookFunctionAlarmsPermission": notified("SlackWebhookFunction", "AlarmTopic"),
    "SlackWebhookFunctionReportsPermission": notified("SlackWebhookFunction", "ReportTopic"),
    "AmazonQFunctionAlarmsPermission": notified("AmazonQFunction", "AlarmTopic"),
    "AmazonQFunctionReportsPermission": notified("AmazonQFunction", "ReportTopic"),
    "StoreEventsNoticeReportPermission": notified("StoreEventsNotice", "ReportTopic"),
    "UseKeyPolicy": [{"Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": {"Ref": "KmsKeyArn"}}],
    # IAM user guide, "The confused deputy problem": a service acts for resources of this account only.
    **{
        role: [
            {
                "Action": "sts:AssumeRole",
                "Principal": {"Service": f"{service}.amazonaws.com"},
                "Condition": THIS_ACCOUNT,
            }
        ]
        for role, service in SERVICES.items()
    },
}


def grants(name: str, resource: Json) -> list[Any]:
    """Return each statement that allows something on a resource, or with a role, and each permission on a function.

    A document that is written as a text is returned as it is.
    """
    properties = resource.get("Properties", {})
    match resource["Type"]:
        # Policies without a document.
        case "AWS::Lambda::Permission" | "AWS::Lambda::LayerVersionPermission" | "AWS::Events::EventBusPolicy":
            return [properties]
        case "AWS::IAM::Role":
            policy = properties["AssumeRolePolicyDocument"]
        case "AWS::IAM::Policy" if name != "UseKeyPolicy":
            return []
        case _:
            policy = properties
    targets = {key: properties[key] for key in ("Queues", "Topics") if key in properties}
    allowed = [
        {key: part for key, part in found.items() if key not in {"Sid", "Effect"}} | targets
        for found in statements(policy)
        if found["Effect"] != "Deny"
    ]
    return allowed + [text for text in texts(policy) if '"Effect"' in text]


def texts(found: Any) -> Iterator[str]:
    """Yield each text in a part of the template."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for part in found.values() if isinstance(found, dict) else found:
            yield from texts(part)


def unlisted(resources: dict[str, Json]) -> set[str]:
    """Return the names of resources that allow something else than what is listed."""
    found = {name: allowed for name, resource in resources.items() if (allowed := grants(name, resource))}
    return {name for name in found.keys() | GRANTS.keys() if found.get(name) != GRANTS.get(name)}


def test_resources_and_roles_can_be_used_by_whom_is_listed_only():
    assert unlisted(RESOURCES) == set()


# The check itself: it notices whatever widens a policy.

DOCUMENTS = {
    "AWS::SQS::QueuePolicy": ("PolicyDocument", "sqs:ReceiveMessage"),
    "AWS::SNS::TopicPolicy": ("PolicyDocument", "sns:Subscribe"),
    "AWS::KMS::Key": ("KeyPolicy", "kms:Decrypt"),
    "AWS::IAM::Role": ("AssumeRolePolicyDocument", "sts:AssumeRole"),
    "AWS::IAM::Policy": ("PolicyDocument", "kms:CreateGrant"),
}
STRANGER = {"AWS": "arn:aws:iam::999999999999:root"}
WITH_DOCUMENT = [
    name
    for name, resource in RESOURCES.items()
    if resource["Type"] in DOCUMENTS and (resource["Type"] != "AWS::IAM::Policy" or name in GRANTS)
]
PERMISSIONS = [name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::Lambda::Permission"]


def more(principal: Any, **parts: Any) -> Callable[[str], Json]:
    return lambda action: {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*", **parts}


def without(key: str, part: Json) -> Json:
    return {name: value for name, value in part.items() if name != key}


STATEMENTS: dict[str, Callable[[str], Json]] = {
    "everybody": more("*"),
    "everybody in the words of IAM": more({"AWS": "*"}),
    "another account": more(STRANGER),
    "everybody under a condition": lambda action: {
        "Fn::If": ["WithExamples", more("*")(action), {"Ref": "AWS::NoValue"}]
    },
    "everybody whose request isn't this": lambda action: without("Action", more("*", NotAction="sqs:None")(action)),
}
#: Changes of a statement that allows something. One that changes nothing doesn't apply.
WIDENED: dict[str, Callable[[Json], Json]] = {
    "everybody": lambda found: {**found, "Principal": "*"},
    "another account": lambda found: {**found, "Principal": STRANGER},
    "all but one": lambda found: {**without("Principal", found), "NotPrincipal": STRANGER},
    "no condition": lambda found: without("Condition", found),
    "a condition on the transport": lambda found: {**found, "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
    "one action more": lambda found: {**found, "Action": [*listed(found["Action"]), "kms:PutKeyPolicy"]},
    "all actions": lambda found: {**found, "Action": f"{listed(found['Action'])[0].split(':')[0]}:*"},
    "all resources": lambda found: {**found, "Resource": "*"},
    "keys of the account": lambda found: {**found, "Resource": {"Fn::Sub": "arn:aws:kms:*:${AWS::AccountId}:key/*"}},
}
WIDENED_PERMISSIONS: dict[str, Callable[[Json], Json]] = {
    "everybody": lambda found: {**found, "Principal": "*"},
    "another account": lambda found: {**found, "Principal": "999999999999"},
    "any topic": lambda found: without("SourceArn", found),
    "a pattern of topics": lambda found: {**found, "SourceArn": {"Fn::Sub": "arn:aws:sns:*:${AWS::AccountId}:*"}},
    "another function": lambda found: {**found, "FunctionName": {"Ref": "MoverFunction"}},
    "all actions": lambda found: {**found, "Action": "lambda:*"},
}


def noticed(name: str, resource: Json) -> bool:
    """Return whether the check notices that the template has this resource, in place of one of the same name."""
    return unlisted(RESOURCES | {name: resource}) == {name}


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("name", WITH_DOCUMENT)
def test_one_statement_more_is_noticed(name, statement):
    resource = copy.deepcopy(RESOURCES[name])
    key, action = DOCUMENTS[resource["Type"]]
    resource["Properties"][key]["Statement"].append(STATEMENTS[statement](action))
    assert noticed(name, resource)


def allowing(name: str, resource: Json) -> list[Json]:
    """Return the statements of a policy's document that allow something."""
    key, _ = DOCUMENTS[RESOURCES[name]["Type"]]
    return [found for found in statements(resource["Properties"][key]) if found["Effect"] == "Allow"]


@pytest.mark.parametrize(
    ("name", "place", "change"),
    [
        (name, place, change)
        for name in WITH_DOCUMENT
        for place, found in enumerate(allowing(name, RESOURCES[name]))
        for change in WIDENED
        if WIDENED[change](found) != found
    ],
)
def test_a_widened_statement_is_noticed(name, place, change):
    resource = copy.deepcopy(RESOURCES[name])
    found = allowing(name, resource)[place]
    changed = WIDENED[change](found)
    found.clear()
    found.update(changed)
    assert noticed(name, resource)


@pytest.mark.parametrize("change", WIDENED_PERMISSIONS)
@pytest.mark.parametrize("name", PERMISSIONS)
def test_a_widened_permission_on_a_function_is_noticed(name, change):
    resource = RESOURCES[name]
    assert noticed(name, {**resource, "Properties": WIDENED_PERMISSIONS[change](resource["Properties"])})


@pytest.mark.parametrize("name", ["AlarmTopicPolicy", "LostStartsQueuePolicy"])
def test_one_queue_or_topic_more_that_a_policy_is_about_is_noticed(name):
    resource = copy.deepcopy(RESOURCES[name])
    for key in {"Queues", "Topics"} & resource["Properties"].keys():
        resource["Properties"][key].append({"Ref": "QuarantineQueue" if key == "Queues" else "ReportTopic"})
        assert noticed(name, resource)


DOCUMENT = {"Version": "2012-10-17", "Statement": [more("*")("sqs:*")]}


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::SQS::QueuePolicy", {"Queues": [{"Ref": "QuarantineQueue"}], "PolicyDocument": DOCUMENT}),
        ("AWS::SQS::QueuePolicy", {"Queues": [{"Ref": "QuarantineQueue"}], "PolicyDocument": json.dumps(DOCUMENT)}),
        ("AWS::SQS::QueueInlinePolicy", {"Queue": {"Ref": "QuarantineQueue"}, "PolicyDocument": DOCUMENT}),
        ("AWS::SNS::TopicInlinePolicy", {"TopicArn": {"Ref": "ReportTopic"}, "PolicyDocument": DOCUMENT}),
        ("AWS::DynamoDB::Table", {"ResourcePolicy": {"PolicyDocument": DOCUMENT}}),
        ("AWS::Logs::ResourcePolicy", {"PolicyName": "all", "PolicyDocument": {"Fn::Sub": json.dumps(DOCUMENT)}}),
        ("AWS::IAM::Role", {"AssumeRolePolicyDocument": DOCUMENT}),
        ("AWS::Lambda::Permission", {"FunctionName": {"Ref": "StopFunction"}, "Principal": "*"}),
        ("AWS::Events::EventBusPolicy", {"StatementId": "all", "Principal": "*", "Action": "events:PutEvents"}),
    ],
)
def test_one_resource_more_that_allows_something_is_noticed(kind, properties):
    assert noticed("More", {"Type": kind, "Properties": properties})


@pytest.mark.parametrize("name", GRANTS)
def test_what_is_listed_is_in_the_template(name):
    assert unlisted(without(name, RESOURCES)) == {name}
