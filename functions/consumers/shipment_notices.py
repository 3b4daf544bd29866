"""Enters shipments into the table that customers see, once each: invoked asynchronously, with one event each.

Lambda tries an event three times; the record of one that still failed goes to the queue of failures (its
on-failure destination), from which the redrive invokes this function again with the event itself.
"""

from __future__ import annotations

import json
import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parameters import SSMProvider
from aws_lambda_powertools.utilities.typing import LambdaContext

from contracts.shipment_notice import SHIPMENT_NOTICE, ShipmentNotice

# Seconds for which the state of the carriers' tracking is believed.
_OUTAGE_MAX_AGE = 1

logger = Logger()
_parameters = SSMProvider()
_table = boto3.client("dynamodb")


class TrackingDownError(Exception):
    """The tracking of a carrier does not answer."""


def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Enter one shipment.

    Raises
    ------
    ContractViolationError
        Where the event is no shipment notice: trying again is in vain, and the redrive quarantines it.
    TrackingDownError
        Where the carrier cannot be asked.
    """
    notice = SHIPMENT_NOTICE.parse(json.dumps(event), {}).body
    _ask_tracking(notice.carrier)
    entered = _enter(notice)
    logger.info("entered" if entered else "known already", shipment_id=notice.shipment_id)


def _ask_tracking(carrier: str) -> None:
    outage = str(_parameters.get(os.environ["OUTAGE_PARAMETER"], max_age=_OUTAGE_MAX_AGE) or "none")
    if carrier in outage.split(","):
        raise TrackingDownError(f"the tracking of the carrier {carrier} does not answer")


def _enter(notice: ShipmentNotice) -> bool:
    """Return whether the shipment is new; a second entry leaves the first one as it is."""
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
