"""Processes orders and reports those that failed, so that SQS brings only these again."""

import json


def handler(event, _context):
    failed = []
    for record in event["Records"]:
        try:
            process(json.loads(record["body"]))
        except Exception as error:
            # The kind of error only: its text may quote the order.
            print("failed", record["messageId"], type(error).__name__)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def process(order):
    # Doing it twice must have the effect of doing it once: SQS may deliver a message more than once.
    print("processed", order["order_id"])
