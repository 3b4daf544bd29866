"""The lean SQS client for a test's account, which moto keeps in this process.

moto answers botocore's requests before they are sent. The lean client does send its requests, so it needs an address.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from moto.core.models import botocore_stubber

from redrive.adapters.batch_client import BatchClient
from redrive.adapters.sqs import sqs_client
from redrive.aws_session import default_session
from tests.support.moto_endpoint import MotoEndpoint


def lean_clients(endpoint: MotoEndpoint) -> Callable[..., Any]:
    """Return a replacement for `sqs_client` of `redrive.adapters.sqs`, for clients that don't retry."""

    def lean_client(connections: int = 10, *, retries: bool = True) -> Any:
        if retries:
            return sqs_client(connections)
        with patch.dict(os.environ, {"AWS_ENDPOINT_URL_SQS": endpoint.url}):
            client: Any = sqs_client(connections, retries=False)
        # Otherwise, moto would carry out the request that only shows what botocore sends.
        client.meta.events.unregister("before-send", botocore_stubber)
        credentials: Any = default_session().get_credentials()
        return BatchClient(client, credentials)

    return lean_client
