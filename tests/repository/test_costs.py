"""The tables of what the stack costs have the numbers of what the template deploys."""

import re
from typing import Any

import pytest

from tests.support.definitions import ROOT
from tests.support.rendering import transformed

RESOURCES = transformed()["Resources"]
# Rows of the table in the guide on deployment, and what each counts.
KINDS = {
    "alarms": "AWS::CloudWatch::Alarm",
    "composite alarm": "AWS::CloudWatch::CompositeAlarm",
    "dashboard": "AWS::CloudWatch::Dashboard",
    "key of the alarm topic, which is rotated": "AWS::KMS::Key",
    "queues that Lambda polls although they are empty": "AWS::Lambda::EventSourceMapping",
}
ALARMS_OF = {
    "the redrive": None,
    "the examples": "WithExamples",
    "automatic runs": "WithAutomaticStart",
    "chat": "WithChat",
}


def number(kind: str, *conditions: str | None) -> int:
    return sum(found["Type"] == kind and found.get("Condition") in conditions for found in RESOURCES.values())


def rows(guide: str, heading: str) -> dict[str, list[str]]:
    """Return the cells of the table under a heading, by the first one."""
    section = (ROOT / "docs" / "guides" / f"{guide}.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:2] == "| "]
    return {first: others for first, *others in table[2:]}


def dollars(text: str) -> float:
    found = re.search(r"\$(\d+\.\d\d)", text)
    assert found is not None, text
    return float(found[1])


@pytest.mark.parametrize(("column", "conditions"), [(1, (None, "WithExamples")), (2, (None,))])
def test_the_table_has_what_costs_something_at_rest(column, conditions):
    table = rows("deploy", "What it costs at rest")
    assert table.keys() - {"total"} == KINDS.keys()
    for what, kind in KINDS.items():
        count = number(kind, *conditions)
        assert table[what][column] == f"{count}: ${count * dollars(table[what][0]):.2f}", what
    total = sum(dollars(table[what][column]) for what in KINDS)
    assert table["total"][column] == f"${total:.2f}"


def test_the_alarms_are_counted_by_what_they_watch():
    table = rows("monitoring", "What it costs")
    (composite,) = table.keys() - ALARMS_OF.keys()
    counts: dict[str, Any] = {what: number(KINDS["alarms"], condition) for what, condition in ALARMS_OF.items()}
    assert sum(counts.values()) == sum(found["Type"] == KINDS["alarms"] for found in RESOURCES.values())
    for what, count in {**counts, composite: 1}.items():
        assert table[what] == [str(count), table[what][1], f"${count * dollars(table[what][1]):.2f}"]
    assert dollars(table[composite][1]) == 0.50


def test_every_alarm_is_of_the_kind_that_the_table_counts():
    """A metric math alarm costs its metrics, and one of less than a minute costs three times as much."""
    for name, found in RESOURCES.items():
        if found["Type"] == KINDS["alarms"]:
            assert "Metrics" not in found["Properties"], name
            assert found["Properties"]["Period"] >= 60, name


def test_what_the_free_tier_leaves_is_said():
    table = rows("deploy", "What it costs at rest")
    left = sum(dollars(table[what][2]) for what in ("composite alarm", "key of the alarm topic, which is rotated"))
    assert number(KINDS["alarms"], None) <= 10
    assert f"${left:.2f} is left" in (ROOT / "docs" / "guides" / "deploy.md").read_text()


def test_nothing_else_costs_something_at_rest():
    """What is listed here costs by use or by what is in it. Secrets, addresses, and provisioned capacity would not."""
    by_use = {
        "AWS::Chatbot::SlackChannelConfiguration",
        "AWS::DynamoDB::Table",
        "AWS::Events::Rule",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Url",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::Topic",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::Queue",
        "AWS::SQS::QueuePolicy",
        "AWS::SSM::Parameter",
        "AWS::Scheduler::Schedule",
        "AWS::StepFunctions::StateMachine",
    }
    assert {found["Type"] for found in RESOURCES.values()} - set(KINDS.values()) == by_use
    tables = [found["Properties"] for found in RESOURCES.values() if found["Type"] == "AWS::DynamoDB::Table"]
    assert {table["BillingMode"] for table in tables} == {"PAY_PER_REQUEST"}
    assert not [name for name, found in RESOURCES.items() if "ProvisionedConcurrencyConfig" in str(found)]
