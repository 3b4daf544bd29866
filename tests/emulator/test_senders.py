"""Who the embedded cloud's SQS says sent a message."""

import json

import pytest

from local.embedded_cloud import ACCOUNT_ID
from tests.support.cloud_resources import invoke, make_function, make_queue, unique

SENDS = """
import boto3

def handle(event, context):
    boto3.client("sqs").send_message(QueueUrl=event["queue"], MessageBody="x", **event["options"])
    return boto3.client("sts").get_caller_identity()["UserId"]
"""
FIFO = {"MessageGroupId": "g", "MessageDeduplicationId": "d"}


def make_role(cloud) -> tuple[str, str]:
    """Return the ARN and the unique ID of a new role."""
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = cloud.client("iam").create_role(RoleName=unique("role"), AssumeRolePolicyDocument=trust)["Role"]
    return role["Arn"], role["RoleId"]


@pytest.mark.parametrize("fifo", [False, True])
def test_a_message_of_a_function_has_the_id_of_its_role_and_keeps_it_in_the_dead_letter_queue(cloud, fifo):
    attributes = {"FifoQueue": "true"} if fifo else {}
    dlq = make_queue(cloud, **attributes)
    queue = make_queue(cloud, dlq=dlq, **attributes)
    arn, role_id = make_role(cloud)
    function = make_function(cloud, SENDS, Role=arn)

    assert invoke(cloud, function, {"queue": queue.url, "options": FIFO if fifo else {}}) == f"{role_id}:{function}"

    (sent,) = queue.receive(VisibilityTimeout=0)
    assert not queue.receive()
    (dead,) = dlq.receive()
    assert sent["Attributes"]["SenderId"] == dead["Attributes"]["SenderId"] == f"{role_id}:{function}"
    assert dead["Attributes"]["DeadLetterQueueSourceArn"] == queue.arn


def test_messages_of_several_senders_keep_theirs(cloud):
    queue = make_queue(cloud)
    roles = [make_role(cloud) for _ in range(2)]
    for arn, _ in roles:
        invoke(cloud, make_function(cloud, SENDS, Role=arn), {"queue": queue.url, "options": {}})
    queue.send("x")

    senders = {message["Attributes"]["SenderId"].split(":")[0] for message in queue.receive()}

    assert senders == {ACCOUNT_ID, *(role_id for _, role_id in roles)}
