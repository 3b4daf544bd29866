"""Alarms and dashboard: nothing that can go wrong is left out, nothing is named that does not exist."""

import json
import re

import pytest

from examples import batches
from redrive.runtime import metrics
from tests.support.dashboard import Dashboard
from tests.support.definitions import resources, template
from tests.support.rendering import rendered

A_DAY = 24 * 3600
ALARMS = resources("AWS::CloudWatch::Alarm")
COMPOSITES = resources("AWS::CloudWatch::CompositeAlarm")
QUEUES = resources("AWS::SQS::Queue")
SOURCES = {name for name, queue in QUEUES.items() if "RedrivePolicy" in queue}
# Where messages stay until somebody acts: dead-letter queues, the quarantine, failed events.
RESTING_PLACES = QUEUES.keys() - SOURCES
CONSUMERS = {mapping["FunctionName"]["Ref"] for mapping in resources("AWS::Lambda::EventSourceMapping").values()}
# SQS developer guide, "Available CloudWatch metrics for Amazon SQS"; Lambda developer guide, "Types of
# metrics for Lambda functions"; Step Functions developer guide, "Monitoring Step Functions metrics using
# Amazon CloudWatch".
PUBLISHED_BY_AWS = {
    ("AWS/SQS", "QueueName"): {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
    ("AWS/Lambda", "FunctionName"): {
        "Invocations",
        "Errors",
        "Throttles",
        "Duration",
        "ConcurrentExecutions",
    },
    ("AWS/States", "StateMachineArn"): {
        "ExecutionsStarted",
        "ExecutionsSucceeded",
        "ExecutionsFailed",
        "ExecutionsAborted",
        "ExecutionsTimedOut",
    },
}
# Namespaces and dimensions of this app's metrics.
PUBLISHED_HERE = {(metrics.NAMESPACE, "dlq"), (metrics.NAMESPACE, "dlq", "status"), (batches.NAMESPACE, "queue")}
each_way = pytest.mark.parametrize("examples", [True, False], ids=["with examples", "without examples"])


def dimensions(alarm):
    """Return what an alarm watches, with names of resources as values."""
    dimensions = rendered(alarm["Dimensions"], examples=True)
    return {dimension["Name"]: dimension["Value"] for dimension in dimensions}


def watching(metric, **values):
    """Return the names of the alarms on a metric of a resource."""
    return {name for name, alarm in ALARMS.items() if alarm["MetricName"] == metric and dimensions(alarm) == values}


def condition(resource):
    return template()["Resources"][resource].get("Condition")


def deployed(names, examples):
    """Return those of the resources that are deployed with the examples or without."""
    return {name for name in names if examples or condition(name) is None}


# Alarms


def test_there_are_queues_and_consumers_to_watch():
    assert SOURCES
    assert {"QuarantineQueue", "StoreEventsDLQ"} <= RESTING_PLACES
    assert CONSUMERS


@pytest.mark.parametrize("queue", sorted(RESTING_PLACES))
def test_one_message_raises_the_alarm_of_the_queue_it_is_in(queue):
    (alarm,) = watching("ApproximateNumberOfMessagesVisible", QueueName=f"{queue}.QueueName")
    assert alarm == f"{queue.removesuffix('Queue')}Alarm"
    assert ALARMS[alarm]["Threshold"] == 1
    assert ALARMS[alarm]["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"


@pytest.mark.parametrize("queue", sorted(RESTING_PLACES))
def test_a_message_raises_an_alarm_a_day_before_it_can_expire(queue):
    # In a dead-letter queue the metric counts from the arrival, but the expiry from the original send, which
    # can be as long ago as the source queue keeps messages (SQS developer guide, "Setting-up dead-letter
    # queue retention").
    (alarm,) = watching("ApproximateAgeOfOldestMessage", QueueName=f"{queue}.QueueName")
    spent = [
        QUEUES[source]["MessageRetentionPeriod"]
        for source in SOURCES
        if QUEUES[source]["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": [queue, "Arn"]}
    ]
    expires = QUEUES[queue]["MessageRetentionPeriod"] - max(spent, default=0)
    assert ALARMS[alarm]["Threshold"] == expires - A_DAY


@pytest.mark.parametrize("queue", sorted(SOURCES))
def test_messages_that_wait_too_long_raise_an_alarm(queue):
    (alarm,) = watching("ApproximateAgeOfOldestMessage", QueueName=f"{queue}.QueueName")
    assert ALARMS[alarm]["Threshold"] == {"Ref": "QueueAgeAlarmSeconds"}


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
@pytest.mark.parametrize("consumer", sorted(CONSUMERS))
def test_a_consumer_that_keeps_failing_raises_an_alarm(consumer, metric):
    (alarm,) = watching(metric, FunctionName=consumer)
    assert (ALARMS[alarm]["EvaluationPeriods"], ALARMS[alarm]["DatapointsToAlarm"]) == (5, 3)


@pytest.mark.parametrize("metric", ["ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"])
def test_a_run_that_does_not_end_well_raises_an_alarm(metric):
    assert len(watching(metric, StateMachineArn="RedriveStateMachine")) == 1


@pytest.mark.parametrize("alarm", sorted(ALARMS | COMPOSITES))
def test_every_alarm_is_described_and_notifies_the_topic_when_it_goes_off_and_when_all_is_well(alarm):
    properties = (ALARMS | COMPOSITES)[alarm]
    assert properties["AlarmDescription"]
    assert properties["AlarmActions"] == properties["OKActions"] == [{"Ref": "AlarmTopic"}]


@pytest.mark.parametrize("alarm", sorted(ALARMS))
def test_an_alarm_watches_a_metric_that_exists_and_treats_missing_data_as_ok(alarm):
    properties = ALARMS[alarm]
    assert properties["MetricName"] in PUBLISHED_BY_AWS[properties["Namespace"], *dimensions(properties)]
    assert properties["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize("alarm", sorted(ALARMS))
def test_an_alarm_is_deployed_where_what_it_watches_is(alarm):
    (watched,) = dimensions(ALARMS[alarm]).values()
    assert condition(alarm) == condition(watched.split(".")[0])


@each_way
def test_the_alarm_for_a_person_is_on_while_any_other_alarm_is(examples):
    (composite,) = COMPOSITES.values()
    rule = rendered(composite["AlarmRule"], examples=examples)
    assert re.fullmatch(r'ALARM\("\w+\.Arn"\)( OR ALARM\("\w+\.Arn"\))*', rule)
    assert set(re.findall(r'"(\w+)\.Arn"', rule)) == deployed(ALARMS, examples)
    # Amazon CloudWatch API Reference, PutCompositeAlarm. What precedes the name in an ARN has up to 60 characters, the
    # name of the stack up to 128, and what CloudFormation appends 14.
    assert len(rule) + (60 + 128 + 14) * len(ALARMS) < 10_240
    assert len(ALARMS) <= 100


def test_alarms_may_use_the_key_and_the_topic_for_this_account_only():
    key = resources("AWS::KMS::Key")["AlarmKey"]["KeyPolicy"]["Statement"]
    topic = resources("AWS::SNS::TopicPolicy")["AlarmTopicPolicy"]["PolicyDocument"]["Statement"]
    service = {"Service": "cloudwatch.amazonaws.com"}
    this_account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    allowed = [found for found in key + topic if found.get("Principal") == service]
    assert [found["Action"] for found in allowed] == [["kms:Decrypt", "kms:GenerateDataKey*"], "sns:Publish"]
    assert all(found["Condition"] == this_account for found in allowed)


# Dashboard


def dashboard(examples):
    (properties,) = resources("AWS::CloudWatch::Dashboard").values()
    return Dashboard.model_validate(json.loads(rendered(properties["DashboardBody"], examples=examples)))


def found(metric, resource):
    """Return whether a search of the dashboard finds a metric of a resource by its generated name."""
    # CloudFormation user guide, "Resource identifiers": stack, logical ID, and random characters.
    name = f"stack-{resource}-1A2B3C4D5E6F"
    return any(drawn.shows(name) for drawn in dashboard(examples=True).metrics() if drawn.name == metric)


@each_way
def test_the_dashboard_has_the_form_that_cloudwatch_accepts(examples):
    widgets = dashboard(examples).widgets
    full = 0
    for widget in widgets:
        full = 0 if full == 24 else full
        full += widget.width
        assert full <= 24, "a row of widgets is wider than the grid"
    assert full == 24


@each_way
def test_the_dashboard_draws_metrics_that_exist_of_resources_that_exist(examples):
    for metric in dashboard(examples).metrics():
        if metric.name is None:
            assert (metric.namespace, *metric.dimensions) in PUBLISHED_HERE
        else:
            assert metric.name in PUBLISHED_BY_AWS[metric.namespace, *metric.dimensions]
        for value in metric.dimensions.values():
            assert value is None or deployed({value.split(".")[0]}, examples), f"{value} is not deployed"


@each_way
def test_the_dashboard_shows_every_alarm(examples):
    displayed = {alarm.removesuffix(".Arn") for alarm in dashboard(examples).alarms()}
    assert displayed == deployed(ALARMS | COMPOSITES, examples)


@pytest.mark.parametrize("queue", sorted(QUEUES))
def test_the_dashboard_finds_every_queue_by_its_name(queue):
    assert found("ApproximateNumberOfMessagesVisible", queue)
    if queue in SOURCES:
        assert found("ApproximateAgeOfOldestMessage", queue)


@pytest.mark.parametrize("metric", sorted(PUBLISHED_BY_AWS["AWS/Lambda", "FunctionName"]))
@pytest.mark.parametrize("consumer", sorted(CONSUMERS))
def test_the_dashboard_finds_every_consumer_by_its_name(consumer, metric):
    assert found(metric, consumer)


def test_the_dashboard_finds_a_new_pair_without_an_edit():
    assert found("ApproximateNumberOfMessagesVisible", "InvoicesQueue")
    assert found("ApproximateNumberOfMessagesVisible", "InvoicesDLQ")
    assert found("Errors", "InvoicesConsumer")
    assert not found("Errors", "InvoicesProducer")


def test_the_dashboard_shows_every_metric_of_this_app():
    drawn = dashboard(examples=True).metrics()
    assert {(metric.namespace, *metric.dimensions) for metric in drawn if metric.name is None} == PUBLISHED_HERE
