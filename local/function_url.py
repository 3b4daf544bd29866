"""Sends signed requests to function URLs of the embedded cloud.

Used by the scenarios and the end-to-end tests.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPMethod
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.embedded_cloud import REGION, EmbeddedCloud

_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """The HTTP response of a function."""

    status: int
    text: str

    @property
    def content(self) -> Any:
        """The JSON in it."""
        return json.loads(self.text)


def post(cloud: EmbeddedCloud, url: str, body: str, *, path: str = "", signed: bool = True) -> Answer:
    """Post JSON to a function URL.

    Parameters
    ----------
    cloud : EmbeddedCloud
        The cloud that the function runs in.
    url : str
        The function URL in the stack's outputs. Its host exists on AWS only, so the request is sent to the path that
        the emulator serves it at.
    body : str
        The JSON to send.
    path : str
        A path to append to the URL.
    signed : bool
        Whether to sign the request, as a URL of type AWS_IAM requires.
    """
    host = urlsplit(url).hostname or ""
    address = f"{cloud.endpoint_url}/_aws/lambda-url/{host.partition('.')[0]}/{path}"
    request = AWSRequest(HTTPMethod.POST, address, {"Content-Type": "application/json"}, body.encode())
    if signed:
        SigV4Auth(Credentials("test", "test"), "lambda", REGION).add_auth(request)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(
            urllib.request.Request(address, body.encode(), dict(request.headers.items())), timeout=_SECONDS
        ) as response:
            return Answer(response.status, response.read().decode())
    except urllib.error.HTTPError as refused:
        return Answer(refused.code, refused.read().decode())
