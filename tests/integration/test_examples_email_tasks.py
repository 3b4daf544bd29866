"""Email tasks: the producer accepts valid requests, and the consumer sends each task once despite failures."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from botocore.awsrequest import AWSResponse
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from tests.support.definitions import functions
from tests.support.moto_cloud import MotoCloud, moto_cloud
from tests.support.samples import Context, load, sample

PRODUCER, CONSUMER = (functions()[name] for name in ("EmailTasksProducer", "EmailTasksConsumer"))
SENDER = "no-reply@example.com"
MARK = "7319"
TYPED = {"type": {"stringValue": "email", "dataType": "String"}}


class KilledError(BaseException):
    """Lambda kills the process, so no more of its code runs."""


class Mail:
    """The account of the email tasks, with a verified sender."""

    def __init__(self, cloud: MotoCloud) -> None:
        self.cloud = cloud
        self.queue = cloud.queue("email-tasks")
        cloud.table("email-tasks", "id")
        self.verify()

    def verify(self) -> None:
        boto3.client("sesv2").create_email_identity(EmailIdentity=SENDER)

    def lose_verification(self) -> None:
        boto3.client("sesv2").delete_email_identity(EmailIdentity=SENDER)

    @property
    def sent(self) -> list[str]:
        """The subjects of the emails that SES accepted."""
        return [message.subject for message in ses_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].sent_messages]

    def records(self) -> list[dict[str, Any]]:
        return boto3.client("dynamodb").scan(TableName="email-tasks")["Items"]

    def request(self, body: str) -> tuple[int, Any]:
        """Post to the producer."""
        response = load(PRODUCER)(sample("email-tasks-producer") | {"body": body})
        return response["statusCode"], json.loads(response["body"])

    def deliver(self, *records: dict[str, Any], seconds_left: float = 30, when_loaded: Callable | None = None):
        """Deliver records to the consumer; return the ids of those to retry."""
        consume = load(CONSUMER, Context(seconds_left))
        if when_loaded is not None:
            when_loaded(sys.modules[CONSUMER.module])
        self.cloud.calls.clear()
        try:
            failed = consume({"Records": list(records)})["batchItemFailures"]
        except BatchProcessingError:
            return [record["messageId"] for record in records]
        assert set(self.cloud.calls) <= CONSUMER.allowed
        return [item["itemIdentifier"] for item in failed]


@pytest.fixture
def mail() -> Iterator[Mail]:
    with moto_cloud() as cloud:
        yield Mail(cloud)


def task(**changes: Any) -> dict[str, Any]:
    defaults = {"recipient_email": "ann@example.org", "subject": "Welcome", "body": "Hello", "task_id": "task-1"}
    return defaults | changes


def record(body: Any, *, message_id: str = "message-1", attributes: dict[str, Any] | None = None):
    """Return a message as Lambda passes it to a consumer."""
    return {
        "messageId": message_id,
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:email-tasks",
        "receiptHandle": f"handle of {message_id}",
        "body": body if isinstance(body, str) else json.dumps(body),
        "messageAttributes": TYPED if attributes is None else attributes,
        "eventSource": "aws:sqs",
    }


# The producer


def test_a_request_becomes_a_task_and_its_id_is_returned_immediately(mail):
    request = {"recipient_email": "ann@example.org", "subject": "Willkommen ☀", "body": "Hallo\nAnn"}
    status, response = mail.request(json.dumps(request))
    (message,) = mail.cloud.take_all(mail.queue)
    assert status == 202
    assert json.loads(message["Body"]) == request | response
    assert message["MessageAttributes"] == {"type": {"StringValue": "email", "DataType": "String"}}
    assert mail.sent == []


def test_the_consumer_processes_everything_that_the_producer_sends(mail):
    mail.request(json.dumps({"recipient_email": "ann@example.org", "subject": "Hi", "body": "Hello"}))
    (message,) = mail.cloud.take_all(mail.queue)
    assert mail.deliver(record(message["Body"])) == []
    assert mail.sent == ["Hi"]


@pytest.mark.parametrize(
    ("body", "error", "where"),
    [
        (f'{{"{MARK}', "not-json", "body"),
        ("", "not-json", "body"),
        (f'["{MARK}"]', "invalid-body", "body"),
        (json.dumps(task(recipient_email=MARK)), "invalid-body", "body.recipient_email"),
        (json.dumps(task(recipient_email=f"{MARK}@example")), "invalid-body", "body.recipient_email"),
        (
            json.dumps(task(recipient_email=f"a@b.example\nBcc: {MARK}@b.example")),
            "invalid-body",
            "body.recipient_email",
        ),
        (json.dumps(task(subject=f"Hi\r\nBcc: {MARK}@b.example")), "invalid-body", "body.subject"),
        (json.dumps(task(subject=int(MARK))), "invalid-body", "body.subject"),
        (json.dumps(task(body=MARK * 12_501)), "invalid-body", "body.body"),
        (json.dumps({MARK: "unknown"}), "invalid-body", "body.*"),
    ],
)
def test_a_bad_request_is_rejected_with_its_problems_but_not_its_values(mail, body, error, where):
    status, response = mail.request(body)
    assert (status, response["error"]) == (400, error)
    assert where in {problem["where"] for problem in response["problems"]}
    assert MARK not in json.dumps(response)
    assert mail.cloud.take_all(mail.queue) == []


def test_the_longest_text_fits_in_a_message_regardless_of_its_characters(mail):
    longest = {"recipient_email": "ann@example.org", "subject": "😀" * 200, "body": "😀" * 50_000}
    assert mail.request(json.dumps(longest))[0] == 202


def test_a_caller_cannot_choose_the_tasks_id(mail):
    status, response = mail.request(json.dumps(task()))
    assert (status, response["problems"]) == (400, [{"where": "body.*", "what": "extra_forbidden"}])


@pytest.mark.usefixtures("mail")
def test_another_path_is_not_found():
    event = sample("email-tasks-producer")
    event["requestContext"]["http"]["path"] = event["rawPath"] = "/admin"
    assert load(PRODUCER)(event)["statusCode"] == 404


# What the consumer accepts


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        ('{"invalid_json": "this will cause a parsing error"', TYPED),
        (task(), {}),
        (task(), {"type": {"stringValue": "sms", "dataType": "String"}}),
        (task(subject=1), TYPED),
        (task(recipient_email=None), TYPED),
        ({key: value for key, value in task().items() if key != "task_id"}, TYPED),
    ],
    ids=["malformed", "no attribute", "another type", "wrong type", "null", "no task id"],
)
def test_a_task_that_breaks_the_contract_is_returned_without_a_claim(mail, body, attributes):
    assert mail.deliver(record(body, attributes=attributes)) == ["message-1"]
    assert mail.cloud.calls == []


def test_unknown_keys_are_ignored(mail):
    assert mail.deliver(record(task(priority="high"))) == []
    assert mail.sent == ["Welcome"]


def test_a_poison_message_does_not_block_the_nine_others_in_its_batch(mail):
    records = [record(task(task_id=f"task-{n}", subject=f"{n}"), message_id=f"m-{n}") for n in range(10)]
    records[4] = record("{", message_id="m-4")
    assert mail.deliver(*records) == ["m-4"]
    assert mail.sent == [str(n) for n in range(10) if n != 4]


# Idempotency


def test_a_message_delivered_twice_sends_one_email_and_writes_twice(mail):
    mail.deliver(record(task()))
    assert mail.cloud.calls == ["dynamodb:PutItem", "ses:SendEmail", "dynamodb:UpdateItem"]
    assert mail.deliver(record(task())) == []
    assert mail.cloud.calls == ["dynamodb:PutItem"]
    assert mail.sent == ["Welcome"]


def test_a_redriven_message_with_a_new_id_sends_no_second_email(mail):
    mail.deliver(record(task(), message_id="message-1"))
    redriven = {**TYPED, "redrive": {"stringValue": '{"count": 1}', "dataType": "String"}}
    assert mail.deliver(record(task(), message_id="message-2", attributes=redriven)) == []
    assert mail.sent == ["Welcome"]


def test_a_record_outlives_every_wait_in_a_dead_letter_queue_and_contains_nothing_personal(mail):
    mail.deliver(record(task(recipient_email=f"{MARK}@example.org", subject=MARK, body=MARK)))
    (kept,) = mail.records()
    claimed_until = int(kept["in_progress_expiration"]["N"]) / 1000 - 30
    assert int(kept["expiration"]["N"]) - claimed_until > (69 * 24 * 3600)
    assert MARK not in json.dumps({name: value for name, value in kept.items() if name != "id"})
    assert kept["id"]["S"].startswith("email-task#")


# Failures


def test_a_task_that_ses_rejected_is_sent_once_ses_accepts_it(mail):
    mail.lose_verification()
    assert mail.deliver(record(task())) == ["message-1"]
    assert mail.records() == []
    mail.verify()
    assert mail.deliver(record(task())) == []
    assert mail.sent == ["Welcome"]


def test_a_rejection_is_reported_with_its_code_but_not_its_text(mail):
    mail.lose_verification()
    consume = load(CONSUMER)
    with pytest.raises(BatchProcessingError) as caught:
        consume({"Records": [record(task(recipient_email=f"{MARK}@example.org", subject=MARK, body=MARK))]})
    assert "SES rejected the email of task task-1: MessageRejected" in str(caught.value)
    assert MARK not in str(caught.value)
    assert SENDER not in str(caught.value)


def dies_at(client: str, operation: str) -> Callable[[Any], None]:
    def arrange(module: Any) -> None:
        def die(**_: Any) -> None:
            raise KilledError

        boto_client = module._ses if client == "sesv2" else module._records.client
        boto_client.meta.events.register(f"before-call.{client}.{operation}", die)

    return arrange


def test_a_task_whose_consumer_died_before_sending_is_sent_after_the_claim_expires(mail):
    with pytest.raises(KilledError):
        mail.deliver(record(task()), seconds_left=0, when_loaded=dies_at("sesv2", "SendEmail"))
    assert mail.sent == []
    assert mail.deliver(record(task())) == []
    assert mail.sent == ["Welcome"]


def test_a_task_that_another_invocation_is_sending_is_retried_later(mail):
    with pytest.raises(KilledError):
        mail.deliver(record(task()), seconds_left=30, when_loaded=dies_at("sesv2", "SendEmail"))
    assert mail.deliver(record(task())) == ["message-1"]
    assert mail.sent == []


def test_a_task_whose_consumer_died_after_sending_is_sent_twice_rather_than_lost(mail):
    with pytest.raises(KilledError):
        mail.deliver(record(task()), seconds_left=0, when_loaded=dies_at("dynamodb", "UpdateItem"))
    assert mail.deliver(record(task())) == []
    assert mail.sent == ["Welcome", "Welcome"]


def throttles(operation: str) -> Callable[[Any], None]:
    def arrange(module: Any) -> None:
        def throttle(**_: Any) -> tuple[AWSResponse, dict[str, Any]]:
            error = {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}
            return AWSResponse("https://dynamodb", 400, {}, None), error

        module._records.client.meta.events.register_first(f"before-call.dynamodb.{operation}", throttle)

    return arrange


def test_a_throttled_table_delays_an_email_which_is_sent_once(mail):
    assert mail.deliver(record(task()), when_loaded=throttles("PutItem")) == ["message-1"]
    assert mail.sent == []
    assert mail.deliver(record(task())) == []
    assert mail.sent == ["Welcome"]
