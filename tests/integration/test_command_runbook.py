"""`redrive runbook`: the page for what's deployed, and for queues with few facts."""

import json

import boto3
import pytest

from redrive.command.main import run
from tests.support.consumers import answer_with, deny, mapping
from tests.support.moto_stack import MotoStack, denied
from tests.support.shell import words

pytestmark = pytest.mark.usefixtures("operator")


def tag(queue, **tags: str) -> None:
    boto3.client("sqs").tag_queue(QueueUrl=queue.url, Tags=tags)


@pytest.fixture
def orders(cloud, dlq):
    queue = cloud.queues.find("orders")
    answer_with(cloud, [mapping(queue, "worker:live", BatchSize=1)], {"worker:live": 30})
    tag(dlq, owner="team-orders <x>")
    tag(queue, **{"redrive:max-rate": "40"})
    return queue


def page(capsys, *arguments: str) -> str:
    assert run(["runbook", "orders-dlq", *arguments]) == 0
    return str(capsys.readouterr().out)


def test_a_page_says_what_is_deployed(cloud, orders, capsys):
    stack = MotoStack(cloud, QueueNamePattern="orders*")
    answer_with(cloud, [mapping(orders, "worker:live", BatchSize=1)], {"worker:live": 30})
    stack.environment = {"QUEUE_CONTRACTS": "orders=ssm:/contracts/order"}
    found = page(capsys)
    assert found.startswith("# Runbook: orders-dlq\n")
    for part in (
        r"team-orders \<x\>",
        "4 d after it was first sent",
        "| `orders` | `worker:live` | enabled, batches of up to 1,",
        "timeout 30 s",
        "log-group/$252Faws$252Flambda$252Fworker",
        "40 messages per second",
        "`ssm:/contracts/order`",
        "AWS recommends 180 s",
        "    redrive start orders-dlq --rate 40 --watch",
        "    redrive stop orders-dlq",
        "    redrive start quarantine --dry-run",
    ):
        assert part in found
    assert json.loads(page(capsys, "--json"))["markdown"] == found


def test_no_message_is_received(cloud, dlq, orders, capsys):
    cloud.send(dlq, ["zqxj"])
    cloud.send(orders, ["zqxj"])
    cloud.calls.clear()
    assert "zqxj" not in page(capsys)
    assert "sqs:ReceiveMessage" not in cloud.calls


@pytest.mark.usefixtures("orders")
def test_without_a_stack_or_outside_of_its_patterns_the_page_uses_move(cloud, capsys):
    assert "redrive move orders-dlq" in page(capsys)
    MotoStack(cloud, QueueNamePattern="payments*")
    found = page(capsys)
    assert "redrive move orders-dlq" in found
    assert "redrive start" not in found
    assert run(["runbook", "orders-dlq", "--stack", "other"]) == 1


@pytest.mark.usefixtures("orders")
def test_the_profile_and_region_are_in_the_commands(capsys):
    assert "    redrive look orders-dlq --region us-east-1\n" in page(capsys, "--region", "us-east-1")


@pytest.mark.usefixtures("orders")
def test_what_may_not_be_read_is_missing_and_said(cloud, capsys):
    deny(cloud, "lambda.ListEventSourceMappings", "sqs.ListQueueTags")
    found = page(capsys)
    assert "`lambda:ListEventSourceMappings`, `sqs:ListQueueTags` was denied" in found
    assert "redrive look orders-dlq" in found


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(
    ("name", "expected"), [("orders", "redrive runbook orders-dlq"), ("order-dlq", "Did you mean orders-dlq")]
)
def test_another_queue_is_refused_with_what_was_meant(capsys, name, expected):
    assert run(["runbook", name]) == 4
    assert expected in capsys.readouterr().err


def test_a_queue_that_nothing_names_gets_commands_with_a_destination(cloud, capsys):
    cloud.queue("failures")
    answer_with(cloud, [], {})
    assert run(["runbook", "failures"]) == 0
    assert "redrive plan failures --destination QUEUE" in capsys.readouterr().out


def commands(found: str) -> list[list[str]]:
    return [words(line) for line in found.splitlines() if line.startswith("    ")]


def test_the_commands_lead_whoever_reads_the_page_to_the_queue(cloud, orders, capsys, monkeypatch):
    MotoStack(cloud, QueueNamePattern="orders*")
    cloud.stack("other", {}, QueueNamePattern="orders*")
    cloud._stacks["other"] = cloud._stacks["sqs-redrive"] | {"StackName": "other"}
    answer_with(cloud, [mapping(orders, "worker", State="Disabled")], {"worker": 30})
    monkeypatch.setenv("REDRIVE_STACK", "other")
    found = commands(page(capsys))
    assert {command[0] for command in found} == {"redrive", "aws"}
    for command in found:
        assert command[command.index("--region") + 1] == "us-east-1"
        needs_stack = command[:2] != ["redrive", "look"] and command[0] == "redrive"
        assert ("--stack" in command) == needs_stack
        assert not needs_stack or command[command.index("--stack") + 1] == "other"
    assert "--region us-east-1" in json.loads(page(capsys, "--json"))["markdown"]


@pytest.mark.usefixtures("orders")
def test_without_the_permission_to_find_stacks_the_page_says_that_it_knows_none(cloud, capsys):
    cloud.answers["cloudformation.DescribeStacks"] = denied("DescribeStacks")
    for arguments in ([], ["--stack", "other"]):
        assert run(["runbook", "orders-dlq", "--quiet", *arguments]) == 0
        found = capsys.readouterr()
        assert "unknown, because `cloudformation:DescribeStacks` was denied" in found.out
        assert "none covers" not in found.out
        assert "redrive move orders-dlq" in found.out
        assert "don't allow cloudformation:DescribeStacks" in found.err
