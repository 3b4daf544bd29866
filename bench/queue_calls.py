"""Makes the requests of `redrive queues` and ignores the answers, as a simple script would.

`bench.command` compares the command with it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config

_THREADS = 16


def main() -> None:
    """Read all queues' attributes and consumers, and for queues with messages, ten messages and the past depth."""
    config = Config(max_pool_connections=_THREADS)
    sqs = boto3.client("sqs", config=config)
    urls = sqs.list_queues(MaxResults=1000)["QueueUrls"]
    with ThreadPoolExecutor(_THREADS) as pool:
        attributes = list(
            pool.map(lambda url: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"], urls)
        )
        boto3.client("lambda", config=config).list_event_source_mappings()
        full = [url for url, read in zip(urls, attributes, strict=True) if read["ApproximateNumberOfMessages"] != "0"]
        now = datetime.now(UTC)
        boto3.client("cloudwatch", config=config).get_metric_data(
            MetricDataQueries=[_depth(place, url.rsplit("/", 1)[1]) for place, url in enumerate(full)],
            StartTime=now - timedelta(minutes=65),
            EndTime=now - timedelta(minutes=55),
        )
        list(pool.map(lambda url: _peek(sqs, url), full))


def _depth(place: int, queue: str) -> Any:
    metric = {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": queue}],
    }
    return {"Id": f"q{place}", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "Maximum"}}


def _peek(sqs: Any, url: str) -> None:
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"])
    sqs.change_message_visibility_batch(
        QueueUrl=url,
        Entries=[
            {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
            for place, message in enumerate(messages["Messages"])
        ],
    )


if __name__ == "__main__":
    main()
