"""Runs one function of the deployed app with a sample event: `sam remote invoke` on the embedded cloud.

`make invoke` calls it. The sample events name queues of an imaginary account; here those names are replaced
by the queues of the stack, letters are put into the dead-letter queue, and a step of a run gets the lock
that it needs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from local.cloud import DEFAULT_PORT, STACK_NAME
from local.embedded_cloud import EmbeddedCloud, EmbeddedCloudError, recorded
from local.sam_deployment import tool_environment
from local.workspace import find_program

# Queues in the sample events, and what the stack's outputs about them begin with.
QUEUES = {
    "store-events-dlq": "StoreEventsDLQ",
    "store-events": "StoreEventsQueue",
    "redrive-quarantine": "QuarantineQueue",
}
SAMPLE_ARN = "arn:aws:sqs:us-east-1:123456789012:"
SAMPLE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/"
LETTERS = 12
_LETTER_OF_A_STORE = 4


def localized(event: Any, outputs: dict[str, str]) -> Any:
    """Return a sample event with the names, ARNs and URLs of the stack's queues in place of its own.

    Parameters
    ----------
    event : Any
        The event, parsed.
    outputs : dict[str, str]
        The outputs of the stack.
    """
    names: dict[str, str] = {}
    for name, output in QUEUES.items():
        names[name] = outputs[f"{output}Arn"].rsplit(":", 1)[1]
        names[SAMPLE_ARN + name] = outputs[f"{output}Arn"]
        names[SAMPLE_URL + name] = outputs[f"{output}Url"]

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(part) for key, part in value.items()}
        if isinstance(value, list):
            return [replaced(part) for part in value]
        return names.get(value, value) if isinstance(value, str) else value

    answer = replaced(event)
    if isinstance(answer, dict) and "plan" in answer and answer["plan"]:
        # The sample's start lies in the past, that of the letters put into the queue does not.
        answer["plan"]["startedAt"] = int(time.time() * 1000) + 1000
    return answer


def prepare(cloud: EmbeddedCloud, outputs: dict[str, str], event: Any) -> None:
    """Put letters into the dead-letter queue and give the run of the event the queue's lock."""
    samples = Path(__file__).resolve().parent.parent / "events" / "store-events-consumer.json"
    record = json.loads(samples.read_text())["Records"][0]
    entries = []
    for number in range(LETTERS):
        entry: dict[str, Any] = {"Id": str(number), "MessageBody": record["body"]}
        if number % _LETTER_OF_A_STORE:
            entry["MessageAttributes"] = {"store_id": {"DataType": "Number", "StringValue": "3"}}
        entries.append(entry)
    sqs = cloud.client("sqs")
    for start in range(0, LETTERS, 10):
        sqs.send_message_batch(QueueUrl=outputs["StoreEventsDLQUrl"], Entries=entries[start : start + 10])
    table, lock = (
        outputs["RunTableName"],
        {"pk": {"S": f"dlq#{outputs['StoreEventsDLQArn']}"}, "sk": {"S": "lock"}},
    )
    if "input" in event and not event.get("plan"):
        # The first step of a run takes the lock itself.
        cloud.client("dynamodb").delete_item(TableName=table, Key=lock)
    else:
        holder = event.get("plan") or {"runId": "night-shift", "executionArn": "none"}
        item = lock | {name: {"S": holder[name]} for name in ("runId", "executionArn")}
        cloud.client("dynamodb").put_item(TableName=table, Item=item)


def main(
    function: Annotated[str, typer.Argument(help="A function of template.yaml, by its logical id.")],
    event: Annotated[Path, typer.Argument(help="A file with the event, such as events/plan.json.")],
    port: Annotated[int, typer.Option(envvar="PORT")] = DEFAULT_PORT,
    stack: Annotated[str, typer.Option(envvar="STACK")] = STACK_NAME,
) -> None:
    """Run a function on the embedded cloud that `make local-up` started."""
    try:
        running = recorded(port)
        if running is None:
            raise EmbeddedCloudError(f"no embedded cloud runs on port {port}; `make local-up` starts one")
        cloud = EmbeddedCloud.at(running)
        outputs = cloud.outputs(stack)
        given = localized(json.loads(event.read_text()), outputs)
        prepare(cloud, outputs, given)
        sam = find_program("sam", "run `make setup`, or `pip install aws-sam-cli`")
    except (EmbeddedCloudError, OSError, ValueError) as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        raise SystemExit(2) from None
    command = [sam, "remote", "invoke", function, "--stack-name", stack, "--event", json.dumps(given)]
    sys.exit(subprocess.run(command, env=tool_environment(cloud.environment), check=False).returncode)


if __name__ == "__main__":
    typer.run(main)
