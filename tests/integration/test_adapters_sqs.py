"""Queues are found by name, ARN, or URL, peeked at without side effects, and their messages released."""

import pytest
from botocore.stub import Stubber

from redrive.adapters.sqs import Queues, sqs_client
from redrive.domain.errors import RejectedError
from redrive.domain.messages.queue_keys import KEY_ERRORS
from redrive.domain.messages.queues import QueueRef
from redrive.workflow.ports import Peek


@pytest.fixture
def dlq(cloud) -> QueueRef:
    return cloud.queue("orders-dlq")


@pytest.mark.parametrize(
    "given",
    [
        "orders-dlq",
        "arn:aws:sqs:us-east-1:123456789012:orders-dlq",
        "https://sqs.us-east-1.amazonaws.com/123456789012/orders-dlq",
    ],
)
@pytest.mark.usefixtures("dlq")
def test_a_queue_is_found_by_name_arn_and_url(cloud, given):
    assert cloud.queues.find(given) == QueueRef(
        name="orders-dlq",
        arn="arn:aws:sqs:us-east-1:123456789012:orders-dlq",
        url="https://sqs.us-east-1.amazonaws.com/123456789012/orders-dlq",
        fifo=False,
        max_bytes=1_048_576,
    )


def test_a_fifo_queue_is_recognized(cloud):
    assert cloud.queue("orders-dlq.fifo").fifo


@pytest.mark.parametrize(
    "given",
    [
        "nowhere",
        "arn:aws:sqs:us-east-1:123456789012:nowhere",
        "https://sqs.us-east-1.amazonaws.com/123456789012/nowhere",
    ],
)
def test_an_unknown_queue_is_none(cloud, given):
    assert cloud.queues.find(given) is None


@pytest.mark.parametrize(
    "given",
    [
        "arn:aws:sqs:eu-west-1:123456789012:orders-dlq",
        "https://sqs.eu-west-1.amazonaws.com/123456789012/orders-dlq",
        "https://eu-west-1.queue.amazonaws.com/123456789012/orders-dlq",
        "https://sqs.eu-west-1.api.aws/123456789012/orders-dlq",
        "https://sqs-fips.eu-west-1.amazonaws.com/123456789012/orders-dlq",
        "https://vpce-0a1b-2c3d.sqs.eu-west-1.vpce.amazonaws.com/123456789012/orders-dlq",
    ],
)
@pytest.mark.usefixtures("dlq")
def test_a_queue_in_another_region_is_rejected(cloud, given):
    with pytest.raises(RejectedError, match=r"Expected a queue in us-east-1, .* found .* in eu-west-1"):
        cloud.queues.find(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("arn:aws:sns:us-east-1:123456789012:orders", "Expected a queue ARN, arn:aws:sqs:"),
        ("arn:aws:sqs:us-east-1", "Expected a queue ARN"),
        ("https://sqs.us-east-1.amazonaws.com/orders-dlq", "Expected a queue URL, https://sqs."),
        ("https://sqs.us-east-1.amazonaws.com/", "Expected a queue URL"),
    ],
)
def test_a_malformed_arn_or_url_is_rejected_with_the_expected_format(cloud, given, expected):
    with pytest.raises(RejectedError, match=expected):
        cloud.queues.find(given)


@pytest.mark.parametrize(
    "given",
    [
        "arn:aws:sqs:us-east-1:210987654321:orders-dlq",
        "https://sqs.us-east-1.amazonaws.com/210987654321/orders-dlq",
    ],
)
@pytest.mark.usefixtures("dlq")
def test_a_queue_of_another_account_is_rejected_with_both_accounts(cloud, given):
    with pytest.raises(RejectedError, match=r"in the account 123456789012, .* in the account 210987654321\."):
        cloud.queues.find(given)


@pytest.mark.usefixtures("dlq")
def test_a_url_whose_host_is_not_known_is_rejected(cloud):
    with pytest.raises(RejectedError, match="isn't known as an endpoint of SQS"):
        cloud.queues.find("https://sqs.us-east-1.example.com/123456789012/orders-dlq")


