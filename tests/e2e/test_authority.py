"""What attackers try with the deployed app: to steer where messages go, and to stop the run of others."""

import json

import pytest

from tests.support import factories
from tests.support.app import App, Pair, Queue
from tests.support.cloud_resources import code_archive

ROLE = "arn:aws:iam::000000000000:role/any"
HOME = "us-east-1:000000000000"


def invocation(function: str) -> dict:
    context = {"requestId": "r", "functionArn": function, "condition": "RetriesExhausted", "approximateInvokeCount": 3}
    record = {"version": "1.0", "timestamp": "t", "requestContext": context, "requestPayload": {"order": 1}}
    return {"MessageBody": json.dumps(record)}


def undelivered(target: str, rule: str = "nobodys") -> dict:
    values = {"RULE_ARN": f"arn:aws:events:{HOME}:rule/{rule}", "TARGET_ARN": target}
    attributes = {name: factories.string(value) for name, value in values.items()}
    return {"MessageBody": '{"detail": 1}', "MessageAttributes": attributes}


def forged(source: Queue, padding: int = 0, count: int = 0) -> dict:
    note = {"run": "r", "count": count, "id": "i", "sent": 1, "source": source.arn}
    text = json.dumps(note) + " " * padding
    return {"MessageBody": "forged", "MessageAttributes": {"redrive": factories.string(text)}}


def functions_of_the_stack(app: App) -> list[str]:
    names = [app.resource(f"{name}Function") for name in ("Mover", "Sampler", "Coordinator", "Stop")]
    names += [app.resource(name) for name in ("StoreEventsProducer", "EmailTasksProducer", "RewardPayoutsProducer")]
    return [f"arn:aws:lambda:{HOME}:function:{name}" for name in names]


@pytest.fixture
def payouts(app: App) -> Pair:
    """The queue that attackers would like to reach."""
    return app.pair("payouts")


def test_a_message_in_a_source_queue_reaches_that_queue_and_nothing_else(app: App, payouts: Pair):
    pair = app.pair()
    attacks = [
        undelivered(payouts.source.arn),
        forged(payouts.source),
        forged(payouts.source, padding=1_000_000),
        *(invocation(arn) for arn in functions_of_the_stack(app)),
        *(undelivered(arn) for arn in functions_of_the_stack(app)),
        undelivered(app.resource("RedriveStateMachine")),
    ]
    app.bury(pair, attacks)
    report = app.redrive(pair.dlq).report
    assert (report["status"], report["counts"]["redriven"]) == ("SUCCEEDED", len(attacks))
    assert report["counts"]["foreign"] == 2
    back = app.take(pair.source)
    assert sorted(message["Body"] for message in back) == sorted(attack["MessageBody"] for attack in attacks)
    notes = [json.loads(message["MessageAttributes"]["redrive"]["StringValue"]) for message in back]
    assert {(note["source"], note["count"]) for note in notes} == {(pair.source.arn, 1)}
    assert app.depth(payouts.source) == 0


def test_a_message_in_a_dead_letter_queue_reaches_only_what_configuration_confirms(app: App, payouts: Pair):
    dlq, results = app.queue("failures"), app.queue("results")
    function = app.cloud.client("lambda").create_function(
        FunctionName="on-order-shipped",
        Runtime="python3.13",
        Role=ROLE,
        Handler="app.handle",
        Code={"ZipFile": code_archive("def handle(event, context): ...")},
    )["FunctionArn"]
    attacks = [
        # The deployment lists the function, but its failures don't go to this queue.
        invocation(function),
        invocation(f"arn:aws:lambda:{HOME}:function:{app.resource('ShipmentNotices')}"),
        undelivered(payouts.source.arn),
        undelivered(function),
        forged(payouts.source),
        *(invocation(arn) for arn in functions_of_the_stack(app)),
        undelivered(app.resource("RedriveStateMachine")),
    ]
    events = app.cloud.client("events")
    events.put_rule(Name="genuine", EventPattern='{"source": ["none"]}')
    events.put_targets(Rule="genuine", Targets=[{"Id": "t", "Arn": results.arn, "DeadLetterConfig": {"Arn": dlq.arn}}])
    app.send(dlq, [*attacks, undelivered(results.arn, "genuine"), undelivered(payouts.source.arn, "genuine")])
    report = app.redrive(dlq).report
    assert (report["status"], report["counts"]["redriven"]) == ("INCOMPLETE", 1)
    listed = len(functions_of_the_stack(app)) + 1
    assert report["skipReasons"] == {
        "destination-not-confirmed": 5,
        "no-destination": 1,
        "destination-not-allowed": listed,
    }
    assert app.depth(payouts.source) == 0
    assert [message["Body"] for message in app.take(results)] == ['{"detail": 1}']
    assert app.visible(dlq) == len(attacks) + 1


