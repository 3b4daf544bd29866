"""Writes the pages of runs into the bucket for them.

Called by the report step. Nothing else reads or writes that bucket; people open a page in the console.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.config import Config

from redrive.aws_session import aws_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The report waits for this, so it's given up soon.
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=2, read_timeout=5)


class ReportPages:
    """The bucket of report pages.

    Parameters
    ----------
    bucket : str
        Its name; empty if there is none.
    account : str
        Whose bucket it must be: the name of a bucket that was deleted can be taken by anyone.
    console_host : str
        Host of AWS's console, without the Region.
    """

    def __init__(self, bucket: str, account: str, console_host: str) -> None:
        self._bucket = bucket
        self._account = account
        self._console_host = console_host

    @cached_property
    def _client(self) -> S3Client:
        # Needed once per run, so the client isn't created in every cold start.
        return aws_client("s3", config=_CONFIG)

    def write(self, key: str, page: str) -> str | None:
        """Write a page, and return its address in the console; None if there is no bucket for it."""
        if not self._bucket:
            return None
        self._client.put_object(
            Bucket=self._bucket,
            Key=key,
            Body=page.encode(),
            ContentType="text/html; charset=utf-8",
            ExpectedBucketOwner=self._account,
        )
        region = self._client.meta.region_name
        # As the console itself writes it. AWS doesn't document these addresses.
        place = f"s3/object/{self._bucket}?region={region}&bucketType=general&prefix={quote(key)}"
        return f"https://{region}.{self._console_host}/{place}"
