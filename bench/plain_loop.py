"""The loop that articles on dead-letter queues show: receive ten, send them, delete them, until none is left.

`bench.tools` runs it as a process of its own: on one thread as the plain loop, on more as the limit.
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
    """Move messages until a receive brings none; return their number."""
    moved = 0
    while True:
        received = client.receive_message(
            QueueUrl=dlq_url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"]
        )
        messages = received.get("Messages", [])
        if not messages:
            return moved
        client.send_message_batch(
            QueueUrl=destination_url,
            Entries=[
                {
                    "Id": str(place),
                    "MessageBody": message["Body"],
                    "MessageAttributes": message.get("MessageAttributes", {}),
                }
                for place, message in enumerate(messages)
            ],
        )
        client.delete_message_batch(
            QueueUrl=dlq_url,
            Entries=[
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
                for place, message in enumerate(messages)
            ],
        )
        moved += len(messages)


def main(dlq_url: str, destination_url: str, threads: int) -> None:
    """Move everything and print what it took."""
    client = boto3.client("sqs", config=Config(max_pool_connections=threads))
    before = resource.getrusage(resource.RUSAGE_SELF)
    with ThreadPoolExecutor(threads) as pool:
        moved = sum(pool.map(lambda _: move(client, dlq_url, destination_url), range(threads)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"moved": moved, "cpu_seconds": cpu}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
