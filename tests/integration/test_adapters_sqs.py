"""Queues as SQS has them: found by any of their names, looked at without harm, released."""

from collections.abc import Iterator

import pytest
from botocore.stub import Stubber

from redrive.adapters.sqs import Look, Queues, sqs_client
from redrive.domain.errors import RejectedError
from redrive.domain.runs import QueueRef
from tests.support.moto_cloud import MotoCloud, moto_cloud


@pytest.fixture
def cloud() -> Iterator[MotoCloud]:
    with moto_cloud() as made:
        yield made


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
    )


def test_a_fifo_queue_is_found_as_such(cloud):
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
    ],
)
@pytest.mark.usefixtures("dlq")
def test_a_queue_of_another_region_is_refused(cloud, given):
    with pytest.raises(RejectedError, match="is in eu-west-1, but this deployment is in us-east-1"):
        cloud.queues.find(given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("arn:aws:sns:us-east-1:123456789012:orders", "is not the ARN of a queue. Expected arn:aws:sqs:"),
        ("arn:aws:sqs:us-east-1", "is not the ARN of a queue"),
        (
            "https://sqs.us-east-1.amazonaws.com/orders-dlq",
            "is not the URL of a queue. Expected https://sqs.",
        ),
        ("https://sqs.us-east-1.amazonaws.com/", "is not the URL of a queue"),
    ],
)
def test_what_names_no_queue_is_refused_with_the_right_form(cloud, given, told):
    with pytest.raises(RejectedError, match=told):
        cloud.queues.find(given)


@pytest.mark.usefixtures("cloud")
def test_a_queue_that_the_deployment_may_not_touch_is_refused_with_how_to_allow_it():
    client = sqs_client()
    with Stubber(client) as stubber:
        stubber.add_client_error("get_queue_url", "AccessDenied", http_status_code=403)
        with pytest.raises(RejectedError, match=r"may not touch the queue orders-dlq.*QueueNamePattern"):
            Queues(client).find("orders-dlq")


def test_facts_tell_counts_and_retention(cloud, dlq):
    cloud.send(dlq, ["a", "b", "c"])
    cloud.send(dlq, [{"MessageBody": "later", "DelaySeconds": 600}])
    cloud.sqs.receive_message(QueueUrl=dlq.url, MaxNumberOfMessages=1)
    facts = cloud.queues.facts(dlq)
    assert (facts.waiting, facts.in_flight, facts.delayed, facts.letters) == (2, 1, 1, 4)
    assert (facts.retention, facts.has_redrive_policy) == (345_600, False)


def test_facts_tell_a_redrive_policy(cloud, dlq):
    assert cloud.queues.facts(cloud.queue("orders", dlq=dlq)).has_redrive_policy


def test_a_redrive_policy_that_was_taken_away_is_none(cloud, dlq):
    orders = cloud.queue("orders", dlq=dlq)
    cloud.sqs.set_queue_attributes(QueueUrl=orders.url, Attributes={"RedrivePolicy": ""})
    assert not cloud.queues.facts(orders).has_redrive_policy


def test_sources_are_the_queues_whose_letters_come_here(cloud, dlq):
    others = cloud.queue("others-dlq")
    used_by = {cloud.queue(name, dlq=dlq) for name in ("orders", "invoices")}
    cloud.queue("others", dlq=others)
    assert set(cloud.queues.sources(dlq)) == used_by
    assert cloud.queues.sources(cloud.queue("attic")) == ()


def test_a_source_that_the_deployment_may_not_touch_is_refused_with_how_to_allow_it(dlq):
    client = sqs_client()
    with Stubber(client) as stubber:
        stubber.add_response("list_dead_letter_source_queues", {"queueUrls": [f"{dlq.url}-source"]})
        stubber.add_client_error("get_queue_attributes", "AccessDenied", http_status_code=403)
        with pytest.raises(RejectedError, match="QueueNamePattern"):
            Queues(client).sources(dlq)


def test_tags_tell_what_the_owners_of_a_queue_declare(cloud, dlq):
    assert cloud.queues.tags(dlq) == {}
    cloud.sqs.tag_queue(QueueUrl=dlq.url, Tags={"redrive:max-rate": "40", "team": "rewards"})
    assert cloud.queues.tags(dlq) == {"redrive:max-rate": "40", "team": "rewards"}


def test_a_queue_whose_tags_the_deployment_may_not_read_is_refused(dlq):
    client = sqs_client()
    with Stubber(client) as stubber:
        stubber.add_client_error("list_queue_tags", "AccessDenied", http_status_code=403)
        with pytest.raises(RejectedError, match="QueueNamePattern"):
            Queues(client).tags(dlq)


def test_a_look_leaves_every_letter_visible(cloud, dlq):
    cloud.send(dlq, [f"body-{n}" for n in range(25)])
    found = cloud.look(dlq, 15)
    assert len({message["MessageId"] for message in found}) == len(found) == 15
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (25, 0)


def test_a_look_shows_everything_a_letter_carries(cloud, dlq):
    attributes = {"b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2"}}
    entry = {"MessageBody": "hello", "MessageAttributes": attributes, "MessageSystemAttributes": trace}
    cloud.send(dlq, [entry])
    (message,) = cloud.look(dlq)
    assert (message["Body"], message["MessageAttributes"]) == ("hello", attributes)
    assert message["Attributes"]["AWSTraceHeader"] == "Root=1-2"
    assert int(message["Attributes"]["SentTimestamp"]) > 0


def test_a_census_looks_at_every_letter_and_leaves_all_visible(cloud, dlq):
    cloud.send(dlq, [f"body-{n}" for n in range(345)])
    look = Look(dlq, None)
    bodies = [message["Body"] for message in cloud.queues.look(look, 30)]
    assert sorted(bodies) == sorted(f"body-{n}" for n in range(345))
    assert look.complete
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (345, 0)


def test_a_look_that_breaks_off_leaves_all_visible(cloud, dlq):
    cloud.send(dlq, [f"body-{n}" for n in range(30)])
    look = Look(dlq, None)
    seen = cloud.queues.look(look, 30)
    next(seen)
    seen.close()
    assert not look.complete
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (30, 0)


def test_a_look_whose_time_is_up_is_not_complete(cloud, dlq):
    cloud.send(dlq, ["body"])
    look = Look(dlq, None)
    assert list(cloud.queues.look(look, 0)) == []
    assert not look.complete


def test_a_look_at_an_empty_queue_shows_nothing(cloud, dlq):
    assert cloud.look(dlq) == []


def test_released_letters_are_visible_at_once(cloud, dlq):
    cloud.send(dlq, [f"body-{n}" for n in range(23)])
    handles = [message["ReceiptHandle"] for message in cloud.take_all(dlq)]
    assert cloud.visible(dlq) == 0
    assert cloud.queues.release(dlq, handles) == 0
    assert cloud.visible(dlq) == 23


def test_letters_that_sqs_does_not_release_are_counted_and_hold_up_no_other(cloud, dlq):
    cloud.send(dlq, ["a", "b"])
    handles = [message["ReceiptHandle"] for message in cloud.take_all(dlq)]
    assert cloud.queues.release(dlq, ["long-gone", *handles]) == 1
    assert cloud.visible(dlq) == 2
