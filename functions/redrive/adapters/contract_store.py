"""Loads contracts: those in the package, and JSON Schemas in SSM or S3.

Created for each invocation that plans, samples, or moves, so that a contract is read and compiled once per slice and a
change takes effect with the next.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from redrive.adapters.error_codes import error_code, is_transient
from redrive.aws_session import aws_client
from redrive.contracts.contract import MessageContract
from redrive.contracts.registry import PYTHON, ContractMapping, UnknownContractError, python_contract
from redrive.domain.errors import RedriveError, RejectedError, UnavailableError

# A schema is compiled in each slice; more than this isn't a contract but a catalog.
_MAX_BYTES = 512 * 1024
# A mapping is read in each slice. This is enough for 8,000 of the longest names and locations of usual lengths.
_MAX_MAPPING_BYTES = 1024 * 1024
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=3, read_timeout=10)


class ContractStore:
    """Finds contracts by the name of a queue or function.

    Parameters
    ----------
    mapping : str
        The `QUEUE_CONTRACTS` setting.
    account : str
        Whose bucket schemas may be read from: the name of a bucket that was deleted can be taken by anyone.
    """

    def __init__(self, mapping: str, account: str) -> None:
        self._text = mapping
        self._account = account
        self._mapping: ContractMapping | None = None
        self._found: dict[str, MessageContract] = {}

    def find(self, name: str) -> MessageContract | None:
        """Return the contract of a queue or function, or None if it has none.

        Raises
        ------
        RejectedError
            If the mapping or the contract doesn't exist, may not be read, or is malformed.
        UnavailableError
            If it can't be read at the moment. The next call reads it again.
        """
        location = self.mapping().location(name)
        if location is None:
            return None
        if location not in self._found:
            self._found[location] = (
                _of_package(location) if location.startswith(PYTHON) else _json_schema(location, name, self._account)
            )
        return self._found[location]

    def mapping(self) -> ContractMapping:
        """Return which contract each queue or function has.

        Raises
        ------
        RejectedError
            If a document doesn't exist or may not be read, or the mapping is malformed.
        UnavailableError
            If a document can't be read at the moment.
        """
        if self._mapping is None:
            try:
                self._mapping = ContractMapping.parse(self._text, self._read_document)
            except UnknownContractError as error:
                raise RejectedError(str(error)) from None
        return self._mapping

    def _read_document(self, location: str) -> bytes:
        try:
            text = _read(location, self._account, _MAX_MAPPING_BYTES)
        except (ClientError, BotoCoreError) as error:
            raise _unreadable("The mapping of contracts", "JSON document", location, error) from None
        if len(text) > _MAX_MAPPING_BYTES:
            raise RejectedError(
                f"The mapping of contracts at {location} has more than {_MAX_MAPPING_BYTES} bytes, which is the limit. "
                "Shorten it, such as with the wildcard *, and start the run again."
            )
        return text


def _of_package(location: str) -> MessageContract:
    try:
        return python_contract(location)
    except UnknownContractError as error:
        raise RejectedError(str(error)) from None


def _json_schema(location: str, name: str, account: str) -> MessageContract:
    # Only for queues with a JSON Schema: the library takes a good part of a cold start.
    from redrive.contracts.json_schema import SchemaContract  # noqa: PLC0415
    from redrive.contracts.schema_parts import InvalidSchemaError  # noqa: PLC0415

    try:
        text = _read(location, account, _MAX_BYTES)
        if len(text) > _MAX_BYTES:
            raise InvalidSchemaError(f"{len(text)} bytes; the limit is {_MAX_BYTES}")
        # Its numbers are exact too: as a float, 0.1 is a little more.
        return SchemaContract(location, json.loads(text, parse_float=Decimal))
    except (ClientError, BotoCoreError) as error:
        raise _unreadable(f"The contract of {name}", "JSON Schema", location, error) from None
    except (InvalidSchemaError, ValueError, RecursionError) as error:
        # For documents that aren't JSON, the error would quote a part.
        problem = str(error) if isinstance(error, InvalidSchemaError) else "the document is not JSON"
        raise RejectedError(
            f"The contract of {name} at {location} is invalid: {problem}. Correct the JSON Schema and start the run "
            "again."
        ) from None


def _unreadable(what: str, kind: str, location: str, error: ClientError | BotoCoreError) -> RedriveError:
    problem = f"{what} can't be read from {location}: {error_code(error)}."
    if is_transient(error):
        return UnavailableError(
            f"{problem} Expected the {kind}, but the service can't return it now. What wasn't moved is still in the "
            "queue. Wait until the service answers, then start the run again."
        )
    return RejectedError(
        f"{problem} Put the {kind} there, or correct QueueContracts; docs/guides/contracts.md lists what this "
        "deployment may read."
    )


def _read(location: str, account: str, max_bytes: int) -> bytes:
    """Return what is in a parameter or an object; of an object, at most one byte more than the limit."""
    scheme, _, place = location.partition(":")
    if scheme == "ssm":
        client: Any = aws_client("ssm", config=_CONFIG)
        answer = client.get_parameter(Name=place, WithDecryption=True)
        return str(answer["Parameter"]["Value"]).encode()
    bucket, _, key = place.removeprefix("//").partition("/")
    client = aws_client("s3", config=_CONFIG)
    answer = client.get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=account)
    body: bytes = answer["Body"].read(max_bytes + 1)
    return body
