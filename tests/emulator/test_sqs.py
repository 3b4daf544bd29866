"""The embedded cloud's SQS, SNS and CloudFormation, as far as ministack alone differs from AWS."""

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.embedded_cloud import EmbeddedCloud
from local.workspace import ROOT
from tests.support.cloud_resources import make_queue
from tests.support.eventually import eventually

MEBIBYTE = 1_048_576
TRACE_HEADER = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def text(value):
    return {"DataType": "String", "StringValue": value}


def refusal(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def test_a_request_s_trace_is_that_of_its_messages_without_one_of_their_own(cloud):
    # All tests share the cloud's clients, but not this one, whose every request has a trace.
    queue, sqs = make_queue(cloud), cloud.client("sqs", config=Config())
    sqs.meta.events.register("before-call", lambda params, **_: params["headers"].update({"X-Amzn-Trace-Id": "Root=1"}))
    own = {"AWSTraceHeader": text(TRACE_HEADER)}
    entries = [{"Id": "0", "MessageBody": "own", "MessageSystemAttributes": own}, {"Id": "1", "MessageBody": "none"}]
    sqs.send_message_batch(QueueUrl=queue.url, Entries=entries)
    headers = {message["Body"]: message["Attributes"]["AWSTraceHeader"] for message in queue.receive()}
    assert headers == {"own": TRACE_HEADER, "none": "Root=1"}


def test_a_batch_keeps_the_trace_header_and_the_message_group_of_each_entry(cloud):
    queue = make_queue(cloud)

    cloud.client("sqs").send_message_batch(
        QueueUrl=queue.url,
        Entries=[
            {
                "Id": "1",
                "MessageBody": "x",
                "MessageGroupId": "tenant",
                "MessageSystemAttributes": {"AWSTraceHeader": text(TRACE_HEADER)},
            }
        ],
    )

    attributes = queue.receive()[0]["Attributes"]
    assert attributes["AWSTraceHeader"] == TRACE_HEADER
    assert attributes["MessageGroupId"] == "tenant"


def test_a_message_may_have_a_mebibyte_with_its_attributes_and_no_byte_more(cloud):
    queue = make_queue(cloud)
    attributes = {"name": text("value")}
    room = MEBIBYTE - len("name" + "String" + "value")

    queue.send("x" * room, MessageAttributes=attributes)

    longer = {"MessageBody": "x" * (room + 1), "MessageAttributes": attributes}
    assert refusal(cloud.client("sqs").send_message, QueueUrl=queue.url, **longer) == "InvalidParameterValue"


def test_a_batch_may_have_a_mebibyte_with_attributes_and_no_byte_more(cloud):
    queue = make_queue(cloud)
    half = {"MessageBody": "x" * (MEBIBYTE // 2 - 15), "MessageAttributes": {"name": text("value")}}
    send = cloud.client("sqs").send_message_batch

    send(QueueUrl=queue.url, Entries=[{"Id": "1", **half}, {"Id": "2", **half}])

    entries = [{"Id": "1", **half}, {"Id": "2", **half, "MessageBody": half["MessageBody"] + "x"}]
    assert refusal(send, QueueUrl=queue.url, Entries=entries).endswith("BatchRequestTooLong")


def test_an_eleventh_message_attribute_is_refused(cloud):
    queue = make_queue(cloud)
    attributes = {f"a{number}": text("x") for number in range(11)}

    code = refusal(cloud.client("sqs").send_message, QueueUrl=queue.url, MessageBody="x", MessageAttributes=attributes)

    assert code == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("send_message", {"MessageBody": "x", "DelaySeconds": 901}),
        ("receive_message", {"WaitTimeSeconds": 21}),
        ("receive_message", {"VisibilityTimeout": 43_201}),
    ],
)
def test_seconds_out_of_range_are_refused(cloud, call, arguments):
    queue = make_queue(cloud)

    code = refusal(getattr(cloud.client("sqs"), call), QueueUrl=queue.url, **arguments)

    assert code == "InvalidParameterValue"


def test_a_short_poll_is_refused_and_a_long_one_empty_when_too_many_messages_are_in_flight(tmp_path):
    # The limit of 120,000 is lowered in a cloud of its own.
    lower = "import local.ministack_compat.sqs as sqs\nsqs.MAX_IN_FLIGHT = 2\n"
    (tmp_path / "sitecustomize.py").write_text(lower)
    with EmbeddedCloud.start(environment={"PYTHONPATH": f"{tmp_path}:{ROOT}"}) as cloud:
        queue = make_queue(cloud)
        queue.send("a", "b", "c")

        assert len(queue.receive()) == 2
        receive = cloud.client("sqs").receive_message
        assert refusal(receive, QueueUrl=queue.url, WaitTimeSeconds=0) == "OverLimit"
        assert queue.receive(wait=1) == []


def test_answers_leave_empty_lists_out(cloud):
    queue = make_queue(cloud)
    client = cloud.client("sqs")

    sent = client.send_message_batch(QueueUrl=queue.url, Entries=[{"Id": "1", "MessageBody": "x"}])

    assert "Failed" not in sent
    assert "QueueUrls" not in client.list_queues(QueueNamePrefix="no queue is called so")


def test_deleting_a_message_twice_succeeds(cloud):
    queue = make_queue(cloud)
    queue.send("x")
    (message,) = queue.receive()

    queue.delete(message)
    queue.delete(message)

    assert queue.depth() == (0, 0, 0)


def test_the_visibility_of_a_message_that_is_not_in_flight_cannot_be_changed(cloud):
    queue = make_queue(cloud)
    queue.send("x")
    (message,) = queue.receive(VisibilityTimeout=0)

    code = refusal(
        cloud.client("sqs").change_message_visibility,
        QueueUrl=queue.url,
        ReceiptHandle=message["ReceiptHandle"],
        VisibilityTimeout=5,
    )

    assert code == "InvalidParameterValue"


def test_a_dead_letter_names_the_queue_it_comes_from_and_keeps_its_attributes(cloud):
    dlq = make_queue(cloud)
    source = make_queue(cloud, dlq=dlq)
    source.send("x", MessageAttributes={"name": text("value")})

    source.receive(VisibilityTimeout=0)
    assert source.receive() == []

    (message,) = dlq.receive()
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == source.arn
    assert message["MessageAttributes"]["name"]["StringValue"] == "value"


def test_the_sources_of_a_dead_letter_queue_are_listed(cloud):
    dlq = make_queue(cloud)
    sources = [make_queue(cloud, dlq=dlq) for _ in range(2)]

    listed = cloud.client("sqs").list_dead_letter_source_queues(QueueUrl=dlq.url)["queueUrls"]

    assert sorted(listed) == sorted(source.url for source in sources)


def test_a_move_task_returns_dlq_to_the_queues_they_came_from(cloud):
    dlq = make_queue(cloud)
    sources = [make_queue(cloud, dlq=dlq) for _ in range(2)]
    for source in sources:
        source.send("a", "b")
        source.receive(VisibilityTimeout=0)
        source.receive()
    client = cloud.client("sqs")

    client.start_message_move_task(SourceArn=dlq.arn)

    def completed():
        (task,) = client.list_message_move_tasks(SourceArn=dlq.arn)["Results"]
        return task if task["Status"] == "COMPLETED" else None

    assert eventually(completed)["ApproximateNumberOfMessagesMoved"] == 4
    assert [source.depth() for source in sources] == [(2, 0, 0), (2, 0, 0)]


def test_a_move_task_keeps_its_rate_and_stops_when_cancelled(cloud):
    dlq, target = make_queue(cloud), make_queue(cloud)
    make_queue(cloud, dlq=dlq)
    dlq.send(*map(str, range(30)))
    client = cloud.client("sqs")

    handle = client.start_message_move_task(
        SourceArn=dlq.arn, DestinationArn=target.arn, MaxNumberOfMessagesPerSecond=10
    )["TaskHandle"]
    eventually(lambda: target.depth()[0] >= 5)
    moved = client.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]

    def status():
        return client.list_message_move_tasks(SourceArn=dlq.arn)["Results"][0]["Status"]

    eventually(lambda: status() == "CANCELLED")
    assert 5 <= moved <= target.depth()[0] < 15


