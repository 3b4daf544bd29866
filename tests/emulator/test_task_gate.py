"""Calls of state machines fail before, after, or while what they call runs, if a gate says so."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from local.embedded_cloud import EmbeddedCloud
from tests.support.eventually import eventually

ROLE = "arn:aws:iam::000000000000:role/any"


class Gate(BaseHTTPRequestHandler):
    """Answers with the fault that the message of a task asks for."""

    def do_POST(self) -> None:
        task = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        when = task["arguments"]["MessageBody"]["fail"]
        answer = json.dumps({"when": when, "error": "Any.Error", "cause": when} if when else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: Any) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def gated() -> Iterator[EmbeddedCloud]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    with EmbeddedCloud.start(environment={"TASK_GATE_URL": url}) as cloud:
        yield cloud
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("when", "status", "sent"),
    [("", "SUCCEEDED", 1), ("before", "FAILED", 0), ("after", "FAILED", 1), ("meanwhile", "FAILED", 1)],
)
def test_a_call_fails_when_the_gate_says(gated: EmbeddedCloud, when: str, status: str, sent: int):
    sqs, workflow = gated.client("sqs"), gated.client("stepfunctions")
    name = f"gated-{when or 'open'}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Arguments": {"QueueUrl": url, "MessageBody": {"fail": when}},
        "End": True,
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "Send", "States": {"Send": task}}
    machine = workflow.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
    execution = workflow.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = workflow.describe_execution(executionArn=execution)
        return None if found["status"] == "RUNNING" else found

    described = eventually(ended)
    assert described["status"] == status
    assert described.get("error") == ("Any.Error" if when else None)
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    assert int(counts["ApproximateNumberOfMessages"]) == sent
