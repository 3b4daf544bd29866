"""The embedded cloud's EventBridge and Scheduler, as far as ministack alone differs from AWS."""

import json

from tests.support.cloud_resources import ROLE, make_queue, unique
from tests.support.eventually import eventually


def subscribe(cloud, pattern):
    """Return a queue that gets the events that match."""
    queue, rule = make_queue(cloud), unique("rule")
    events = cloud.client("events")
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": queue.arn}])
    return queue


def make_alarm(cloud, queue):
    name = unique("alarm")
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": queue.arn.rsplit(":", 1)[1]}],
        Statistic="Maximum",
        Period=1,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    return name


def take(queue):
    """Return the events in a queue, which are gone then."""
    messages = queue.receive()
    for message in messages:
        queue.delete(message)
    return [json.loads(message["Body"]) for message in messages]


def test_an_alarm_that_changes_its_state_tells_eventbridge_so(cloud):
    full = make_queue(cloud)
    alarm = make_alarm(cloud, full)
    events = subscribe(
        cloud,
        {"source": ["aws.cloudwatch"], "detail": {"alarmName": [alarm], "state": {"value": ["ALARM"]}}},
    )
    described = cloud.client("cloudwatch").describe_alarms

    eventually(lambda: described(AlarmNames=[alarm])["MetricAlarms"][0]["StateValue"] == "OK")
    full.send("x")
    (event,) = eventually(lambda: take(events))

    assert event["detail-type"] == "CloudWatch Alarm State Change"
    assert event["resources"] == [described(AlarmNames=[alarm])["MetricAlarms"][0]["AlarmArn"]]
    detail = event["detail"]
    assert (detail["previousState"]["value"], detail["state"]["value"]) == ("OK", "ALARM")
    assert detail["previousState"]["timestamp"] < detail["state"]["timestamp"]
    assert detail["configuration"]["metrics"][0]["metricStat"]["metric"] == {
        "namespace": "AWS/SQS",
        "name": "ApproximateNumberOfMessagesVisible",
        "dimensions": {"QueueName": full.arn.rsplit(":", 1)[1]},
    }


def test_an_alarm_tells_when_its_state_changed_last(cloud):
    alarm = make_alarm(cloud, make_queue(cloud))
    described = cloud.client("cloudwatch").describe_alarms

    eventually(lambda: described(AlarmNames=[alarm])["MetricAlarms"][0].get("StateTransitionedTimestamp"))


def test_a_schedule_tells_its_target_what_and_when_it_is(cloud):
    queue, name = make_queue(cloud), unique("schedule")
    arn = cloud.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression="at(2020-01-01T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": queue.arn,
            "RoleArn": ROLE,
            "Input": '{"by": "<aws.scheduler.schedule-arn>", "at": "<aws.scheduler.scheduled-time>"}',
        },
    )["ScheduleArn"]

    (sent,) = eventually(lambda: take(queue))

    assert sent["by"] == arn
    assert sent["at"].endswith("Z")
