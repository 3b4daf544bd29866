"""Event source mappings and functions for an in-memory account, because moto's Lambda needs much more setup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from redrive.domain.messages.queues import QueueAddress
from tests.support.moto_cloud import MotoCloud

ACCOUNT = "arn:aws:lambda:us-east-1:123456789012:function"


def mapping(queue: QueueAddress, function: str, **settings: Any) -> dict[str, Any]:
    """Return an event source mapping as Lambda lists it; `function` may have a qualifier."""
    return {
        "UUID": f"id-of-{queue.name}-{function.replace(':', '-')}",
        "EventSourceArn": queue.arn,
        "FunctionArn": f"{ACCOUNT}:{function}",
        "State": "Enabled",
        "BatchSize": 10,
        **settings,
    }


def answer_with(cloud: MotoCloud, mappings: list[dict[str, Any]], timeouts: Mapping[str, int]) -> None:
    """Make Lambda list these mappings, and return these functions' timeouts in seconds, by name and qualifier."""
    before = cloud.answers.get("lambda.GetFunctionConfiguration")

    def listed(params: dict[str, Any]) -> dict[str, Any]:
        asked = params.get("query_string", {}).get("EventSourceArn")
        return {"EventSourceMappings": [found for found in mappings if asked in {None, found["EventSourceArn"]}]}

    def configured(params: dict[str, Any]) -> dict[str, Any]:
        arn = unquote(params["url_path"]).split("/functions/")[1].removesuffix("/configuration")
        name = arn.removeprefix(f"{ACCOUNT}:")
        if name not in timeouts and before is not None:
            return before(params)
        if name not in timeouts:
            error = {"Error": {"Code": "ResourceNotFoundException", "Message": ""}}
            raise ClientError(error, "GetFunctionConfiguration")  # type: ignore[arg-type]
        return {"Timeout": timeouts[name]}

    cloud.answers["lambda.ListEventSourceMappings"] = listed
    cloud.answers["lambda.GetFunctionConfiguration"] = configured


def deny(cloud: MotoCloud, *operations: str) -> None:
    """Deny operations such as `lambda.ListEventSourceMappings`."""
    for operation in operations:

        def denied(_: dict[str, Any], operation: str = operation) -> dict[str, Any]:
            error = {"Error": {"Code": "AccessDeniedException", "Message": "User: x is not authorized"}}
            raise ClientError(error, operation.split(".")[1])  # type: ignore[arg-type]

        cloud.answers[operation] = denied
