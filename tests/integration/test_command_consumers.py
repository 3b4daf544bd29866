"""What `redrive look` shows about the functions that consume the queues that messages go back to."""

import json

import boto3
import pytest

from redrive.command.main import run
from tests.support.consumers import answer_with, deny, mapping

pytestmark = pytest.mark.usefixtures("operator")


@pytest.fixture
def orders(cloud, dlq):
    cloud.send(dlq, ["1"] * 3)
    boto3.client("sqs").set_queue_attributes(
        QueueUrl=cloud.queues.find("orders").url, Attributes={"VisibilityTimeout": "30"}
    )
    return cloud.queues.find("orders")


def look(capsys, *arguments: str):
    assert run(["look", "orders-dlq", *arguments]) == 0
    return capsys.readouterr()


def test_a_consumer_is_shown_with_what_a_redrive_would_suffer_from(cloud, orders, capsys):
    slow = mapping(
        orders,
        "worker:live",
        State="Disabled",
        MaximumBatchingWindowInSeconds=5,
        ScalingConfig={"MaximumConcurrency": 4},
        FilterCriteria={"Filters": [{"Pattern": "{}"}]},
    )
    # Only the alias is slow.
    answer_with(cloud, [slow], {"worker": 3, "worker:live": 60})
    found = look(capsys)
    assert "orders is consumed by worker:live: disabled, batches of up to 10 after up to 5 s, at most 4" in found.out
    for part in (
        "timeout 60 s",
        "only pile up",
        "Lambda deletes messages that don't match",
        "whole batch back",
        "may run for 60 s",
    ):
        assert part in found.out
    assert "VisibilityTimeout=365" in found.err


def test_json_has_the_same_facts(cloud, orders, capsys):
    answer_with(
        cloud,
        [
            mapping(orders, "worker", FunctionResponseTypes=["ReportBatchItemFailures"]),
            mapping(orders, "other", ProvisionedPollerConfig={"MaximumPollers": 20}),
        ],
        {"worker": 5},
    )
    [queue] = json.loads(look(capsys, "--json").out)["consumers"]
    assert (queue["queue"], queue["visibilityTimeout"], queue["maxReceives"]) == ("orders", 30, 3)
    worker, other = queue["consumers"]
    assert worker == {
        "function": "worker",
        "mapping": "id-of-orders-worker",
        "state": "Enabled",
        "batchSize": 10,
        "batchingWindow": 0,
        "maxConcurrency": None,
        "reportsFailures": True,
        "filtered": False,
        "timeout": 5,
        "logGroup": "/aws/lambda/worker",
    }
    assert (other["maxConcurrency"], other["timeout"]) == (200, None)
    assert {"text", "remedy"} == set(queue["warnings"][0])


@pytest.mark.parametrize(
    "denied",
    [["lambda.ListEventSourceMappings"], ["lambda.GetFunctionConfiguration"]],
)
def test_a_missing_permission_is_one_quiet_sentence(cloud, orders, capsys, denied):
    answer_with(cloud, [mapping(orders, "worker", FunctionResponseTypes=["ReportBatchItemFailures"])], {"worker": 5})
    deny(cloud, *denied)
    found = look(capsys)
    assert "orders-dlq: about 3 messages" in found.out
    [line] = [line for line in found.err.splitlines() if "consumers" in line]
    assert denied[0].replace(".", ":") in line
    assert "consumers" not in look(capsys, "--quiet").err


def test_filters_that_cannot_be_decrypted_are_filters_all_the_same(cloud, orders, capsys):
    unread = {"ErrorCode": "KMS.AccessDeniedException", "Message": "x"}
    answer_with(cloud, [mapping(orders, "worker", FilterCriteriaError=unread)], {"worker": 5})
    assert "worker has filter criteria on orders" in look(capsys).out


def test_a_queue_that_no_function_consumes_is_said(cloud, orders, capsys):
    answer_with(cloud, [mapping(orders.model_copy(update={"arn": orders.arn + "-eu"}), "worker")], {})
    assert "No function in this account consumes orders." in look(capsys).out


def test_only_the_destination_is_looked_at_if_there_is_one(cloud, orders, capsys):
    other = cloud.queue("other")
    answer_with(cloud, [mapping(orders, "worker"), mapping(other, "second")], {"second": 5})
    shown = look(capsys, "--destination", "other").out
    assert "other is consumed by second" in shown
    assert "worker" not in shown


def test_a_look_costs_two_requests_more_per_queue_and_one_per_consumer(cloud, orders, capsys):
    answer_with(cloud, [mapping(orders, "worker"), mapping(orders, "second")], {"worker": 5, "second": 6})
    cloud.calls.clear()
    look(capsys)
    assert cloud.calls.count("lambda:ListEventSourceMappings") == 1
    assert cloud.calls.count("lambda:GetFunctionConfiguration") == 2


def test_a_remedy_names_the_region_that_was_looked_at(cloud, orders, capsys):
    answer_with(cloud, [mapping(orders, "worker", State="Disabled")], {"worker": 60})
    found = look(capsys, "--region", "us-east-1")
    remedies = [line for line in found.err.splitlines() if line.startswith("  aws ")]
    assert len(remedies) == found.out.count("Warning: ") == 4
    assert all(line.endswith(" --region us-east-1") for line in remedies)
    [queue] = json.loads(look(capsys, "--region", "us-east-1", "--json").out)["consumers"]
    assert [f"  {warning['remedy']}" for warning in queue["warnings"]] == remedies
