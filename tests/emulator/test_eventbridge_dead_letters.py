"""Events that the embedded cloud's EventBridge cannot deliver, which ministack alone drops."""

import json

from tests.support.cloud_resources import make_queue, unique
from tests.support.eventually import eventually

PATTERN = {"source": ["tests"]}


def test_an_event_whose_target_is_gone_goes_to_the_targets_dead_letter_queue(cloud):
    events, target, dlq = cloud.client("events"), make_queue(cloud), make_queue(cloud)
    rule = unique("rule")
    arn = events.put_rule(Name=rule, EventPattern=json.dumps(PATTERN))["RuleArn"]
    events.put_targets(Rule=rule, Targets=[{"Id": "t", "Arn": target.arn, "DeadLetterConfig": {"Arn": dlq.arn}}])
    cloud.client("sqs").delete_queue(QueueUrl=target.url)
    events.put_events(Entries=[{"Source": "tests", "DetailType": "order", "Detail": '{"order": 1}'}])
    (message,) = eventually(dlq.receive)
    assert json.loads(message["Body"])["detail"] == {"order": 1}
    texts = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert (texts["RULE_ARN"], texts["TARGET_ARN"], texts["RETRY_ATTEMPTS"]) == (arn, target.arn, "0")
    events.remove_targets(Rule=rule, Ids=["t"])
    events.delete_rule(Name=rule)


def test_an_event_whose_target_is_there_is_delivered(cloud):
    events, target, dlq = cloud.client("events"), make_queue(cloud), make_queue(cloud)
    rule = unique("rule")
    events.put_rule(Name=rule, EventPattern=json.dumps(PATTERN))
    events.put_targets(Rule=rule, Targets=[{"Id": "t", "Arn": target.arn, "DeadLetterConfig": {"Arn": dlq.arn}}])
    events.put_events(Entries=[{"Source": "tests", "DetailType": "order", "Detail": "{}"}])
    assert eventually(target.receive)
    assert dlq.receive() == []
    events.remove_targets(Rule=rule, Ids=["t"])
    events.delete_rule(Name=rule)
