"""Messages in the envelopes of AWS services are redriven to their origin; most are sent by the services themselves."""

import io
import json
import zipfile

import pytest

from tests.support import factories, wrapped
from tests.support.app import App, Queue
from tests.support.eventually import eventually
from verify.function_failures import CODE

ROLE = "arn:aws:iam::000000000000:role/any"


class Function:
    """A function of a user's, deployed beside the app."""

    def __init__(self, app: App, name: str, results: Queue, **configuration) -> None:
        self.name, self.results = name, results
        self.client = app.cloud.client("lambda")
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("index.py", CODE)
        self.arn = self.client.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=ROLE,
            Handler="index.handler",
            Code={"ZipFile": package.getvalue()},
            Timeout=10,
            Environment={"Variables": {"DOWN": "yes", "RESULTS": results.url}},
            **configuration,
        )["FunctionArn"]

    def invoke(self, event: dict) -> None:
        self.client.invoke(FunctionName=self.name, InvocationType="Event", Payload=json.dumps(event))


def test_a_function_that_fails_again_is_reported_as_bounced_and_its_messages_stay(app: App):
    failures = app.queue("failures")
    function = Function(app, "on-order-lost", app.queue("results"))
    function.client.put_function_event_invoke_config(
        FunctionName=function.name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": failures.arn}},
    )
    for number in range(3):
        function.invoke({"order": number})
    eventually(lambda: app.depth(failures) == 3)
    counts = app.redrive(failures).report["counts"]
    assert counts["redriven"] == 3
    assert counts["skipped"] == counts["bounced"] <= 3
    eventually(lambda: app.visible(failures) == 3)


def test_messages_of_a_functions_dead_letter_queue_go_to_the_queue_that_the_run_names(app: App):
    dlq, destination = app.queue("function-dlq"), app.queue("replay")
    function = Function(app, "on-order-paid", app.queue("results"), DeadLetterConfig={"TargetArn": dlq.arn})
    function.client.put_function_event_invoke_config(FunctionName=function.name, MaximumRetryAttempts=0)
    function.invoke({"order": 1})
    eventually(lambda: app.depth(dlq) == 1)
    refused = app.redrive(dlq)
    assert refused.report["status"] == "REJECTED"
    assert "Start the run with a destination" in refused.report["reason"]
    assert app.redrive(dlq, destination=destination.name).report["counts"]["redriven"] == 1
    (message,) = app.take(destination)
    assert json.loads(message["Body"]) == {"order": 1}
    assert message["MessageAttributes"].keys() == {"redrive"}


def test_notifications_of_a_topic_go_back_to_the_subscribed_queue_as_its_consumer_reads_them(app: App):
    pair = app.pair()
    sns = app.cloud.client("sns")
    topic = sns.create_topic(Name="orders")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=pair.source.arn)
    sns.publish(TopicArn=topic, Message='{"order": 1}', Subject="placed")

    def dead() -> bool:
        app.sqs.receive_message(QueueUrl=pair.source.url, VisibilityTimeout=0)
        return app.depth(pair.dlq) == 1

    eventually(dead)
    assert app.redrive(pair.dlq).report["counts"]["redriven"] == 1
    (message,) = app.take(pair.source)
    body = json.loads(message["Body"])
    assert (body["Type"], body["TopicArn"], body["Message"]) == ("Notification", topic, '{"order": 1}')


def test_an_event_whose_target_was_gone_goes_to_it_once_it_is_there_again(app: App):
    dlq, target, events = app.queue("rule-dlq"), app.queue("target"), app.cloud.client("events")
    events.put_rule(Name="on-orders", EventPattern='{"source": ["orders"]}')
    events.put_targets(Rule="on-orders", Targets=[{"Id": "t", "Arn": target.arn, "DeadLetterConfig": {"Arn": dlq.arn}}])
    app.sqs.delete_queue(QueueUrl=target.url)
    entry = {"Source": "orders", "DetailType": "placed", "Detail": '{"order": 1, "price": 1.50}'}
    events.put_events(Entries=[entry])
    eventually(lambda: app.depth(dlq) == 1)
    (sent,) = app.peek(dlq)
    app.sqs.create_queue(QueueName=target.name)
    report = app.redrive(dlq).report
    assert report["counts"]["redriven"] == 1
    assert [group["envelope"] for group in report["sample"]["groups"]] == ["eventbridge-rule"]
    (message,) = app.take(target)
    assert message["Body"] == sent["Body"]
    assert json.loads(message["Body"])["detail-type"] == "placed"
    assert message["MessageAttributes"].keys() == {"redrive"}