@pytest.mark.parametrize("arn", ["arn:aws:sqs:us-east-1:123456789012:other", "arn:aws:sqs:eu-west-1:123456789012:a"])
@pytest.mark.usefixtures("cloud")
def test_a_queue_that_is_not_the_one_asked_for_is_rejected(arn):
    client = sqs_client()
    with Stubber(client) as stubber:
        stubber.add_response("get_queue_url", {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/a"})
        stubber.add_response("get_queue_attributes", {"Attributes": {"QueueArn": arn, "MaximumMessageSize": "1024"}})
        with pytest.raises(RejectedError, match=f"Expected the queue a in us-east-1, but SQS returned {arn}"):
            Queues(client).find("a")


@pytest.mark.usefixtures("cloud")
def test_a_queue_without_permission_is_rejected_with_the_parameter_that_grants_it():
    client = sqs_client()
    with Stubber(client) as stubber:
        stubber.add_client_error("get_queue_url", "AccessDenied", http_status_code=403)
        with pytest.raises(RejectedError, match=r"no permission to access the queue orders-dlq.*QueueNamePattern"):
            Queues(client).find("orders-dlq")


def test_facts_include_counts_and_retention(cloud, dlq):
    cloud.send(dlq, ["a", "b", "c"])
    cloud.send(dlq, [{"MessageBody": "later", "DelaySeconds": 600}])
    cloud.sqs.receive_message(QueueUrl=dlq.url, MaxNumberOfMessages=1)
    facts = cloud.queues.facts(dlq)
    assert (facts.waiting, facts.in_flight, facts.delayed, facts.messages) == (2, 1, 1, 4)
    assert (facts.retention, facts.has_redrive_policy) == (345_600, False)


def test_facts_say_whether_a_queue_has_a_redrive_policy(cloud, dlq):
    facts = cloud.queues.facts(cloud.queue("orders", dlq=dlq))
    assert facts.has_redrive_policy
    assert facts.dead_letter_queue == dlq.arn


def test_a_removed_redrive_policy_counts_as_none(cloud, dlq):
    orders = cloud.queue("orders", dlq=dlq)
    cloud.sqs.set_queue_attributes(QueueUrl=orders.url, Attributes={"RedrivePolicy": ""})
    assert not cloud.queues.facts(orders).has_redrive_policy


def test_sources_are_the_queues_whose_redrive_policy_names_the_queue(cloud, dlq):
    others = cloud.queue("others-dlq")
    sources = {cloud.queue(name, dlq=dlq) for name in ("orders", "invoices")}
    cloud.queue("others", dlq=others)
    assert set(cloud.queues.sources(dlq)) == sources
    assert cloud.queues.sources(cloud.queue("unused")) == ()


def test_a_source_queue_without_permission_is_rejected_with_the_parameter_that_grants_it(dlq):
    client = sqs_client()
    with Stubber(client) as stubber:
        stubber.add_response("list_dead_letter_source_queues", {"queueUrls": [f"{dlq.url}-source"]})
        stubber.add_client_error("get_queue_attributes", "AccessDenied", http_status_code=403)
        with pytest.raises(RejectedError, match="QueueNamePattern"):
            Queues(client).sources(dlq)


def test_tags_of_a_queue_are_read(cloud, dlq):
    assert cloud.queues.tags(dlq) == {}
    cloud.sqs.tag_queue(QueueUrl=dlq.url, Tags={"redrive:max-rate": "40", "team": "rewards"})
    assert cloud.queues.tags(dlq) == {"redrive:max-rate": "40", "team": "rewards"}


def test_a_queue_is_rejected_if_its_tags_cannot_be_read(dlq):
    client = sqs_client()
    with Stubber(client) as stubber:
        stubber.add_client_error("list_queue_tags", "AccessDenied", http_status_code=403)
        with pytest.raises(RejectedError, match="QueueNamePattern"):
            Queues(client).tags(dlq)


def test_peeking_leaves_every_message_visible(cloud, dlq):
    cloud.send(dlq, [f"body-{n}" for n in range(25)])
    peeked = cloud.peek(dlq, 15)
    assert len({message["MessageId"] for message in peeked}) == len(peeked) == 15
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (25, 0)


@pytest.mark.parametrize("code", sorted(KEY_ERRORS))
def test_a_queue_whose_key_can_t_be_used_is_rejected_with_what_to_do(dlq, code):
    client = sqs_client()
    with Stubber(client) as stubber:
        stubber.add_client_error("receive_message", code, "may name anything", http_status_code=400)
        peeking = Queues(client).peek(Peek(dlq, 10), 5)
        with pytest.raises(RejectedError, match=r"the KMS key that encrypts orders-dlq.*kms:Decrypt") as caught:
            list(peeking)
    assert code in str(caught.value)
    assert "may name anything" not in str(caught.value)


def test_peeking_returns_everything_a_message_has(cloud, dlq):
    attributes = {"b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2"}}
    entry = {"MessageBody": "hello", "MessageAttributes": attributes, "MessageSystemAttributes": trace}
    cloud.send(dlq, [entry])
    (message,) = cloud.peek(dlq)
    assert (message["Body"], message["MessageAttributes"]) == ("hello", attributes)
    assert message["Attributes"]["AWSTraceHeader"] == "Root=1-2"
    assert int(message["Attributes"]["SentTimestamp"]) > 0


def test_a_full_scan_peeks_at_every_message_and_leaves_all_visible(cloud, dlq):
    cloud.send(dlq, [f"body-{n}" for n in range(345)])
    peek = Peek(dlq, None)
    bodies = [message["Body"] for message in cloud.queues.peek(peek, 120)]
    assert sorted(bodies) == sorted(f"body-{n}" for n in range(345))
    assert peek.complete
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (345, 0)


def test_interrupted_peeking_leaves_all_messages_visible(cloud, dlq):
    cloud.send(dlq, [f"body-{n}" for n in range(30)])
    peek = Peek(dlq, None)
    messages = cloud.queues.peek(peek, 120)
    next(messages)
    messages.close()
    assert not peek.complete
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (30, 0)


@pytest.mark.parametrize(("messages", "complete"), [(7, True), (25, False)])
def test_a_full_scan_of_a_fifo_queue_is_complete_unless_messages_wait_behind_those_in_hand(cloud, messages, complete):
    dlq = cloud.queue("orders-dlq.fifo")
    cloud.send(
        dlq,
        [{"MessageBody": f"{n}", "MessageGroupId": "g", "MessageDeduplicationId": f"{n}"} for n in range(messages)],
    )
    peek = Peek(dlq, None)
    assert len(list(cloud.queues.peek(peek, 120))) == min(10, messages)
    assert peek.complete is complete


def test_a_full_scan_at_the_limit_of_messages_in_flight_is_not_complete(cloud, dlq, monkeypatch):
    monkeypatch.setattr("redrive.domain.messages.queues._NEAR_THE_LIMIT", 2)
    cloud.send(dlq, ["a", "b"])
    cloud.take_all(dlq)
    peek = Peek(dlq, None)
    assert list(cloud.queues.peek(peek, 120)) == []
    assert not peek.complete


def test_peeking_that_runs_out_of_time_is_not_complete(cloud, dlq):
    cloud.send(dlq, ["body"])
    peek = Peek(dlq, None)
    assert list(cloud.queues.peek(peek, 0)) == []
    assert not peek.complete


def test_peeking_at_an_empty_queue_returns_nothing(cloud, dlq):
    assert cloud.peek(dlq) == []


def test_released_messages_are_visible_immediately(cloud, dlq):
    cloud.send(dlq, [f"body-{n}" for n in range(23)])
    handles = [message["ReceiptHandle"] for message in cloud.take_all(dlq)]
    assert cloud.visible(dlq) == 0
    assert cloud.queues.release(dlq, handles) == 0
    assert cloud.visible(dlq) == 23


def test_messages_that_sqs_does_not_release_are_counted_and_do_not_block_others(cloud, dlq):
    cloud.send(dlq, ["a", "b"])
    handles = [message["ReceiptHandle"] for message in cloud.take_all(dlq)]
    assert cloud.queues.release(dlq, ["invalid", *handles]) == 1
    assert cloud.visible(dlq) == 2
