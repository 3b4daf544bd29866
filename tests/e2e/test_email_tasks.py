"""Email tasks from the HTTP request to the email: through an outage of SES, the dead-letter queue, and a redrive."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from local.function_url import Answer, post
from local.sent_emails import sent_emails
from tests.support import factories
from tests.support.app import App, Queue
from tests.support.eventually import eventually

SENDER = "no-reply@example.com"
TYPED = {"type": factories.string("email")}


class Mail:
    """The email tasks of the deployed app; each test has its own, with a prefix in their subjects."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.queue, self.dlq, self.quarantine = (
            app.own(name) for name in ("EmailTasksQueue", "EmailTasksDLQ", "QuarantineQueue")
        )
        # Each receive that fails costs this time; on AWS it is six times the consumer's timeout.
        app.sqs.set_queue_attributes(QueueUrl=self.queue.url, Attributes={"VisibilityTimeout": "2"})
        self.verify()

    def verify(self) -> None:
        self.app.cloud.client("sesv2").create_email_identity(EmailIdentity=SENDER)

    def lose_verification(self) -> None:
        self.app.cloud.client("sesv2").delete_email_identity(EmailIdentity=SENDER)

    def request(self, body: Any, **options: Any) -> Answer:
        text = body if isinstance(body, str) else json.dumps(body)
        return post(self.app.cloud, self.app.stack.outputs["EmailTasksUrl"], text, **options)

    def ask(self, subject: str) -> str:
        answer = self.request({"recipient_email": "ann@example.org", "subject": subject, "body": "Hello"})
        assert answer.status == 202, answer
        return answer.content["task_id"]

    def put(self, *bodies: str, attributes: dict[str, Any] | None = None) -> None:
        typed = TYPED if attributes is None else attributes
        more = {"MessageAttributes": typed} if typed else {}
        self.app.send(self.queue, [{"MessageBody": body, **more} for body in bodies])

    def subjects(self, prefix: str) -> Counter[str]:
        return Counter(email.subject for email in sent_emails(self.app.cloud) if email.subject.startswith(prefix))

    def processed(self, dead: int = 0) -> None:
        """Wait until each task is sent or dead."""
        eventually(lambda: self.app.depth(self.queue) == 0 and self.app.depth(self.dlq) == dead)


@pytest.fixture
def mail(app: App) -> Iterator[Mail]:
    mail = Mail(app)
    yield mail
    for queue in (mail.queue, mail.dlq, mail.quarantine):
        app.sqs.purge_queue(QueueUrl=queue.url)


def task(task_id: str, subject: str) -> str:
    content = {"recipient_email": "ann@example.org", "subject": subject, "body": "Hello", "task_id": task_id}
    return json.dumps(content)


def bodies(app: App, queue: Queue) -> set[str]:
    return {message["Body"] for message in app.take(queue)}


def test_a_request_is_answered_at_once_and_its_e_mail_goes_out(mail: Mail):
    mail.ask("first: ☀")
    mail.processed()
    (email,) = [email for email in sent_emails(mail.app.cloud) if email.subject == "first: ☀"]
    assert (email.sender, email.recipients, email.text) == (SENDER, ("ann@example.org",), "Hello")


def test_a_bad_request_is_refused_and_nothing_is_queued(mail: Mail):
    answer = mail.request({"recipient_email": "7319", "subject": "bad: 7319"})
    assert answer.status == 400
    assert {problem["where"] for problem in answer.content["problems"]} == {
        "body.recipient_email",
        "body.body",
    }
    assert "7319" not in answer.text
    assert mail.app.depth(mail.queue) == 0


def test_a_request_that_is_not_signed_is_forbidden(mail: Mail):
    assert mail.request("{}", signed=False).status == 403


def test_tasks_that_ses_refused_are_redriven_and_sent_once_each(mail: Mail):
    mail.lose_verification()
    subjects = [f"outage: {number}" for number in range(12)]
    for subject in subjects:
        mail.ask(subject)
    mail.processed(dead=12)
    assert mail.subjects("outage:") == {}
    mail.verify()
    report = mail.app.redrive(mail.dlq, rate=100).report
    assert (report["counts"]["redriven"], report["counts"]["remaining"]) == (12, 0)
    assert "ann@example.org" not in json.dumps(report)
    mail.processed()
    assert mail.subjects("outage:") == Counter(subjects)


def test_a_task_that_was_sent_is_not_sent_again_by_a_duplicate_or_a_redrive(mail: Mail):
    once = task("task-once", "once: Hi")
    mail.put(once, once, once)
    mail.processed()
    # As a message whose message could not be deleted after it was processed.
    mail.app.send(mail.dlq, [{"MessageBody": once, "MessageAttributes": TYPED}])
    assert mail.app.redrive(mail.dlq).report["counts"]["redriven"] == 1
    mail.processed()
    assert mail.subjects("once:") == {"once: Hi": 1}


def test_a_poison_message_dies_alone_and_goes_into_quarantine(mail: Mail):
    good = [task(f"task-beside-{number}", f"beside: {number}") for number in range(9)]
    malformed = '{"invalid_json": "this will cause a parsing error"'
    mail.put(*good[:4], malformed, *good[4:])
    mail.processed(dead=1)
    assert mail.subjects("beside:") == Counter(f"beside: {number}" for number in range(9))
    report = mail.app.redrive(mail.dlq).report
    assert report["quarantineReasons"] == {"not-json": 1}
    assert bodies(mail.app, mail.quarantine) == {malformed}


def test_a_task_without_its_attribute_goes_into_quarantine_with_that_reason(mail: Mail):
    mail.put(task("task-untyped", "untyped: Hi"), attributes={})
    mail.processed(dead=1)
    assert mail.app.redrive(mail.dlq).report["quarantineReasons"] == {"missing-attribute": 1}
    assert mail.subjects("untyped:") == {}