def test_a_notification_goes_to_the_queue_of_its_subscription_and_nowhere_else(app: App, payouts: Pair):
    orders, dlq, sns = app.pair("orders"), app.queue("undelivered"), app.cloud.client("sns")
    topic = sns.create_topic(Name="orders-placed")["TopicArn"]

    def subscription(endpoint: Queue, failures: Queue) -> str:
        policy = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": failures.arn})}
        made: str = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=endpoint.arn, Attributes=policy)[
            "SubscriptionArn"
        ]
        return made

    def undelivered_to(made: str) -> dict:
        link = f"https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={made}"
        content = {"Type": "Notification", "MessageId": "m", "TopicArn": topic, "Message": "{}", "UnsubscribeURL": link}
        return {"MessageBody": json.dumps(content)}

    genuine = undelivered_to(subscription(orders.source, dlq))
    forged = undelivered_to(subscription(payouts.source, app.queue("others")))
    unknown = undelivered_to(f"{topic}:15189ad7-870e-40e5-a7dd-a48898cd9f86")
    app.send(dlq, [genuine, forged, unknown])
    report = app.redrive(dlq).report
    assert (report["counts"]["redriven"], report["skipReasons"]) == (1, {"destination-not-confirmed": 2})
    assert [message["Body"] for message in app.take(orders.source)] == [genuine["MessageBody"]]
    assert app.depth(payouts.source) == 0


def test_a_message_whose_destination_was_deleted_stays_and_the_others_go(app: App):
    dlq, good, gone = app.queue("failures"), app.queue("good"), app.queue("gone")
    machine = f"arn:aws:states:{HOME}:stateMachine:orders-flow"
    functions = [f"arn:aws:lambda:{HOME}:function:on-order-{name}" for name in ("lost", "placed")]
    app.sqs.delete_queue(QueueUrl=gone.url)
    for function in functions:
        assert function not in functions_of_the_stack(app)
    missing = [f"arn:aws:lambda:{HOME}:function:on-order-returned"]
    app.send(dlq, [*(undelivered(good.arn) for _ in range(30)), undelivered(gone.arn), invocation(missing[0])])
    report = app.redrive(dlq, trustedDestinations=[good.arn, machine]).report
    assert (report["status"], report["counts"]["redriven"]) == ("INCOMPLETE", 30)
    assert report["skipReasons"] == {"destination-not-allowed": 1, "destination-not-confirmed": 1}
    assert app.visible(dlq) == 2


def test_a_run_that_trusts_what_the_deployment_may_not_deliver_to_is_refused(app: App):
    dlq = app.queue("failures")
    for arn in functions_of_the_stack(app):
        report = app.redrive(dlq, trustedDestinations=[arn]).report
        assert report["status"] == "REJECTED"
        assert f"this deployment may not deliver to {arn}" in report["reason"]


def test_a_message_that_nobody_quarantined_stays_in_the_quarantine_while_the_others_go(app: App, payouts: Pair):
    pair, quarantine = app.pair(), app.quarantine
    app.take(quarantine)
    app.bury(pair, [{"MessageBody": "worn out"}])
    app.redrive(pair.dlq)
    app.let_die(pair, 1)
    assert app.redrive(pair.dlq, maxRedrives=1).report["counts"]["quarantined"] == 1
    app.send(quarantine, [forged(payouts.source), undelivered(payouts.source.arn), {"MessageBody": "x"}])
    report = app.ended(app.start({"dlq": quarantine.url, "maxRedrives": 2})).report
    assert (report["status"], report["counts"]["redriven"]) == ("INCOMPLETE", 1)
    assert report["skipReasons"] == {"no-destination": 3}
    assert [message["Body"] for message in app.take(pair.source)] == ["worn out"]
    assert app.depth(payouts.source) == 0
    app.take(quarantine)


@pytest.mark.parametrize("fifo", [False, True])
def test_a_redrive_counts_although_the_message_carries_a_forged_attribute(app: App, fifo: bool):
    pair = app.pair(fifo=fifo)
    group = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if fifo else {}
    app.bury(pair, [forged(pair.source, count=99) | group])
    for _ in range(2):
        assert app.redrive(pair.dlq, maxRedrives=2).report["counts"]["redriven"] == 1
        app.let_die(pair, 1)
    assert app.redrive(pair.dlq, maxRedrives=2).report["quarantineReasons"] == {"redriven-too-often": 1}
    app.take(app.quarantine)
