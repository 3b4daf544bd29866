"""Invokes one function of the deployed app with a sample event: `make invoke EVENT=events/plan.json`.

events/README.md says which function an event is for. The sample events name queues of an imaginary account; here
the stack's own take their place, and what the event relies on is set up first: messages in the dead-letter queue,
the lock of the run or how far it is, the verified sender of emails.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

from local.cloud import DEFAULT_PORT, STACK_NAME
from local.embedded_cloud import REGION, EmbeddedCloud, EmbeddedCloudError, Stack, recorded
from local.ending import ending_cleanly
from local.workspace import ROOT

EVENTS = ROOT / "events"
# Queues in the sample events by their logical IDs.
QUEUES = {
    "store-events-dlq": "StoreEventsDLQ",
    "store-events": "StoreEventsQueue",
    "redrive-quarantine": "QuarantineQueue",
    "email-tasks": "EmailTasksQueue",
    "rewards.fifo": "RewardsQueue",
}
SAMPLE_ARN = "arn:aws:sqs:us-east-1:123456789012:"
SAMPLE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/"
SAMPLE_ALARM = "redrive-StoreEventsDLQAlarm-1A2B3C4D5E6F"
SENDER = "no-reply@example.com"
MESSAGES = 12
# Every fourth message lacks the attribute that its contract requires.
_INVALID_EVERY = 4
# How long the execution goes on whose run a sample event stops.
_EXECUTION_SECONDS = 60
_ROW = re.compile(
    r"^\| \[(?P<event>[\w.-]+)\]\([\w.-]+\) \| `(?P<function>\w+)` \| (?P<needs>.*?) \| (?P<result>.+?) \|$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Sample:
    """A row of the table in events/README.md."""

    event: str
    # The logical ID of the function.
    function: str
    # The parameters of the stack without which the function is not deployed, as Name=value.
    needs: tuple[str, ...]
    result: str


def samples() -> dict[str, Sample]:
    """Return the sample events by the names of their files."""
    rows = _ROW.finditer((EVENTS / "README.md").read_text())
    return {
        row["event"]: Sample(row["event"], row["function"], tuple(re.findall(r"`(.+?)`", row["needs"])), row["result"])
        for row in rows
    }


def invoke(cloud: EmbeddedCloud, stack: Stack, path: Path, function: str = "") -> int:
    """Invoke a function, print its log and its response, and return an exit status: 1 if the function fails.

    Parameters
    ----------
    cloud : EmbeddedCloud
        Where the app is deployed.
    stack : Stack
        Its stack.
    path : Path
        A file with the event.
    function : str
        The logical ID of the function; if empty, the table in events/README.md names it.

    Raises
    ------
    EmbeddedCloudError
        The event can't be read, no function is known for it, or the function isn't deployed.
    """
    sample = samples().get(path.name)
    if not function and sample is None:
        raise EmbeddedCloudError(
            f"expected an event that events/README.md lists, found {path}; "
            f"name its function: make invoke EVENT={path} FUNCTION=CoordinatorFunction"
        )
    logical_id = function or (sample.function if sample else "")
    try:
        event = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EmbeddedCloudError(f"expected a file with JSON, found {path}: {error}") from None
    if logical_id not in stack.resources:
        raise EmbeddedCloudError(_not_deployed(logical_id, sample))
    event = localized(event, stack)
    prepare(cloud, stack, event)
    response = cloud.client("lambda").invoke(
        FunctionName=stack.resource(logical_id), Payload=json.dumps(event), LogType="Tail"
    )
    payload = response["Payload"].read().decode()
    if log := base64.b64decode(response.get("LogResult", "")).decode(errors="replace").strip():
        print(log, file=sys.stderr)
    # The stop function answers with an error instead of raising it.
    if "FunctionError" in response or "errorType" in _members(payload):
        print(f"{logical_id} failed: {_failure(payload)}", file=sys.stderr)
        return 1
    print(payload)
    if sample is not None and logical_id == sample.function:
        print(f"{logical_id} succeeded. Expected: {sample.result}", file=sys.stderr)
    return 0


def _members(payload: str) -> dict[str, Any]:
    answer = json.loads(payload)
    return answer if isinstance(answer, dict) else {}


def _failure(payload: str) -> str:
    """Return the error of a function as one line."""
    failure = json.loads(payload)
    message = " ".join(str(failure.get("errorMessage", payload)).split())
    return f"{failure.get('errorType', 'error')}: {message}"


def _not_deployed(logical_id: str, sample: Sample | None) -> str:
    if sample is not None and sample.function == logical_id and sample.needs:
        options = " ".join(f"--parameter {each}" for each in sample.needs)
        return (
            f"{logical_id} is not deployed, because the stack lacks {' and '.join(sample.needs)}; "
            f"set it: .venvs/cloud/bin/python -m local.cloud deploy {options}"
        )
    return f"expected a function of template.yaml that is deployed, found {logical_id!r}; deploy the app: make local-up"


def localized(event: Any, stack: Stack) -> Any:
    """Return a sample event with the names, ARNs, and URLs of the stack's resources instead of the sample's."""
    names = {}
    if alarm := stack.resources.get("StoreEventsDLQAlarm"):
        names[SAMPLE_ALARM] = alarm
    for name, logical_id in QUEUES.items():
        if url := stack.resources.get(logical_id):
            names[name] = url.rsplit("/", 1)[1]
            names[SAMPLE_ARN + name] = _arn(url)
            names[SAMPLE_URL + name] = url

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(part) for key, part in value.items()}
        if isinstance(value, list):
            return [replaced(part) for part in value]
        return names.get(value, value) if isinstance(value, str) else value

    changed = replaced(event)
    if isinstance(changed, dict) and changed.get("plan"):
        # The sample's run started long ago; the messages are sent now and must be older than the run.
        changed["plan"]["startedAt"] = int(time.time() * 1000) + 1000
    return changed


def _arn(url: str) -> str:
    account, name = url.rsplit("/", 2)[1:]
    return f"arn:aws:sqs:{REGION}:{account}:{name}"


def prepare(cloud: EmbeddedCloud, stack: Stack, event: Any) -> None:
    """Set up what an event relies on: messages, the lock or the record of its run, a verified sender."""
    if not isinstance(event, dict):
        return
    if event.get("step") == "resume":
        _record(cloud, stack, event)
    elif event.keys() & {"plan", "input", "dlq", "trigger"}:
        _send_messages(cloud, stack)
        _lock(cloud, stack, event)
    elif any(record.get("eventSource") == "aws:sqs" for record in event.get("Records", [])):
        ses = cloud.client("sesv2")
        if SENDER not in {each["IdentityName"] for each in ses.list_email_identities()["EmailIdentities"]}:
            ses.create_email_identity(EmailIdentity=SENDER)


def _send_messages(cloud: EmbeddedCloud, stack: Stack) -> None:
    """Send messages to the dead-letter queue, unless earlier ones are still there."""
    body = json.loads((EVENTS / "store-events-consumer.json").read_text())["Records"][0]["body"]
    attributes = {"store_id": {"DataType": "Number", "StringValue": "3"}}
    entries: list[dict[str, Any]] = [
        {"Id": str(number), "MessageBody": body}
        | ({"MessageAttributes": attributes} if number % _INVALID_EVERY else {})
        for number in range(MESSAGES)
    ]
    sqs, queue = cloud.client("sqs"), stack.resource("StoreEventsDLQ")
    name = "ApproximateNumberOfMessages"
    if int(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])["Attributes"][name]) < MESSAGES:
        for start in range(0, MESSAGES, 10):
            sqs.send_message_batch(QueueUrl=queue, Entries=entries[start : start + 10])


def _record(cloud: EmbeddedCloud, stack: Stack, event: dict[str, Any]) -> None:
    """Record how far the run of the event is, and that it continues in the event's execution."""
    run = localized(json.loads((EVENTS / "report.json").read_text()), stack)
    run["tally"]["successor"] = event["execution"]["name"]
    item = {
        "pk": {"S": f"run#{event['continuation']['run']}"},
        "sk": {"S": "progress"},
        "progress": {"S": json.dumps({name: run[name] for name in ("plan", "sample", "tally")})},
    }
    cloud.client("dynamodb").put_item(TableName=stack.resource("RunTable"), Item=item)


