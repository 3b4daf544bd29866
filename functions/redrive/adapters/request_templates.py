"""Has botocore build the first request of each kind, so later ones can be built without it.

Used by `redrive.adapters.batch_client`. Everything that depends on configuration (endpoint, Region, headers, user
agent, signed headers) is the same for all requests of an operation, so botocore's own request is their template.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import uuid
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.credentials import ReadOnlyCredentials

from redrive.adapters.http_connections import Answer

_ALGORITHM = "AWS4-HMAC-SHA256"
# Headers that differ in each request.
_DATE, _TOKEN, _INVOCATION = "x-amz-date", "x-amz-security-token", "amz-sdk-invocation-id"
_OWN = frozenset({_DATE, _TOKEN, _INVOCATION, "authorization", "content-length", "host", "accept-encoding"})
_NOTHING = Answer(200, {}, b"{}")


class NoTemplateError(Exception):
    """No template would reproduce what botocore sends, so botocore must send it."""


class Rehearsal:
    """Has a botocore client build requests without sending them, and parse answers that it didn't receive.

    Parameters
    ----------
    client : BaseClient
        The client. Its other calls work as before.
    """

    def __init__(self, client: BaseClient) -> None:
        self._client = client
        self._current = threading.local()
        # The last event before a request is sent. If a handler returns an answer, botocore sends nothing.
        events: Any = client.meta.events
        events.register_last("before-send", self._answer)

    def request(self, operation: str, parameters: Mapping[str, Any]) -> AWSPreparedRequest:
        """Return the request that the client would send."""
        with self._given(_NOTHING):
            getattr(self._client, operation)(**parameters)
            request: AWSPreparedRequest = self._current.request
        return request

    def read(self, operation: str, parameters: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
        """Return what the client reads from an answer, or raise the client's error."""
        with self._given(answer):
            result: dict[str, Any] = getattr(self._client, operation)(**parameters)
        return result

    @contextmanager
    def _given(self, answer: Answer) -> Iterator[None]:
        self._current.answer = answer
        try:
            yield
        finally:
            vars(self._current).clear()

    def _answer(self, request: AWSPreparedRequest, **_event: Any) -> AWSResponse | None:
        answer: Answer | None = getattr(self._current, "answer", None)
        if answer is None:
            return None
        self._current.request = request
        headers: Any = answer.headers
        return AWSResponse(request.url, answer.status, headers, _Body(answer.body))


class _Body:
    """The body of an answer, in the form that botocore reads."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_chunks: Any) -> Iterator[bytes]:
        yield self._content


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


# The search for cycles would take a fifth of the time, and parameters have none.
_ENCODER = json.JSONEncoder(default=_base64, check_circular=False)


def body_of(parameters: Mapping[str, Any]) -> bytes:
    """Return the body of a request in SQS's JSON protocol."""
    return _ENCODER.encode(parameters).encode()


class RequestTemplate(NamedTuple):
    """The template for all requests of one operation on one queue with the same credentials."""

    #: Scheme, host, and port of the endpoint.
    origin: str
    #: The request line and the headers that are the same in all requests, as sent over HTTP.
    head: bytes
    path: str
    #: The signed headers, in order: each name, and the line if it is the same in all requests.
    signed: tuple[tuple[str, str | None], ...]
    #: Region, service, and `aws4_request`, separated by slashes.
    scope: str

    @classmethod
    def of(cls, request: AWSPreparedRequest, credentials: ReadOnlyCredentials) -> RequestTemplate:
        """Return the template for requests like the one that botocore built.

        Raises
        ------
        NoTemplateError
            If the template wouldn't reproduce that request.
        """
        found = {name.lower(): _text(value) for name, value in request.headers.items()}
        parts = urlsplit(request.url)
        try:
            algorithm, credential, names, _signature = found["authorization"].replace(",", "").split(" ")
            scope = "/".join(credential.rsplit("/", 3)[1:])
            signed = tuple(names.removeprefix("SignedHeaders=").split(";"))
        except (KeyError, ValueError, IndexError):
            raise NoTemplateError("Expected a request with a signature of version 4.") from None
        headers = {name: value for name, value in found.items() if name not in _OWN}
        headers |= {"host": _host(request.url), "accept-encoding": "identity"}
        path = parts.path or "/"
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        to_sign = tuple((name, _canonical(name, headers[name]) if name in headers else None) for name in signed)
        template = cls(f"{parts.scheme}://{parts.netloc}", "\r\n".join(lines).encode(), path, to_sign, scope)
        own = template.dynamic(cast(bytes, request.body), credentials, found[_DATE], found.get(_INVOCATION, ""))
        expected = {name: found[name] for name in own if name in found}
        if algorithm != _ALGORITHM or request.method != "POST" or parts.query or own != expected:
            raise NoTemplateError("Expected the template to reproduce botocore's request.")
        # A session token, for example, could end with a line break, and the rest of the head would be an extra header.
        if not all(line.isascii() and line.isprintable() for line in (*lines, *own.values())):
            raise NoTemplateError("Expected headers of printable ASCII characters.")
        return template

    def request(self, body: bytes, credentials: ReadOnlyCredentials, timestamp: str) -> bytes:
        """Return a request as sent over HTTP.

        Parameters
        ----------
        body : bytes
            Its body.
        credentials : ReadOnlyCredentials
            The credentials that the template was made with.
        timestamp : str
            The time at which it is sent, such as 20261129T101112Z.
        """
        own = self.dynamic(body, credentials, timestamp, str(uuid.uuid4()))
        lines = "".join(f"\r\n{name}: {value}" for name, value in own.items())
        return b"%b%b\r\n\r\n%b" % (self.head, lines.encode(), body)

    def dynamic(self, body: bytes, credentials: ReadOnlyCredentials, timestamp: str, invocation: str) -> dict[str, str]:
        """Return the headers that differ in each request."""
        own = {_DATE: timestamp, _INVOCATION: invocation, "content-length": str(len(body))}
        if credentials.token:
            own[_TOKEN] = credentials.token
        # AWS Identity and Access Management, "Create a signed AWS API request".
        canonical = "".join([line or _canonical(name, own.get(name, "")) for name, line in self.signed])
        names = ";".join([name for name, _ in self.signed])
        digest = hashlib.sha256(body).hexdigest()
        hashed = hashlib.sha256(f"POST\n{self.path}\n\n{canonical}\n{names}\n{digest}".encode()).hexdigest()
        scope = f"{timestamp[:8]}/{self.scope}"
        key = _signing_key(credentials.secret_key, scope)
        signature = hmac.digest(key, f"{_ALGORITHM}\n{timestamp}\n{scope}\n{hashed}".encode(), "sha256").hex()
        own["authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return own


def _canonical(name: str, value: str) -> str:
    """Return the line for a header in what is signed."""
    return f"{name}:{' '.join(value.split())}\n"


@lru_cache(maxsize=4)
def _signing_key(secret: str, scope: str) -> bytes:
    """Return the signing key for a day, Region, and service."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _host(url: str) -> str:
    """Return the Host header's value, without the port if it is the default."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    default = {"http": ":80", "https": ":443"}[parts.scheme]
    return host.removesuffix(default).lower()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
