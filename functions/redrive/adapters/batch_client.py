"""Makes the four requests that move messages, in a fraction of the processor time that botocore needs.

Used by the mover. botocore builds the first request of each kind (`redrive.adapters.request_templates`). Later ones
differ only in body, date, and signature. botocore also reads all answers that aren't plain, so values and errors are
the same as with botocore.
"""

from __future__ import annotations

import os
import time
from base64 import b64decode
from threading import Lock
from typing import TYPE_CHECKING, Any

from botocore.credentials import RefreshableCredentials
from botocore.utils import get_environ_proxies
from pydantic_core import from_json

from redrive.adapters.http_connections import Answer, Connections, Exchange
from redrive.adapters.request_templates import NoTemplateError, Rehearsal, RequestTemplate, body_of
from redrive.adapters.sqs import sqs_client
from redrive.aws_session import default_session

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials
    from botocore.session import Session
    from mypy_boto3_sqs import SQSClient

# Documented keys of the entries in an answer's lists (SQS API reference).
_FAILED = frozenset({"Id", "SenderFault", "Code", "Message"})
_CHANGED = {"Successful": frozenset({"Id"}), "Failed": _FAILED}
_KNOWN = {
    "receive_message": {
        "Messages": frozenset(
            {
                *("MessageId", "ReceiptHandle", "Body", "MD5OfBody"),
                *("Attributes", "MessageAttributes", "MD5OfMessageAttributes"),
            }
        )
    },
    "send_message_batch": {
        "Successful": frozenset(
            {
                *("Id", "MessageId", "SequenceNumber"),
                *("MD5OfMessageBody", "MD5OfMessageAttributes", "MD5OfMessageSystemAttributes"),
            }
        ),
        "Failed": _FAILED,
    },
    "delete_message_batch": _CHANGED,
    "change_message_visibility_batch": _CHANGED,
}
_ATTRIBUTE = frozenset({"DataType", "StringValue", "BinaryValue"})
# A run needs three for its dead-letter queue and one for each queue that it sends to. Discarded ones are rebuilt when
# they're needed.
_MOST_TEMPLATES = 1_000


def batch_client(connections: int) -> SQSClient | BatchClient:
    """Return a client for `connections` threads that doesn't retry.

    Without credentials, or if requests go through a proxy, it is botocore's.
    """
    client = sqs_client(connections, retries=False)
    session = default_session()
    credentials = session.get_credentials()
    if credentials is None or get_environ_proxies(client.meta.endpoint_url):
        return client
    return BatchClient(client, credentials, trusted_bundle(session))


def trusted_bundle(session: Session) -> str | None:
    """Return the file with the certificates that a session trusts, or None for botocore's own."""
    configured: str | None = session.get_config_variable("ca_bundle")
    return configured or os.environ.get("REQUESTS_CA_BUNDLE")


