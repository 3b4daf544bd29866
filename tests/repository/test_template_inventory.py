"""The template loses no resource, encryption setting, permissions boundary, alarm, or documented output unnoticed.

template_inventory.json was recorded from the template before it was rewritten in reading order. What is gone on purpose
is listed here with the reason.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.rendering import transformed

BEFORE: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("template_inventory.json").read_text())
RESOURCES = transformed()["Resources"]
#: Resources that are gone, each with what does its work now, or None if nothing needs to.
REPLACED = {
    # One function per permission instead of one per step.
    **dict.fromkeys(("PlanFunction", "TallyFunction", "SettleFunction", "ReportFunction"), "CoordinatorFunction"),
    **dict.fromkeys(
        ("PlanFunctionRole", "TallyFunctionRole", "SettleFunctionRole", "ReportFunctionRole"), "CoordinatorFunctionRole"
    ),
    **dict.fromkeys(("PlanLogs", "TallyLogs", "SettleLogs", "ReportLogs"), "CoordinatorLogs"),
    "SampleFunction": "SamplerFunction",
    "SampleFunctionRole": "SamplerFunctionRole",
    "SampleLogs": "SamplerLogs",
    "MoveFunction": "MoverFunction",
    "MoveFunctionRole": "MoverFunctionRole",
    "MoveLogs": "MoverLogs",
    # One log group per example pair.
    **dict.fromkeys(("StoreEventsProducerLogs", "StoreEventsConsumerLogs", "StoreEventsNoticeLogs"), "StoreEventsLogs"),
    **dict.fromkeys(("EmailTasksProducerLogs", "EmailTasksConsumerLogs"), "EmailTasksLogs"),
    **dict.fromkeys(("RewardPayoutsProducerLogs", "RewardPayoutsConsumerLogs"), "RewardPayoutsLogs"),
    # Declared explicitly, so that SAM attaches no managed policy.
    "StoreEventsConsumerStoreEvents": "StoreEventsConsumerSource",
    "EmailTasksConsumerEmailTasks": "EmailTasksConsumerSource",
    "RewardPayoutsConsumerRewardPayouts": "RewardPayoutsConsumerSource",
}


@pytest.mark.parametrize("name", BEFORE["resources"])
def test_every_resource_of_before_exists_or_has_a_replacement_of_its_type(name):
    before = BEFORE["resources"][name]
    assert (name in RESOURCES) != (name in REPLACED)
    now = RESOURCES[REPLACED.get(name, name)]
    assert (now["Type"], now.get("Condition")) == (before["type"], before.get("condition"))


@pytest.mark.parametrize("name", [name for name, found in BEFORE["resources"].items() if "encryption" in found])
def test_nothing_loses_its_encryption(name):
    before, now = BEFORE["resources"][name]["encryption"], without_key(RESOURCES[name]["Properties"])
    assert {key: now.get(key) for key in before} == before


def without_key(found: Any) -> Any:
    """Return a part of the template as it is if no key of the deployer's is given."""
    if isinstance(found, list):
        return [without_key(part) for part in found]
    if not isinstance(found, dict):
        return found
    if "Fn::If" in found and found["Fn::If"][0] == "HasKey":
        return without_key(found["Fn::If"][2])
    parts = {key: without_key(part) for key, part in found.items()}
    return {key: part for key, part in parts.items() if part != {"Ref": "AWS::NoValue"}}


def test_a_key_of_the_deployers_encrypts_all_that_is_kept():
    kinds = {"AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::DynamoDB::Table", "AWS::Logs::LogGroup"}
    kept = {name: found for name, found in RESOURCES.items() if found["Type"] in kinds}
    with_key = {name for name, found in kept.items() if "KmsKeyArn" in str(found["Properties"])}
    # CloudWatch must be able to use the key of the alarms' topic, whose policy says so.
    assert kept.keys() - with_key == {"AlarmTopic"}
    roles = {part["Ref"] for part in RESOURCES["UseKeyPolicy"]["Properties"]["Roles"] if "Ref" in part}
    roles |= {part["Fn::If"][1]["Ref"] for part in RESOURCES["UseKeyPolicy"]["Properties"]["Roles"] if "Fn::If" in part}
    # A rule sends as EventBridge, and the chat's role can do nothing.
    every = {name for name, found in RESOURCES.items() if found["Type"] == "AWS::IAM::Role"}
    assert every - roles == {"DLQAlarmRuleRole", "SlackChannelRole"}


@pytest.mark.parametrize("name", [name for name, found in RESOURCES.items() if found["Type"] == "AWS::IAM::Role"])
def test_every_role_has_the_permissions_boundary(name):
    assert RESOURCES[name]["Properties"]["PermissionsBoundary"] == BEFORE["permissionsBoundary"]


@pytest.mark.parametrize("name", [name for name, found in BEFORE["resources"].items() if "alarm" in found])
def test_every_alarm_watches_what_it_watched_at_the_same_threshold(name):
    before, now = BEFORE["resources"][name]["alarm"], RESOURCES[name]["Properties"]
    assert {key: now.get(key) for key in before} == before


def test_no_alarm_is_missing():
    assert sum("alarm" in found for found in BEFORE["resources"].values()) == 27


@pytest.mark.parametrize("name", BEFORE["documentedOutputs"])
def test_every_output_that_the_documentation_names_exists(name):
    assert name in transformed()["Outputs"]
