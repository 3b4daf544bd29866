"""What AWS's configuration says about where failures go, against moto's Lambda, EventBridge, and Scheduler."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from redrive.adapters.failure_destinations import FailureDestinations
from redrive.domain.judging.authority import Claim
from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.envelope_names import Envelope
from tests.support.cloud_resources import code_archive
from tests.support.moto_cloud import moto_cloud

HOME = "us-east-1:123456789012"
QUEUE, OTHER = (f"arn:aws:sqs:{HOME}:{name}" for name in ("orders-failures", "other-failures"))
FUNCTION = f"arn:aws:lambda:{HOME}:function:on-order"
TARGET = f"arn:aws:sqs:{HOME}:orders"
NOT_CONFIRMED = Reason.DESTINATION_NOT_CONFIRMED


@pytest.fixture(autouse=True)
def _cloud() -> Iterator[None]:
    with moto_cloud() as cloud:
        for name in ("orders-failures", "other-failures", "orders"):
            cloud.queue(name)
        yield


def make_function() -> Any:
    role = boto3.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument=json.dumps({"Statement": []}))
    client = boto3.client("lambda")
    client.create_function(
        FunctionName="on-order",
        Runtime="python3.13",
        Role=role["Role"]["Arn"],
        Handler="app.handle",
        Code={"ZipFile": code_archive("def handle(event, context): ...")},
    )
    return client


def on_failure(client: Any, queue: str, **qualifier: str) -> None:
    destinations = {"OnFailure": {"Destination": queue}}
    client.put_function_event_invoke_config(FunctionName="on-order", DestinationConfig=destinations, **qualifier)


def of_function(arn: str = FUNCTION, origin: str | None = None) -> str | Reason:
    return FailureDestinations().confirm(Claim(Envelope.LAMBDA_DESTINATION, origin or arn, arn, QUEUE))


def test_a_function_confirms_its_on_failure_destination():
    on_failure(make_function(), QUEUE)
    assert of_function() == FUNCTION
    assert of_function(origin=f"{FUNCTION}:$LATEST") == FUNCTION


@pytest.mark.parametrize(
    ("queue", "answer"), [(QUEUE, f"{FUNCTION}:live"), (OTHER, NOT_CONFIRMED), (None, NOT_CONFIRMED)]
)
def test_a_function_confirms_its_dead_letter_queue(queue, answer):
    class Lambda:
        """moto doesn't keep a function's dead-letter queue."""

        def get_function_event_invoke_config(self, **_target: str) -> Any:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "m"}}, "Get")

        def get_function_configuration(self, **target: str) -> Any:
            assert target == {"FunctionName": "on-order", "Qualifier": "live"}
            return {"DeadLetterConfig": {"TargetArn": queue}} if queue else {}

    failures = FailureDestinations()
    failures.__dict__["_lambda"] = Lambda()
    assert failures.confirm(Claim(Envelope.LAMBDA_DESTINATION, f"{FUNCTION}:live", f"{FUNCTION}:live", QUEUE)) == answer


def test_a_function_whose_failures_go_elsewhere_confirms_nothing():
    client = make_function()
    assert of_function() == NOT_CONFIRMED
    on_failure(client, OTHER)
    assert of_function() == NOT_CONFIRMED


def test_a_function_that_was_deleted_confirms_nothing():
    client = make_function()
    on_failure(client, QUEUE)
    client.delete_function(FunctionName="on-order")
    assert of_function() == NOT_CONFIRMED


def test_a_function_does_not_confirm_another_function():
    on_failure(make_function(), QUEUE)
    assert of_function(f"{FUNCTION}-2", origin=FUNCTION) == NOT_CONFIRMED


def rule(name: str, bus: str | None = None, target: str = TARGET, queue: str | None = QUEUE) -> str:
    events = boto3.client("events")
    where = {"EventBusName": bus} if bus else {}
    if bus:
        events.create_event_bus(Name=bus)
    events.put_rule(Name=name, EventPattern='{"source": ["orders"]}', **where)
    targets: list[Any] = [{"Id": str(n), "Arn": f"{TARGET}-{n}"} for n in range(3)]
    targets.append({"Id": "t", "Arn": target, **({"DeadLetterConfig": {"Arn": queue}} if queue else {})})
    events.put_targets(Rule=name, Targets=targets, **where)
    return f"arn:aws:events:{HOME}:rule/{f'{bus}/' if bus else ''}{name}"


def of_rule(origin: str, target: str = TARGET) -> str | Reason:
    return FailureDestinations().confirm(Claim(Envelope.EVENTBRIDGE_RULE, origin, target, QUEUE))


@pytest.mark.parametrize("bus", [None, "orders-bus"])
def test_a_rule_confirms_the_target_whose_dead_letter_queue_it_is(bus):
    origin = rule("placed", bus)
    assert of_rule(origin) == TARGET
    # A target of the rule that has no dead-letter queue, and one that isn't a target.
    assert of_rule(origin, f"{TARGET}-1") == NOT_CONFIRMED
    assert of_rule(origin, f"{TARGET}-9") == NOT_CONFIRMED


@pytest.mark.parametrize("qualifier", ["", ":$LATEST"])
def test_a_rule_confirms_a_function_with_and_without_the_qualifier_of_its_latest_code(qualifier):
    assert of_rule(rule("placed", target=f"{FUNCTION}{qualifier}"), FUNCTION) == FUNCTION


@pytest.mark.parametrize("queue", [None, OTHER])
def test_a_rule_whose_failures_go_elsewhere_confirms_nothing(queue):
    assert of_rule(rule("placed", queue=queue)) == NOT_CONFIRMED


@pytest.mark.parametrize(
    "origin",
    [
        f"arn:aws:events:{HOME}:rule/gone",
        f"arn:aws:events:{HOME}:rule/",
        f"arn:aws:events:{HOME}:rule/a b",
        f"arn:aws:events:{HOME}:event-bus/placed",
        "arn:aws:events:us-east-1:999999999999:rule/placed",
        "arn:aws:events:eu-west-1:123456789012:rule/placed",
        "arn:aws-cn:events:us-east-1:123456789012:rule/placed",
        "arn:aws:events",
        "rule/placed",
        "",
    ],
)
def test_what_is_no_rule_of_this_account_and_region_confirms_nothing(origin):
    rule("placed")
    assert of_rule(origin) == NOT_CONFIRMED


def schedule(queue: str | None = QUEUE, target_arn: str = TARGET) -> str:
    target = {"Arn": target_arn, "RoleArn": "arn:aws:iam::123456789012:role/any"}
    if queue:
        target["DeadLetterConfig"] = {"Arn": queue}
    boto3.client("scheduler").create_schedule(
        Name="nightly", ScheduleExpression="rate(1 day)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
    )
    return f"arn:aws:scheduler:{HOME}:schedule/default/nightly"


def of_schedule(origin: str, target: str = TARGET) -> str | Reason:
    return FailureDestinations().confirm(Claim(Envelope.EVENTBRIDGE_SCHEDULER, origin, target, QUEUE))


def test_a_schedule_confirms_its_target():
    origin = schedule()
    assert of_schedule(origin) == TARGET
    assert of_schedule(origin, f"{TARGET}-2") == NOT_CONFIRMED
    assert of_schedule(origin.replace("nightly", "gone")) == NOT_CONFIRMED
    assert of_schedule(origin.replace("default/", "")) == NOT_CONFIRMED


@pytest.mark.parametrize("qualifier", ["", ":$LATEST"])
def test_a_schedule_confirms_a_function_with_and_without_the_qualifier_of_its_latest_code(qualifier):
    assert of_schedule(schedule(target_arn=f"{FUNCTION}{qualifier}"), FUNCTION) == FUNCTION


@pytest.mark.parametrize("queue", [None, OTHER])
def test_a_schedule_whose_failures_go_elsewhere_confirms_nothing(queue):
    assert of_schedule(schedule(queue)) == NOT_CONFIRMED


def subscription(queue: str | None = QUEUE, protocol: str = "sqs", endpoint: str = TARGET) -> tuple[str, str]:
    """Return the ARNs of a topic and of a subscription whose dead-letter queue is `queue`."""
    sns = boto3.client("sns")
    topic = sns.create_topic(Name="orders")["TopicArn"]
    attributes = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": queue})} if queue else {}
    made = sns.subscribe(
        TopicArn=topic, Protocol=protocol, Endpoint=endpoint, Attributes=attributes, ReturnSubscriptionArn=True
    )
    return topic, made["SubscriptionArn"]


def of_subscription(topic: str, made: str) -> str | Reason:
    return FailureDestinations().confirm(Claim(Envelope.SNS_NOTIFICATION, topic, made, QUEUE))


def test_a_subscription_says_where_its_notifications_belong():
    topic, made = subscription()
    assert of_subscription(topic, made) == TARGET
    assert of_subscription(f"{topic}-2", made) == NOT_CONFIRMED
    assert of_subscription(topic, f"{made[:-4]}0000") == NOT_CONFIRMED
    boto3.client("sns").unsubscribe(SubscriptionArn=made)
    assert of_subscription(topic, made) == NOT_CONFIRMED


@pytest.mark.parametrize("queue", [None, OTHER])
def test_a_subscription_whose_failures_go_elsewhere_confirms_nothing(queue):
    assert of_subscription(*subscription(queue)) == NOT_CONFIRMED


@pytest.mark.parametrize(("protocol", "endpoint"), [("lambda", FUNCTION), ("https", "https://example.com/orders")])
def test_a_subscription_of_something_that_gets_notifications_in_another_form_confirms_nothing(protocol, endpoint):
    assert of_subscription(*subscription(protocol=protocol, endpoint=endpoint)) == NOT_CONFIRMED


@pytest.mark.parametrize("envelope", [Envelope.NONE, Envelope.EVENTBRIDGE_SUBSCRIBER])
def test_other_envelopes_confirm_nothing(envelope):
    assert FailureDestinations().confirm(Claim(envelope, rule("placed"), TARGET, QUEUE)) == NOT_CONFIRMED


def failing(error: Exception) -> FailureDestinations:
    class Broken:
        def __getattr__(self, _name: str) -> Any:
            def fail(*_arguments: Any, **_options: Any) -> Any:
                raise error

            return fail

    broken = FailureDestinations()
    for client in ("_lambda", "_events", "_scheduler", "_sns"):
        broken.__dict__[client] = Broken()
    return broken


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ThrottlingException", "TooManyRequestsException", "Unknown"]
)
@pytest.mark.parametrize(
    ("envelope", "origin", "target"),
    [
        (Envelope.LAMBDA_DESTINATION, FUNCTION, FUNCTION),
        (Envelope.EVENTBRIDGE_RULE, f"arn:aws:events:{HOME}:rule/placed", TARGET),
        (Envelope.EVENTBRIDGE_SCHEDULER, f"arn:aws:scheduler:{HOME}:schedule/default/nightly", TARGET),
        (Envelope.SNS_NOTIFICATION, f"arn:aws:sns:{HOME}:orders", f"arn:aws:sns:{HOME}:orders:1"),
    ],
)
def test_a_lookup_that_is_denied_or_throttled_leaves_the_message(code, envelope, origin, target):
    claim = Claim(envelope, origin, target, QUEUE)
    error = ClientError({"Error": {"Code": code, "Message": "m"}}, "Get")
    assert failing(error).confirm(claim) == Reason.CONFIGURATION_UNREADABLE
    unreachable = EndpointConnectionError(endpoint_url="https://example.com")
    assert failing(unreachable).confirm(claim) == Reason.CONFIGURATION_UNREADABLE
