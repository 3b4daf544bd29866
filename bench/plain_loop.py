"""The loop from many articles on dead-letter queues: receive ten messages, send them, delete them, until none are left.

`bench.tools` runs it in a separate process: with one thread as the plain loop, with more as the limit.
"""

from __future__ import annotations

import json
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config


def move(client: Any, dlq_url: str, destination_url: str) -> int:
    """Move messages until a receive returns none; return their number."""
    moved = 0
    while True:
        response = client.receive_message(
            QueueUrl=dlq_url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"]
        )
        messages = response.get("Messages", [])
        if not messages:
            return moved
        client.send_message_batch(
            QueueUrl=destination_url,
            Entries=[
                {
                    "Id": str(index),
                    "MessageBody": message["Body"],
                    "MessageAttributes": message.get("MessageAttributes", {}),
                }
                for index, message in enumerate(messages)
            ],
        )
        client.delete_message_batch(
            QueueUrl=dlq_url,
            Entries=[
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]} for index, message in enumerate(messages)
            ],
        )
        moved += len(messages)


def main(dlq_url: str, destination_url: str, threads: int) -> None:
    """Move all messages; print their number and the processor time."""
    client = boto3.client("sqs", config=Config(max_pool_connections=threads))
    before = resource.getrusage(resource.RUSAGE_SELF)
    with ThreadPoolExecutor(threads) as pool:
        moved = sum(pool.map(lambda _: move(client, dlq_url, destination_url), range(threads)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"moved": moved, "cpu_seconds": cpu}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
