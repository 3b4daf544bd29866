"""Adds each shipment once to the table that customers see.

Invoked asynchronously with one event. Lambda tries an event three times, then sends a record of the failed invocation
to the on-failure destination, a queue. The redrive invokes this function again with the original event.
"""

from __future__ import annotations

import json
import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parameters import SSMProvider
from aws_lambda_powertools.utilities.typing import LambdaContext

from examples.shipment_notices.contract import SHIPMENT_NOTICE, ShipmentNotice
from redrive.aws_session import set_up_boto3
from redrive.contracts.contract import ContractViolationError
from redrive.domain.errors import guarded

# How long the outage switch's value is cached, in seconds.
_OUTAGE_MAX_AGE = 1

logger = Logger()
set_up_boto3()
# Without a client, SSMProvider would create its own session, which reads all of botocore's data again.
_parameters = SSMProvider(boto3_client=boto3.client("ssm"))
_table = boto3.client("dynamodb")


class TrackingDownError(Exception):
    """A carrier's tracking service doesn't respond."""


@guarded(ContractViolationError, TrackingDownError)
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Add one shipment.

    Raises
    ------
    ContractViolationError
        If the event isn't a shipment notice. Retrying doesn't help, and the redrive quarantines it.
    TrackingDownError
        If the carrier's tracking service doesn't respond.
    """
    notice = SHIPMENT_NOTICE.parse(json.dumps(event), {}).body
    _check_tracking(notice.carrier)
    added = _add(notice)
    logger.info("added" if added else "already known", shipment_id=notice.shipment_id)


def _check_tracking(carrier: str) -> None:
    outage = str(_parameters.get(os.environ["OUTAGE_PARAMETER"], max_age=_OUTAGE_MAX_AGE) or "none")
    if carrier in outage.split(","):
        raise TrackingDownError(f"the tracking service of the carrier {carrier} does not respond")


def _add(notice: ShipmentNotice) -> bool:
    """Add the shipment unless it is already there; return whether it is new."""
    try:
        _table.put_item(
            TableName=os.environ["SHIPMENTS_TABLE"],
            Item={
                "shipment_id": {"S": notice.shipment_id},
                "order_id": {"S": notice.order_id},
                "carrier": {"S": notice.carrier},
                "shipped_at": {"S": notice.shipped_at.isoformat()},
            },
            ConditionExpression="attribute_not_exists(shipment_id)",
        )
    except _table.exceptions.ConditionalCheckFailedException:
        return False
    return True
