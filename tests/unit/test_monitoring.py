"""Alarms and dashboard: nothing that can go wrong is left out, nothing is named that does not exist."""

import json
import re

import pytest

from consumers import batches
from redrive.domain.runs import Tally
from redrive.domain.tallying import left_behind, moved_since
from redrive.handlers import metrics
from tests.support.dashboard import Dashboard
from tests.support.definitions import functions, resources, template
from tests.support.rendering import rendered

A_DAY = 24 * 3600
ALARMS = resources("AWS::CloudWatch::Alarm")
COMPOSITES = resources("AWS::CloudWatch::CompositeAlarm")
QUEUES = resources("AWS::SQS::Queue")
SOURCES = {name for name, queue in QUEUES.items() if "RedrivePolicy" in queue}
# Where letters lie until somebody does something: dead letters, the quarantine, failed events.
RESTING_PLACES = QUEUES.keys() - SOURCES
CONSUMERS = {
    name
    for name, function in functions().items()
    if any(event["Type"] == "SQS" for event in function.properties.get("Events", {}).values())
}
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
PUBLISHED_HERE = {
    (metrics.NAMESPACE, "dlq"): moved_since(Tally(), Tally()).keys() | left_behind(Tally()).keys(),
    (metrics.NAMESPACE, "dlq", "status"): {"RunsEnded"},
    (batches.NAMESPACE, "queue"): {"Processed", "Failed"},
}
each_way = pytest.mark.parametrize("examples", [True, False], ids=["with examples", "without examples"])


def dimensions(alarm):
    """Return what an alarm watches, with names of resources as values."""
    told = rendered(alarm["Dimensions"], examples=True)
    return {dimension["Name"]: dimension["Value"] for dimension in told}


def watching(metric, **values):
    """Return the names of the alarms on a metric of a resource."""
    return {
        name
        for name, alarm in ALARMS.items()
        if alarm["MetricName"] == metric and dimensions(alarm) == values
    }


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
def test_one_letter_raises_the_alarm_of_the_queue_it_lies_in(queue):
    (alarm,) = watching("ApproximateNumberOfMessagesVisible", QueueName=f"{queue}.QueueName")
    assert alarm == f"{queue.removesuffix('Queue')}Alarm"
    assert ALARMS[alarm]["Threshold"] == 1
    assert ALARMS[alarm]["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"


@pytest.mark.parametrize("queue", sorted(RESTING_PLACES))
def test_a_letter_raises_an_alarm_a_day_before_it_can_expire(queue):
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
    told = (ALARMS | COMPOSITES)[alarm]
    assert told["AlarmDescription"]
    assert told["AlarmActions"] == told["OKActions"] == [{"Ref": "AlarmTopic"}]


@pytest.mark.parametrize("alarm", sorted(ALARMS))
def test_an_alarm_watches_a_metric_that_exists_and_takes_no_news_for_good_news(alarm):
    told = ALARMS[alarm]
    assert told["MetricName"] in PUBLISHED_BY_AWS[told["Namespace"], *dimensions(told)]
    assert told["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize("alarm", sorted(ALARMS))
def test_an_alarm_is_deployed_where_what_it_watches_is(alarm):
    (watched,) = dimensions(ALARMS[alarm]).values()
    assert condition(alarm) == condition(watched.split(".")[0])


@each_way
def test_the_alarm_for_a_person_is_on_while_any_other_alarm_is(examples):
    (composite,) = COMPOSITES.values()
    rule = rendered(composite["AlarmRule"], examples=examples)
    assert re.fullmatch(r'ALARM\("\w+"\)( OR ALARM\("\w+"\))*', rule)
    assert set(re.findall(r'"(\w+)"', rule)) == deployed(ALARMS, examples)
    # Amazon CloudWatch API Reference, PutCompositeAlarm.
    assert len(rule) + 60 * len(ALARMS) < 10_240
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
    (found,) = resources("AWS::CloudWatch::Dashboard").values()
    return Dashboard.model_validate(json.loads(rendered(found["DashboardBody"], examples=examples)))


@each_way
def test_the_dashboard_has_the_form_that_cloudwatch_takes(examples):
    widgets = dashboard(examples).widgets
    cells = [cell for widget in widgets for cell in widget.cells()]
    assert len(cells) == len(set(cells)), "widgets overlap"
    assert max(x for x, _ in cells) < 24


@each_way
def test_the_dashboard_shows_metrics_that_exist_of_resources_that_exist(examples):
    published = PUBLISHED_BY_AWS | PUBLISHED_HERE
    for metric in dashboard(examples).metrics():
        assert metric.name in published[metric.namespace, *metric.dimensions]
        for value in metric.dimensions.values():
            if value is not None:
                resource = value.split(".")[0]
                assert deployed({resource}, examples), f"{resource} is not deployed"


@each_way
def test_the_dashboard_shows_every_alarm(examples):
    shown = {alarm.removesuffix(".Arn") for alarm in dashboard(examples).alarms()}
    assert shown == deployed(ALARMS | COMPOSITES, examples)


@each_way
def test_the_dashboard_shows_every_queue_every_consumer_and_every_metric_of_ours(examples):
    shown = {
        (metric.name, (value or "").split(".")[0])
        for metric in dashboard(examples).metrics()
        for value in metric.dimensions.values()
    }
    queues, sources = deployed(QUEUES, examples), deployed(SOURCES, examples)
    assert {("ApproximateNumberOfMessagesVisible", queue) for queue in queues} <= shown
    assert {("ApproximateAgeOfOldestMessage", queue) for queue in sources} <= shown
    for metric in PUBLISHED_BY_AWS["AWS/Lambda", "FunctionName"]:
        assert {(metric, consumer) for consumer in deployed(CONSUMERS, examples)} <= shown
    ours = {name for key, names in PUBLISHED_HERE.items() if key[0] == metrics.NAMESPACE for name in names}
    assert {(name, "") for name in ours} <= shown