def undelivered(target: str, **more: str) -> dict:
    """Return a message as EventBridge puts it into the dead-letter queue of a rule."""
    attributes = {"RULE_ARN": "arn:aws:events:us-east-1:000000000000:rule/r", "TARGET_ARN": target, **more}
    return {
        "MessageBody": '{"detail": {"order": 1}}',
        "MessageAttributes": {name: factories.string(value) for name, value in attributes.items()},
    }


def test_an_event_that_a_rule_could_not_deliver_goes_to_its_target(app: App):
    dlq, target = app.queue("rule-dlq"), app.queue("target")
    machine = app.workflow.create_state_machine(
        name="orders-flow",
        roleArn=ROLE,
        definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
    )["stateMachineArn"]
    app.send(dlq, [undelivered(target.arn, ERROR_CODE="NO_PERMISSIONS"), undelivered(machine)])
    trusted = [target.arn, machine]
    assert app.redrive(dlq, trustedDestinations=trusted).report["counts"]["redriven"] == 2
    (message,) = app.take(target)
    assert (message["Body"], message["MessageAttributes"].keys()) == ('{"detail": {"order": 1}}', {"redrive"})
    (execution,) = app.workflow.list_executions(stateMachineArn=machine)["executions"]
    description = app.workflow.describe_execution(executionArn=execution["executionArn"])
    assert json.loads(description["input"]) == {"detail": {"order": 1}}


def test_an_event_that_a_schedule_could_not_deliver_goes_to_its_target(app: App):
    dlq, target, scheduler = app.queue("schedule-dlq"), app.queue("target"), app.cloud.client("scheduler")
    delivery = {"Arn": target.arn, "RoleArn": ROLE, "Input": '{"order": 1}', "DeadLetterConfig": {"Arn": dlq.arn}}
    made = scheduler.create_schedule(
        Name="nightly",
        ScheduleExpression="at(2099-12-31T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=delivery,
    )["ScheduleArn"]
    values = {"SCHEDULE_ARN": made, "TARGET_ARN": target.arn, "IS_PAYLOAD_TRUNCATED": "false"}
    attributes = {name: factories.string(value) for name, value in values.items()}
    app.send(dlq, [{"MessageBody": '{"order": 1}', "MessageAttributes": attributes}])
    report = app.redrive(dlq).report
    assert report["counts"]["redriven"] == 1, report["reason"]
    assert [group["envelope"] for group in report["sample"]["groups"]] == ["eventbridge-scheduler"]
    assert [message["Body"] for message in app.take(target)] == ['{"order": 1}']


@pytest.mark.parametrize(
    "target",
    ["arn:aws:lambda:us-east-1:999999999999:function:f", "arn:aws:kinesis:us-east-1:000000000000:stream/s"],
)
def test_a_target_out_of_reach_leaves_the_message_where_it_is(app: App, target: str):
    dlq = app.queue("rule-dlq")
    app.send(dlq, [undelivered(target)])
    report = app.redrive(dlq).report
    assert report["skipReasons"] == {"destination-not-allowed": 1}
    assert app.visible(dlq) == 1


def test_a_pointer_into_s3_goes_back_as_it_is_and_its_contract_is_not_applied(app: App):
    app.put_contract("order", {"type": "object", "required": ["id"]})
    pair = app.pair("by-parameter")
    pointer = {"MessageBody": wrapped.pointer(), "MessageAttributes": wrapped.size_attribute()}
    app.bury(pair, [pointer, {"MessageBody": wrapped.pointer()}])
    report = app.redrive(pair.dlq).report
    assert (report["counts"]["redriven"], report["withoutContract"]) == (1, 1)
    assert report["quarantineReasons"] == {"invalid-body": 1}
    redrivable = [group for group in report["sample"]["groups"] if group["verdict"] == "redrivable"]
    assert [(group["envelope"], group["contract"]) for group in redrivable] == [("s3-pointer", None)]
    (message,) = app.take(pair.source)
    assert message["Body"] == wrapped.pointer()
    assert message["MessageAttributes"].keys() == {"redrive", "ExtendedPayloadSize"}
    app.take(app.quarantine)


def test_records_of_a_failure_are_never_sent_to_the_destination_that_the_run_names(app: App):
    dlq, destination = app.queue("rule-errors"), app.queue("replay")
    records = [wrapped.iot_record(), wrapped.pipe_record(), wrapped.lambda_record({}, version="2.0")]
    app.send(dlq, [{"MessageBody": json.dumps(record)} for record in records])
    app.send(dlq, [{"MessageBody": wrapped.notification(json.dumps(wrapped.iot_record()))}])
    report = app.redrive(dlq, destination=destination.name).report
    assert report["quarantineReasons"] == {"not-redrivable": 2, "no-payload": 1, "unknown-version": 1}
    assert (app.depth(destination), app.depth(dlq)) == (0, 0)
    assert len(app.take(app.quarantine)) == 4
