"""The embedded cloud's CloudWatch, as far as ministack alone differs from AWS."""

import json
import time

import pytest

from tests.support.cloud_resources import invoke, make_function, make_queue, run, subscribe_function, unique
from tests.support.eventually import eventually


def dimensions(**values):
    return [{"Name": name, "Value": value} for name, value in values.items()]


def total(cloud, namespace, metric, statistic="Sum", **of):
    """Return one statistic of a metric over all of its time, or None without data."""
    points = cloud.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=dimensions(**of),
        StartTime=time.time() - 3600,
        EndTime=time.time() + 60,
        Period=86400,
        Statistics=[statistic],
    )["Datapoints"]
    return points[0][statistic] if points else None


def make_alarm(cloud, namespace, metric, of, **options):
    name = unique("alarm")
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace=namespace,
        MetricName=metric,
        Dimensions=dimensions(**of),
        **{
            "Statistic": "Maximum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            **options,
        },
    )
    return name


def state(cloud, alarm):
    return cloud.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]["StateValue"]


def queue_name(queue):
    return queue.arn.rsplit(":", 1)[1]


def test_the_depth_of_a_queue_raises_its_alarm_and_no_other_queue_does(cloud):
    full, empty, notices = make_queue(cloud), make_queue(cloud), make_queue(cloud)
    sns = cloud.client("sns")
    topic = sns.create_topic(Name=unique("topic"))["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=notices.arn)
    alarms = [
        make_alarm(
            cloud,
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            {"QueueName": queue_name(queue)},
            AlarmActions=[topic],
        )
        for queue in (full, empty)
    ]

    full.send("x")

    eventually(lambda: state(cloud, alarms[0]) == "ALARM")
    assert alarms[0] in eventually(notices.receive)[0]["Body"]
    eventually(lambda: state(cloud, alarms[1]) == "OK")


def test_missing_data_counts_as_the_alarm_says(cloud):
    of = {"Name": unique("none")}
    breaching = make_alarm(cloud, "Test", "Missing", of, TreatMissingData="breaching")
    not_breaching = make_alarm(cloud, "Test", "Missing", of, TreatMissingData="notBreaching")

    eventually(lambda: state(cloud, breaching) == "ALARM")
    eventually(lambda: state(cloud, not_breaching) == "OK")


# Composite alarms


def alarm_on(queue_name):
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "Namespace": "AWS/SQS",
            "MetricName": "ApproximateNumberOfMessagesVisible",
            "Dimensions": dimensions(QueueName=queue_name),
            "Statistic": "Maximum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        },
    }


