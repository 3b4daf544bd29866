"""Amazon SES rejects the sender, so email tasks fail; when it is verified, a redrive sends each email once.

Run by `make scenario NAME=email-tasks`: 40 HTTP requests, four of them bad; six messages that are not tasks;
five messages that are in the dead-letter queue twice.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from local.function_url import post
from local.sent_emails import sent_emails
from local.stage import Stage, StageError

REQUESTS = 36
BAD_REQUESTS = 4
MALFORMED = 3
WITHOUT_ATTRIBUTE = 3
TWICE = 5
RATE = 20
SENDER = "no-reply@example.com"
TYPED: dict[str, Any] = {"type": {"DataType": "String", "StringValue": "email"}}
# With the template's timeout, five failed receives would take a quarter of an hour.
_VISIBILITY_SECONDS = 2


def play(stage: Stage) -> bool:
    """Run the scenario; return whether every task is accounted for."""
    with stage.visibility_timeout(stage.resource("EmailTasksQueue"), _VISIBILITY_SECONDS):
        return _play(stage, f"email-tasks-{int(time.time())}")


def _play(stage: Stage, run_name: str) -> bool:
    console = stage.console
    queue, dlq = stage.resource("EmailTasksQueue"), stage.resource("EmailTasksDLQ")
    ses = stage.cloud.client("sesv2")

    console.rule("1. The sender isn't verified: Amazon SES rejects every email")
    ses.delete_email_identity(EmailIdentity=SENDER)
    ids_by_subject = {f"{run_name} {number}": "" for number in range(REQUESTS)}
    with stage.progress("Requesting emails", REQUESTS) as report_progress:
        for number, subject in enumerate(ids_by_subject, start=1):
            ids_by_subject[subject] = _ask(stage, subject)
            report_progress(number)
    refused = [_refused(stage) for _ in range(BAD_REQUESTS)]
    console.print(
        f"{REQUESTS} requests accepted (202), {len(refused)} rejected (400): [b]{refused[0]}[/b]\n"
        f"Also sent: {MALFORMED} messages that aren't JSON and {WITHOUT_ATTRIBUTE} without their attribute."
    )
    no_tasks = _send_no_tasks(stage, run_name)
    expected = {*ids_by_subject.values(), *no_tasks}
    # Five receives, and the visibility timeout after each.
    dead = stage.wait_for_dead_letters(queue, dlq, len(expected), "tasks")
    _duplicate(stage, list(ids_by_subject)[:TWICE], ids_by_subject)
    console.print(
        f"The dead-letter queue has {dead + TWICE} messages: {dead} tasks, {TWICE} of them twice, as after a failed "
        "delete.\n"
    )

    console.rule("2. The sender is verified, the redrive starts")
    ses.create_email_identity(EmailIdentity=SENDER)
    stage.redrive("start", stage.queue_name("EmailTasksDLQ"), "--rate", str(RATE), "--yes", "--watch")

    console.rule("3. Where every task is now")
    with stage.progress("Waiting for the consumer"):
        stage.until(lambda: stage.depth(queue) == 0, "the consumer to process the redriven tasks")
    console.print("The consumer remembers the IDs of tasks, so the duplicates send no second email.")
    return stage.reconcile(
        expected,
        {
            "emailed, according to Amazon SES": [
                ids_by_subject[email.subject] for email in sent_emails(stage.cloud) if email.subject in ids_by_subject
            ],
            "in quarantine": stage.ids_in_queue(stage.resource("QuarantineQueue"), _task_id),
            "in the source queue": stage.ids_in_queue(queue, _task_id),
            "in the dead-letter queue": stage.ids_in_queue(dlq, _task_id),
        },
    )


def _ask(stage: Stage, subject: str) -> str:
    """Request an email; return the ID of its task."""
    request = {"recipient_email": "success@simulator.amazonses.com", "subject": subject, "body": "Welcome!"}
    answer = post(stage.cloud, stage.stack.outputs["EmailTasksUrl"], json.dumps(request))
    if answer.status != 202:
        raise StageError(f"Expected 202 for a good request, found {answer.status}: {answer.text}")
    task_id: str = answer.content["task_id"]
    return task_id


def _refused(stage: Stage) -> str:
    answer = post(stage.cloud, stage.stack.outputs["EmailTasksUrl"], '{"recipient_email": "nobody"}')
    if answer.status != 400:
        raise StageError(f"Expected 400 for a bad request, found {answer.status}: {answer.text}")
    return ", ".join(f"{problem['where']} ({problem['what']})" for problem in answer.content["problems"])


def _send_no_tasks(stage: Stage, run_name: str) -> set[str]:
    """Send messages that break the contract, bypassing the producer; return the IDs in them."""
    malformed = [f"{run_name}-malformed-{number}" for number in range(MALFORMED)]
    untyped = [f"{run_name}-untyped-{number}" for number in range(WITHOUT_ATTRIBUTE)]
    for task_id in malformed:
        # The closing brace is missing.
        stage.sqs.send_message(
            QueueUrl=stage.resource("EmailTasksQueue"),
            MessageBody=f'{{"task_id": "{task_id}"',
            MessageAttributes=TYPED,
        )
    for task_id in untyped:
        stage.sqs.send_message(QueueUrl=stage.resource("EmailTasksQueue"), MessageBody=_task("-", task_id))
    return {*malformed, *untyped}


def _duplicate(stage: Stage, subjects: list[str], ids: Mapping[str, str]) -> None:
    for subject in subjects:
        stage.sqs.send_message(
            QueueUrl=stage.resource("EmailTasksDLQ"),
            MessageBody=_task(subject, ids[subject]),
            MessageAttributes=TYPED,
        )


def _task(subject: str, task_id: str) -> str:
    return json.dumps(
        {
            "recipient_email": "success@simulator.amazonses.com",
            "subject": subject,
            "body": "Welcome!",
            "task_id": task_id,
        }
    )


def _task_id(message: Mapping[str, Any]) -> str | None:
    # Not parsed, because some aren't JSON.
    found = re.search(r'"task_id": "([A-Za-z0-9-]+)"', message["Body"])
    return found[1] if found else None