def _lock(cloud: EmbeddedCloud, stack: Stack, event: dict[str, Any]) -> None:
    """Give the queue's lock to the run of the event; a run that plans takes it itself."""
    table = stack.resource("RunTable")
    lock = {"pk": {"S": f"dlq#{_arn(stack.resource('StoreEventsDLQ'))}"}, "sk": {"S": "lock"}}
    if event.get("plan") or "dlq" in event:
        holder = event.get("plan") or {"runId": "night-shift", "executionArn": _execution(cloud)}
        item = lock | {name: {"S": holder[name]} for name in ("runId", "executionArn")}
        cloud.client("dynamodb").put_item(TableName=table, Item=item)
    else:
        cloud.client("dynamodb").delete_item(TableName=table, Key=lock)


def _execution(cloud: EmbeddedCloud) -> str:
    """Start an execution that goes on for a minute; return its ARN."""
    client = cloud.client("stepfunctions")
    states = {"Wait": {"Type": "Wait", "Seconds": _EXECUTION_SECONDS, "End": True}}
    machine = client.create_state_machine(
        name="night-shift",
        definition=json.dumps({"QueryLanguage": "JSONata", "StartAt": "Wait", "States": states}),
        roleArn="arn:aws:iam::000000000000:role/night-shift",
    )
    return str(client.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"])


def main(
    event: Annotated[Path, typer.Argument(help="A file with an event, such as events/plan.json.")],
    function: Annotated[
        str, typer.Option(envvar="FUNCTION", help="Its logical ID; by default, the one that events/README.md names.")
    ] = "",
    port: Annotated[int, typer.Option(envvar="PORT")] = DEFAULT_PORT,
    stack: Annotated[str, typer.Option(envvar="STACK")] = STACK_NAME,
) -> None:
    """Invoke a function on the embedded cloud that `make local-up` started; exit status 1 if it fails."""
    try:
        running = recorded(port)
        if running is None:
            raise EmbeddedCloudError(f"no embedded cloud is running on port {port}; start one with `make local-up`")
        cloud = EmbeddedCloud.at(running)
        with ending_cleanly():
            sys.exit(invoke(cloud, cloud.stack(stack), event, function))
    except (EmbeddedCloudError, ClientError, BotoCoreError) as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    typer.run(main)
