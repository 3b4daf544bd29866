"""Processes orders and reports those that failed, so that SQS delivers only these again."""

import json


def handler(event, _context):
    failed = []
    for record in event["Records"]:
        try:
            process(json.loads(record["body"]))
        except Exception as error:
            # Only the kind of error: its text may quote the order.
            print("failed", record["messageId"], type(error).__name__)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def process(order):
    # Must be idempotent: SQS may deliver a message more than once.
    print("processed", order["order_id"])