def test_only_one_move_task_of_a_dead_letter_queue_may_run(cloud):
    dlq, target = make_queue(cloud), make_queue(cloud)
    make_queue(cloud, dlq=dlq)
    dlq.send("a", "b", "c")
    start = cloud.client("sqs").start_message_move_task
    arguments = {
        "SourceArn": dlq.arn,
        "DestinationArn": target.arn,
        "MaxNumberOfMessagesPerSecond": 1,
    }
    start(**arguments)

    assert refusal(start, **arguments).endswith("UnsupportedOperation")


def test_a_move_task_needs_a_dead_letter_queue(cloud):
    code = refusal(cloud.client("sqs").start_message_move_task, SourceArn=make_queue(cloud).arn)

    assert code == "InvalidParameterValue"


def test_every_message_of_a_deep_queue_is_received_once_and_deleted(cloud):
    queue = make_queue(cloud)
    client = cloud.client("sqs")
    for batch in range(50):
        entries = [{"Id": str(number), "MessageBody": f"{batch}-{number}"} for number in range(10)]
        client.send_message_batch(QueueUrl=queue.url, Entries=entries)

    received = set()
    while messages := queue.receive():
        received |= {message["Body"] for message in messages}
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        client.delete_message_batch(QueueUrl=queue.url, Entries=entries)

    assert len(received) == 500
    assert queue.depth() == (0, 0, 0)
