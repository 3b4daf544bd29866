"""AWS, as whoever runs the verification reaches it: an account, the embedded cloud, or another emulator."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from verify.errors import VerifyError

_DENIED = ("AccessDenied", "UnauthorizedOperation", "NotAuthorized")


class Aws:
    """Clients for one account and Region; threads can share them.

    Parameters
    ----------
    region, profile, endpoint_url
        None for what the environment and the configuration files say.

    Raises
    ------
    VerifyError
        There is no Region or no such profile, or the endpoint isn't a URL.
    """

    def __init__(self, region: str | None = None, profile: str | None = None, endpoint_url: str | None = None) -> None:
        try:
            # AWS_REGION is the other SDKs' name for it, which botocore doesn't read.
            self._session = boto3.Session(region_name=region or os.environ.get("AWS_REGION"), profile_name=profile)
        except BotoCoreError as error:
            raise VerifyError(f"{error}. Pass a profile of your AWS configuration with --profile.") from None
        if not self._session.region_name:
            raise VerifyError("Expected a Region, found none. Set AWS_REGION, or pass --region.")
        self._endpoint_url = endpoint_url
        self._config = Config(retries={"mode": "standard", "total_max_attempts": 5}, max_pool_connections=20)
        try:
            self.cloudformation = self._client("cloudformation")
        except ValueError:
            raise VerifyError(
                f"Expected the endpoint to be a URL such as http://127.0.0.1:4566, and the Region to be a name such as "
                f"us-east-1; found {endpoint_url or 'the default endpoint'} and {self._session.region_name}."
            ) from None

    def _client(self, service: str) -> Any:
        # boto3-stubs overloads this method for literal names only.
        session: Any = self._session
        return session.client(service, endpoint_url=self._endpoint_url, config=self._config)

    @cached_property
    def sqs(self) -> Any:
        """An SQS client."""
        return self._client("sqs")

    @cached_property
    def workflow(self) -> Any:
        """A Step Functions client."""
        return self._client("stepfunctions")

    @cached_property
    def functions(self) -> Any:
        """A Lambda client."""
        return self._client("lambda")

    @cached_property
    def iam(self) -> Any:
        """An IAM client."""
        return self._client("iam")

    @property
    def endpoint(self) -> str:
        """The address of SQS, which tells an account from an emulator."""
        url: str = self.sqs.meta.endpoint_url
        return url

    def connect(self) -> None:
        """Create all clients, which isn't safe in threads (boto3 guide, "Multithreading or multiprocessing")."""
        _ = (self.sqs, self.workflow, self.functions, self.iam)


def code_of(error: ClientError) -> str:
    """Return the code of an error, such as AccessDenied."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_denied(error: ClientError) -> bool:
    """Return whether AWS refused a request because its caller may not make it."""
    return code_of(error).startswith(_DENIED)


def sentence(error: BotoCoreError | ClientError) -> str:
    """Return an error as a sentence: AWS's code and text, which contain nothing of a message."""
    if isinstance(error, ClientError):
        message = error.response.get("Error", {}).get("Message", "")
        return f"{error.operation_name} failed with {code_of(error)}: {message}".rstrip(": ")
    return f"{str(error).rstrip('.')}."
