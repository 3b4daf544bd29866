"""The stand-in for SQS that the benchmarks use answers as the embedded cloud does."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.endpoint import stand_in
from tests.support.cloud_resources import unique

_DIFFERENT = {"ReceiptHandle", "MessageId", "SentTimestamp", "ApproximateFirstReceiveTimestamp", "ResponseMetadata"}
# The stand-in's errors have no text for people.
_WORDS = {"Message"}

ENTRY_IDS = st.lists(st.sampled_from(["0", "1", "a-b_c", "x" * 80, "x" * 81, "no spaces", ""]), max_size=11)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["a", "b.c", "store_id"]),
    st.one_of(
        st.builds(lambda value: {"DataType": "Number.int", "StringValue": str(value)}, st.integers()),
        st.builds(lambda value: {"DataType": "String", "StringValue": value}, st.sampled_from(["x", "ümlaut"])),
        st.builds(lambda value: {"DataType": "Binary", "BinaryValue": value}, st.binary(min_size=1, max_size=8)),
    ),
    max_size=3,
)
SENT = st.fixed_dictionaries(
    {"MessageBody": st.text("abc ü\n", min_size=1, max_size=8)},
    optional={
        "MessageAttributes": ATTRIBUTES,
        "MessageGroupId": st.just("group"),
        "MessageSystemAttributes": st.just({"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}}),
    },
)
NAMES = st.sampled_from([["All"], ["a"], ["SentTimestamp", "AWSTraceHeader"], []])
QUEUES = st.sampled_from(["source", "dlq", "none"])
OPERATIONS = st.one_of(
    st.tuples(st.just("send_message"), QUEUES, SENT),
    st.tuples(st.just("send_message_batch"), QUEUES, ENTRY_IDS, st.lists(SENT, min_size=11, max_size=11)),
    st.tuples(st.just("receive_message"), QUEUES, st.integers(1, 10), st.sampled_from([0, 600]), NAMES, NAMES),
    st.tuples(st.just("delete_message_batch"), QUEUES, ENTRY_IDS, st.integers(0, 20)),
    st.tuples(st.just("change_message_visibility_batch"), QUEUES, ENTRY_IDS, st.integers(0, 20)),
    st.tuples(st.sampled_from(["delete_message", "change_message_visibility"]), QUEUES, st.integers(0, 20)),
    st.tuples(st.sampled_from(["get_queue_attributes", "list_dead_letter_source_queues"]), QUEUES),
    st.tuples(st.sampled_from(["get_queue_url", "list_queues", "list_queue_tags"]), QUEUES),
)

RECEIVE_KEYS = ("MaxNumberOfMessages", "VisibilityTimeout", "MessageAttributeNames", "MessageSystemAttributeNames")


class Player:
    """Runs operations on one endpoint and keeps the comparable parts of the answers."""

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.name = name
        self.handles = ["garbage"]
        self.urls = {"none": client.meta.endpoint_url + "/000000000000/none"}
        self.urls["dlq"] = client.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
        arn = f"arn:aws:sqs:us-east-1:000000000000:{name}-dlq"
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
        self.urls["source"] = client.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]

    def play(self, operation: str, queue: str, *choices: Any) -> Any:
        arguments = self._arguments(operation, queue, *choices)
        try:
            answer = getattr(self.client, operation)(**arguments)
        except ClientError as error:
            return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        self.handles += [message["ReceiptHandle"] for message in answer.get("Messages", [])]
        return self._comparable(answer)

    def _arguments(self, operation: str, queue: str, *choices: Any) -> dict[str, Any]:
        if operation == "get_queue_url":
            return {"QueueName": self.urls[queue].rsplit("/", 1)[1]}
        if operation == "list_queues":
            return {"QueueNamePrefix": self.urls[queue].rsplit("/", 1)[1]}
        return {"QueueUrl": self.urls[queue]} | self._other_arguments(operation, *choices)

    def _other_arguments(self, operation: str, *choices: Any) -> dict[str, Any]:
        hidden = {"VisibilityTimeout": 0} if "visibility" in operation else {}
        match operation, choices:
            case "send_message", (sent,):
                return dict(sent)
            case "send_message_batch", (ids, sent):
                return {"Entries": [entry | {"Id": each} for each, entry in zip(ids, sent, strict=False)]}
            case "receive_message", _:
                keys = [
                    "MaxNumberOfMessages",
                    "VisibilityTimeout",
                    "MessageAttributeNames",
                    "MessageSystemAttributeNames",
                ]
                return dict(zip(keys, choices, strict=True))
            case _, (number,):
                return {"ReceiptHandle": self._handle(number)} | hidden
            case _, (ids, number):
                handles = [self._handle(number + place) for place in range(len(ids))]
                return {"Entries": [{"Id": i, "ReceiptHandle": h} | hidden for i, h in zip(ids, handles, strict=True)]}
        return {}

    def _handle(self, number: int) -> str:
        return self.handles[number % len(self.handles)]

    def _comparable(self, answer: Any) -> Any:
        match answer:
            case dict():
                return {key: self._comparable(value) for key, value in answer.items() if key not in _DIFFERENT | _WORDS}
            case list():
                return [self._comparable(value) for value in answer]
            case str():
                return answer.removeprefix(self.client.meta.endpoint_url)
        return answer

    def attributes(self) -> dict[str, str]:
        """Return the source queue's attributes that both endpoints report immediately."""
        found = self.client.get_queue_attributes(QueueUrl=self.urls["source"], AttributeNames=["All"])["Attributes"]
        return {key: value for key, value in found.items() if not key.endswith("Timestamp")}


@pytest.fixture(scope="module")
def bench_client(cloud):
    with stand_in(0.0) as process:
        yield cloud.client("sqs", endpoint_url=f"http://127.0.0.1:{int(process.stdout.readline())}")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(OPERATIONS, min_size=1, max_size=15))
def test_the_stand_in_answers_as_the_embedded_cloud_does(cloud, bench_client, operations):
    name = unique("queue")
    players = [Player(client, name) for client in (cloud.client("sqs"), bench_client)]
    for operation, queue, *choices in operations:
        if operation == "get_queue_attributes":
            theirs, ours = (player.attributes() for player in players)
        else:
            theirs, ours = (player.play(operation, queue, *choices) for player in players)
        assert ours == theirs, operation