class Composite:
    """A stack with an alarm on each of two queues and a composite alarm above them."""

    def __init__(self, cloud, rule):
        self.cloud = cloud
        self.queues = [make_queue(cloud), make_queue(cloud)]
        self.notices = make_queue(cloud)
        self.topic = cloud.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
        cloud.client("sns").subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=self.notices.arn)
        self.stack = unique("stack")
        self.cloudformation = cloud.client("cloudformation")
        self.cloudformation.create_stack(StackName=self.stack, TemplateBody=self.template(rule))

    def template(self, rule):
        one, other = (alarm_on(queue_name(queue)) for queue in self.queues)
        above = {"AlarmRule": {"Fn::Sub": rule}, "AlarmActions": [self.topic], "OKActions": [self.topic]}
        composite = {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": above}
        return json.dumps({"Resources": {"Above": composite, "One": one, "Other": other}})

    def update(self, rule):
        self.cloudformation.update_stack(StackName=self.stack, TemplateBody=self.template(rule))

    def status(self):
        return self.cloudformation.describe_stacks(StackName=self.stack)["Stacks"][0]["StackStatus"]

    def found(self):
        return self.cloud.client("cloudwatch").describe_alarms(
            AlarmNamePrefix=f"{self.stack}-Above", AlarmTypes=["CompositeAlarm"]
        )["CompositeAlarms"]

    def state(self):
        return next((alarm["StateValue"] for alarm in self.found()), None)


@pytest.mark.parametrize(
    ("rule", "state"),
    [
        ('ALARM("${One}") OR ALARM("${Other}")', "ALARM"),
        ('ALARM("${One}") AND ALARM("${Other}")', "OK"),
        ('ALARM("${One}") AND NOT ALARM("${Other}")', "ALARM"),
        ('NOT (ALARM("${One}") OR ALARM("${Other}"))', "OK"),
    ],
)
def test_a_composite_alarm_in_a_template_follows_its_rule(cloud, rule, state):
    composite = Composite(cloud, 'NOT ALARM("${One}") AND ALARM("${Other}")')
    eventually(lambda: composite.state() == "OK")

    composite.queues[0].send("x")
    eventually(lambda: cloud_state(cloud, f"{composite.stack}-One") == "ALARM")
    composite.update(rule)

    eventually(lambda: composite.status() == "UPDATE_COMPLETE" and composite.state() == state)


def cloud_state(cloud, prefix):
    alarms = cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
    return next((alarm["StateValue"] for alarm in alarms), None)


def test_a_composite_alarm_notifies_its_topic(cloud):
    composite = Composite(cloud, 'ALARM("${One}") OR ALARM("${Other}")')
    eventually(lambda: composite.state() == "OK")

    composite.queues[1].send("x")

    states: set[tuple[str, str]] = set()

    def noticed():
        for message in composite.notices.receive():
            notice = json.loads(json.loads(message["Body"])["Message"])
            states.add((notice["AlarmName"], notice["NewStateValue"]))
        return (composite.found()[0]["AlarmName"], "ALARM") in states

    eventually(noticed)


def test_a_stack_is_deleted_with_its_composite_alarm_and_the_alarms_below(cloud):
    composite = Composite(cloud, 'ALARM("${One}") OR ALARM("${Other}")')
    eventually(lambda: composite.status() == "CREATE_COMPLETE")

    composite.cloudformation.delete_stack(StackName=composite.stack)

    eventually(lambda: composite.found() == [])
    eventually(lambda: cloud_state(cloud, f"{composite.stack}-O") is None)


def test_a_composite_alarm_with_a_rule_that_names_no_alarm_fails_its_stack(cloud):
    composite = Composite(cloud, 'ALARM("nobody")')
    eventually(lambda: composite.status() in {"ROLLBACK_COMPLETE", "CREATE_FAILED"})


# Metrics of services


def test_sqs_counts_sent_received_and_deleted_messages(cloud):
    queue = make_queue(cloud)
    queue.send("a", "b", "c")
    messages = queue.receive(limit=2)
    queue.delete(messages[0])

    for metric, count in (
        ("NumberOfMessagesSent", 3),
        ("NumberOfMessagesReceived", len(messages)),
        ("NumberOfMessagesDeleted", 1),
    ):
        eventually(
            lambda metric=metric, count=count: total(cloud, "AWS/SQS", metric, QueueName=queue_name(queue)) == count
        )


def test_lambda_counts_the_invocations_of_an_event_source_mapping(cloud):
    queue = make_queue(cloud)
    function = make_function(cloud, "def handle(event, context): raise ValueError")
    subscribe_function(cloud, queue, function)

    queue.send("x")

    eventually(lambda: total(cloud, "AWS/Lambda", "Errors", FunctionName=function) == 1)
    assert total(cloud, "AWS/Lambda", "Invocations", FunctionName=function) == 1


def test_an_invocation_through_the_api_is_counted_once(cloud):
    function = make_function(cloud, "def handle(event, context): return event")

    invoke(cloud, function)

    assert total(cloud, "AWS/Lambda", "Invocations", FunctionName=function) == 1


def test_metrics_embedded_in_a_log_are_published(cloud):
    namespace = unique("Orders")
    function = make_function(
        cloud,
        f"""
        import json

        def handle(event, context):
            print(json.dumps({{
                "_aws": {{"Timestamp": 0, "CloudWatchMetrics": [{{
                    "Namespace": "{namespace}",
                    "Dimensions": [["shop"]],
                    "Metrics": [{{"Name": "Sold", "Unit": "Count"}}],
                }}]}},
                "shop": "north",
                "Sold": [2, 3],
            }}))
        """,
    )

    invoke(cloud, function)

    assert total(cloud, namespace, "Sold", shop="north") == 5


def test_step_functions_counts_executions(cloud):
    description = run(cloud, {"StartAt": "End", "States": {"End": {"Type": "Fail", "Error": "Broken"}}})

    failed = total(cloud, "AWS/States", "ExecutionsFailed", StateMachineArn=description["stateMachineArn"])
    assert failed == 1