class BatchClient:
    """An SQS client with the four operations that move messages. Their return values lack `ResponseMetadata`.

    Parameters
    ----------
    client : SQSClient
        Makes the first request of each kind and whatever this class can't. It doesn't retry.
    credentials : Credentials
        The client's credentials, which refresh themselves.
    bundle : str | None
        File with the certificates to trust. None means botocore's own.
    """

    def __init__(self, client: SQSClient, credentials: Credentials, bundle: str | None = None) -> None:
        self._client = client
        self._rehearsal = Rehearsal(client)
        self._credentials = credentials
        self._templates: dict[tuple[str, str, ReadOnlyCredentials], RequestTemplate] = {}
        # Usually one, unless botocore finds another endpoint for some queues.
        self._connections: dict[str, Connections] = {}
        self._bundle = bundle
        self._one_at_a_time = Lock()

    def receive_message(self, **parameters: Any) -> dict[str, Any]:
        """Receive messages."""
        return self._request("receive_message", parameters)

    def send_message_batch(self, **parameters: Any) -> dict[str, Any]:
        """Send messages."""
        return self._request("send_message_batch", parameters)

    def delete_message_batch(self, **parameters: Any) -> dict[str, Any]:
        """Delete messages."""
        return self._request("delete_message_batch", parameters)

    def change_message_visibility_batch(self, **parameters: Any) -> dict[str, Any]:
        """Change how long messages stay invisible."""
        return self._request("change_message_visibility_batch", parameters)

    def begin(self, operation: str, parameters: dict[str, Any]) -> Exchange | None:
        """Send a request without waiting.

        Parameters
        ----------
        operation, parameters : str, dict[str, Any]
            The method of this client that would wait, and its arguments.

        Returns
        -------
        Exchange | None
            The exchange, whose answer `plain` or `read` reads. None if the request would have to wait: the first one
            of its kind, and any that needs new credentials or a new connection.

        Raises
        ------
        BotoCoreError
            If the connection broke, so the request may have been carried out.
        """
        if isinstance(self._credentials, RefreshableCredentials) and self._credentials.refresh_needed():
            return None
        credentials = self._credentials.get_frozen_credentials()
        template = self._templates.get(_key(operation, parameters, credentials))
        # Worker threads create `Connections`, which reads the certificates to trust.
        connections = None if template is None else self._connections.get(template.origin)
        if template is None or connections is None:
            return None
        return connections.begin(template.request(body_of(parameters), credentials, _timestamp()))

    def plain(self, operation: str, answer: Answer) -> dict[str, Any] | None:
        """Return the values of a plain answer, or None if only `read` can read it."""
        return _values_of(answer, operation)

    def read(self, operation: str, parameters: dict[str, Any], answer: Answer) -> dict[str, Any]:
        """Return the values of any answer, or raise its error. botocore may wait for new credentials meanwhile."""
        values = self.plain(operation, answer)
        return self._rehearsal.read(operation, parameters, answer) if values is None else values

    def _request(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        credentials = self._credentials.get_frozen_credentials()
        try:
            template = self._template(operation, parameters, credentials)
        except NoTemplateError:
            answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
            return answer
        request = template.request(body_of(parameters), credentials, _timestamp())
        return self.read(operation, parameters, self._connections_to(template.origin).post(request))

    def _template(
        self, operation: str, parameters: dict[str, Any], credentials: ReadOnlyCredentials
    ) -> RequestTemplate:
        key = _key(operation, parameters, credentials)
        # botocore takes much longer for its first request, so other threads wait for that one.
        with self._one_at_a_time:
            template = self._templates.get(key)
            if template is None:
                template = RequestTemplate.of(self._rehearsal.request(operation, parameters), credentials)
                # Credentials must not stay in memory after others have replaced them.
                if len(self._templates) >= _MOST_TEMPLATES or credentials != next(iter(self._templates), key)[-1]:
                    self._templates.clear()
                self._templates[key] = template
        return template

    def _connections_to(self, origin: str) -> Connections:
        with self._one_at_a_time:
            connections = self._connections.get(origin)
            if connections is None:
                config: Any = self._client.meta.config
                connections = Connections(origin, config.connect_timeout, config.read_timeout, self._bundle)
                self._connections[origin] = connections
        return connections


def _key(
    operation: str, parameters: dict[str, Any], credentials: ReadOnlyCredentials
) -> tuple[str, str, ReadOnlyCredentials]:
    """Return what all requests that share a template have in common."""
    return operation, parameters["QueueUrl"], credentials


def _timestamp() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def _values_of(answer: Answer, operation: str) -> dict[str, Any] | None:
    """Return the values of a plain answer as botocore would, or None for all other answers."""
    if answer.status != 200:
        return None
    try:
        values = from_json(answer.body)
        return values if _is_plain(values, operation, nulls=b"null" in answer.body) else None
    except ValueError:
        return None


def _is_plain(values: Any, operation: str, *, nulls: bool) -> bool:
    """Return whether an answer has only documented keys and no nulls. Decode its binary attributes.

    Parameters
    ----------
    values : Any
        The parsed answer.
    operation : str
        The operation that it answers.
    nulls : bool
        Whether it may contain a null.
    """
    lists = _KNOWN[operation]
    if type(values) is not dict or not values.keys() <= lists.keys():
        return False
    for name, entries in values.items():
        known = lists[name]
        if type(entries) is not list:
            return False
        for entry in entries:
            if type(entry) is not dict or not known.issuperset(entry) or (nulls and None in entry.values()):
                return False
    return all(_has_plain_attributes(message, nulls=nulls) for message in values.get("Messages", ()))


def _has_plain_attributes(message: dict[str, Any], *, nulls: bool) -> bool:
    attributes = message.get("MessageAttributes", {})
    if type(message.get("Attributes", {})) is not dict or type(attributes) is not dict:
        return False
    for value in attributes.values():
        if type(value) is not dict or not _ATTRIBUTE.issuperset(value) or (nulls and None in value.values()):
            return False
        if "BinaryValue" in value:
            value["BinaryValue"] = b64decode(value["BinaryValue"])
    return True
