"""The lean SQS client makes the same requests as botocore, and reads any answer the same way."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any
from unittest import mock
from uuid import UUID

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.adapters.api_errors import api_error_of
from redrive.adapters.batch_client import BatchClient, batch_client
from redrive.adapters.http_connections import Answer
from redrive.adapters.trace_context import without_own_trace
from redrive.aws_session import AwsSession
from redrive.domain.moving.actions import Receive

NOW = datetime(2026, 11, 29, 23, 59, 58, tzinfo=UTC)
REGIONS = ["us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "us-iso-east-1", "eu-isoe-west-1"]
# botocore signs a different path than it sends, so it makes every such request itself.
UNUSUAL = "https://EXAMPLE.com/a//b/../c%20d"
ENDPOINTS = [
    UNUSUAL,
    "https://EXAMPLE.com/ü%20",
    None,
    "http://127.0.0.1:4566",
    "http://127.0.0.1:80/",
    "https://localhost:8443/some/path",
    "https://localhost:443",
    "http://[::1]:4566/",
    "https://vpce-0123-abc.sqs.us-east-1.vpce.amazonaws.com",
]

# The parts of a message, and how a request describes them.
TEXTS = st.text(max_size=20)
ATTRIBUTES = st.dictionaries(
    TEXTS,
    st.one_of(
        st.fixed_dictionaries({"DataType": st.just("String"), "StringValue": TEXTS}),
        st.fixed_dictionaries({"DataType": st.just("Binary.x"), "BinaryValue": st.binary(max_size=20)}),
    ),
    max_size=3,
)
SENT = st.fixed_dictionaries(
    {"Id": TEXTS, "MessageBody": TEXTS},
    optional={
        "MessageAttributes": ATTRIBUTES,
        "MessageSystemAttributes": ATTRIBUTES,
        "MessageGroupId": TEXTS,
        "MessageDeduplicationId": TEXTS,
        "DelaySeconds": st.integers(0, 900),
    },
)
HANDLES = st.fixed_dictionaries({"Id": TEXTS, "ReceiptHandle": TEXTS})
HIDDEN = st.fixed_dictionaries({"Id": TEXTS, "ReceiptHandle": TEXTS, "VisibilityTimeout": st.integers(0, 43_200)})
RECEIVE = st.fixed_dictionaries(
    {
        "MaxNumberOfMessages": st.integers(1, 10),
        "WaitTimeSeconds": st.integers(0, 20),
        "MessageAttributeNames": st.just(["All"]),
        "MessageSystemAttributeNames": st.just(["All"]),
    }
)


def entries(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"Entries": st.lists(strategy, max_size=3)})


REQUESTS = st.one_of(
    st.tuples(st.just("receive_message"), RECEIVE),
    st.tuples(st.just("send_message_batch"), entries(SENT)),
    st.tuples(st.just("delete_message_batch"), entries(HANDLES)),
    st.tuples(st.just("change_message_visibility_batch"), entries(HIDDEN)),
)
URLS = st.sampled_from(["https://sqs.us-east-1.amazonaws.com/123456789012/q", "http://127.0.0.1:4566/000000000000/ü"])
KEYS = st.text("abcXYZ019/+=", min_size=1, max_size=40)
SETTINGS = st.tuples(st.sampled_from(REGIONS), st.sampled_from(ENDPOINTS), st.booleans())


class Oracle:
    """A botocore client and the lean client under test. Neither has a network."""

    def __init__(self, region: str, endpoint: str | None, fips: bool) -> None:
        self.session = boto3.Session("AKID", "secret", region_name=region)
        self.credentials: Any = self.session.get_credentials()
        self.config = Config(
            parameter_validation=False,
            use_fips_endpoint=fips and endpoint is None,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        self.endpoint = endpoint
        self.answer = Answer(200, {}, b"{}")
        self.theirs = self._client()
        self.theirs.meta.events.register("before-send", self._before_send)
        self.ours = BatchClient(self._client(), self.credentials)
        self.ours._connections_to = self._connections_to  # type: ignore[assignment,method-assign]
        # For requests that the lean client passes to botocore.
        self.ours._client = self.theirs
        self.request: Any = None
        self.posted: list[bytes] = []
        self.origin = ""

    def _client(self) -> Any:
        client: Any = self.session.client("sqs", config=self.config, endpoint_url=self.endpoint)
        return without_own_trace(client)

    def _before_send(self, request: Any, **_event: Any) -> AWSResponse:
        self.request = request
        body = mock.Mock(stream=lambda: iter([self.answer.body]))
        return AWSResponse(request.url, self.answer.status, self.answer.headers, body)  # type: ignore[arg-type]

    def _connections_to(self, origin: str) -> Any:
        self.origin = origin
        return self

    def post(self, request: bytes) -> Answer:
        self.posted.append(request)
        return self.answer


oracle = cache(Oracle)


@pytest.fixture(autouse=True, scope="module")
def frozen() -> Iterator[None]:
    """Freeze time and randomness, so every request is the same."""
    with (
        mock.patch("botocore.auth.get_current_datetime", lambda: NOW),
        mock.patch("redrive.adapters.batch_client.time.gmtime", NOW.timetuple),
        mock.patch("uuid.uuid4", lambda: UUID(int=7)),
        mock.patch.dict("os.environ", {"AWS_LAMBDA_FUNCTION_NAME": "mover", "_X_AMZN_TRACE_ID": "Root=1"}),
    ):
        yield


def parsed(request: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = [line.partition(": ")[::2] for line in lines]
    assert len({name.lower() for name, _ in headers}) == len(headers)
    return first, {name.lower(): value for name, value in headers}, body


@settings(max_examples=100, deadline=None)
@given(
    setting=SETTINGS,
    url=URLS,
    calls=st.lists(REQUESTS, min_size=1, max_size=3),
    keys=st.tuples(st.text("AKID0", min_size=1), KEYS, st.none() | KEYS | st.text("t ", min_size=1)),
)
def test_a_request_is_botocore_s(setting, url, calls, keys):
    both = oracle(*setting)
    both.answer = Answer(200, {}, b"{}")
    both.credentials.access_key, both.credentials.secret_key, both.credentials.token = keys
    for operation, parameters in calls:
        both.posted.clear()
        getattr(both.theirs, operation)(QueueUrl=url, **parameters)
        expected = both.request
        getattr(both.ours, operation)(QueueUrl=url, **parameters)
        if setting[1] in ENDPOINTS[:2]:
            assert both.posted == []
            continue
        (posted,) = both.posted
        first, headers, body = parsed(posted)
        *_, netloc, path = expected.url.split("/", 3)
        assert both.origin == expected.url.removesuffix(f"/{path}")
        assert first == f"POST /{path} HTTP/1.1"
        host, accepted = headers.pop("host"), headers.pop("accept-encoding")
        theirs = {name.lower(): v.decode() if isinstance(v, bytes) else v for name, v in expected.headers.items()}
        assert headers == theirs
        assert (body, accepted) == (expected.body, "identity")
        assert host == netloc.lower().removesuffix(":443" if expected.url.startswith("https") else ":80")


# Answers: some from SQS, some that no service sends.
NULLS = st.none() | TEXTS
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["Id", "Body", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
GOT_ATTRIBUTE = st.one_of(
    st.fixed_dictionaries({"DataType": TEXTS}, optional={"StringValue": NULLS, "x": TEXTS}),
    st.fixed_dictionaries({"BinaryValue": st.sampled_from(["", "AA==", "AAE=", "not base64", "é", 7])}),
    st.fixed_dictionaries({"StringListValues": st.just(["x"])}),
    ODD,
)
GOT = st.fixed_dictionaries(
    {},
    optional={
        "MessageId": NULLS,
        "Body": NULLS,
        "ReceiptHandle": TEXTS,
        "Attributes": st.dictionaries(TEXTS, NULLS, max_size=2) | ODD,
        "MessageAttributes": st.dictionaries(TEXTS, GOT_ATTRIBUTE, max_size=2) | st.none(),
        "x": ODD,
    },
)
RESULT = st.fixed_dictionaries(
    {},
    optional={"Id": NULLS, "Code": TEXTS, "SenderFault": st.booleans() | ODD, "MessageId": TEXTS, "Message": NULLS},
)
LISTS = st.lists(GOT | RESULT | ODD, max_size=3) | ODD
VALUES = st.dictionaries(st.sampled_from(["Messages", "Successful", "Failed", "x"]), LISTS, max_size=3) | ODD
CODES = st.sampled_from(
    [
        "com.amazonaws.sqs#QueueDoesNotExist",
        "OverLimit",
        "ThrottlingException",
        "InvalidSignatureException",
        "com.amazon.coral.service#AccessDeniedException:http://x",
        "",
    ]
)
ERROR = st.fixed_dictionaries({}, optional={"__type": CODES, "message": NULLS, "Message": TEXTS})
BODIES = st.one_of(
    VALUES.map(json.dumps).map(str.encode),
    ERROR.map(json.dumps).map(str.encode),
    st.builds(lambda value, end: json.dumps(value).encode()[:end], VALUES, st.integers(0, 20)),
    st.sampled_from(
        [b"", b"<html><h1>502 Bad Gateway</h1></html>", b"\xff\xfe{", b"[" * 100_000, b'{"Messages": NaN}']
    ),
    st.binary(max_size=20),
)
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 301, 302, 307, 400, 403, 404, 413, 429, 500, 503, 599])
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "x-amzn-query-error": st.sampled_from(
            ["AWS.SimpleQueueService.NonExistentQueue;Sender", "InternalFailure;Receiver", "broken", ""]
        ),
        "x-amzn-RequestId": st.just("id"),
        "Location": st.just("http://127.0.0.1:1/"),
        "Content-Type": st.just("text/html"),
        "Date": st.just("Sun, 29 Nov 2026 23:49:58 GMT"),
    },
)
OPERATIONS = st.sampled_from(
    ["receive_message", "send_message_batch", "delete_message_batch", "change_message_visibility_batch"]
)


def outcome(call: Any) -> Any:
    """Return the values of an answer or its error, and what the error means to a lane."""
    try:
        values = dict(call())
    except ClientError as error:
        return type(error).__name__, error.response, api_error_of(error, Receive(10, 0.0, True))
    except BotoCoreError as error:
        return type(error).__name__, api_error_of(error, Receive(10, 0.0, True))
    except Exception as error:  # noqa: BLE001
        return type(error).__name__
    values.pop("ResponseMetadata", None)
    return values


@settings(max_examples=400, deadline=None)
@given(operation=OPERATIONS, status=STATUSES, headers=HEADERS, body=BODIES)
@example("delete_message_batch", 200, {}, b'{"Successful": [{"Id": null}]}')
@example("receive_message", 200, {}, b'{"Messages": [{"MessageAttributes": {"a": {"BinaryValue": "AAE="}}}]}')
@example("receive_message", 200, {}, b'{"Messages": [{"MessageAttributes": {"a": {"BinaryValue": 7}}}]}')
@example("send_message_batch", 200, {}, b'{"Successful": [{"Id": "0", "x": 1}]}')
@example("receive_message", 200, {}, b'{"Messages": [{"MessageAttributes": {"a": {"StringValue": null}}}]}')
def test_an_answer_is_read_as_botocore_reads_it(operation, status, headers, body):
    both = oracle("us-east-1", None, False)
    both.credentials.access_key, both.credentials.secret_key, both.credentials.token = "AKID", "secret", None
    both.answer = Answer(status, headers, body)
    theirs, ours = (
        outcome(lambda c=client: getattr(c, operation)(QueueUrl="q")) for client in (both.theirs, both.ours)
    )
    assert ours == theirs


def test_each_queue_has_the_endpoint_that_botocore_finds_for_it():
    both = Oracle("us-east-1", None, False)

    def route(params: dict[str, Any], **_event: Any) -> None:
        queue = json.loads(params["body"])["QueueUrl"]
        params["url"] = params["url"].replace("https://", f"https://{queue}.")

    both.ours._rehearsal._client.meta.events.register("before-call.sqs", route)
    origins = []
    for queue in ("a", "b", "a"):
        both.ours.receive_message(QueueUrl=queue)
        origins.append(both.origin)
    assert origins == [f"https://{queue}.sqs.us-east-1.amazonaws.com" for queue in ("a", "b", "a")]


def test_templates_are_limited(monkeypatch):
    monkeypatch.setattr("redrive.adapters.batch_client._MOST_TEMPLATES", 2)
    both = Oracle("us-east-1", None, False)
    for number in range(5):
        both.ours.receive_message(QueueUrl=str(number % 3))
        assert len(both.ours._templates) <= 2
    assert [json.loads(parsed(request)[2])["QueueUrl"] for request in both.posted] == ["0", "1", "2", "0", "1"]


def test_credentials_are_refreshed_before_they_expire():
    both = Oracle("us-east-1", None, False)

    def valid(name: str, seconds: float) -> dict[str, str]:
        expires = datetime.fromtimestamp(time.time() + seconds, UTC)
        return {"access_key": name, "secret_key": "s", "token": "t", "expiry_time": expires.isoformat()}

    # With a minute left, botocore must refresh.
    credentials = RefreshableCredentials.create_from_metadata(
        valid("first", 60), lambda: valid("second", 3_600), "test"
    )
    both.session._session._credentials = credentials  # type: ignore[attr-defined]
    ours = BatchClient(both._client(), credentials)
    ours._connections_to = both._connections_to  # type: ignore[assignment,method-assign]
    ours.receive_message(QueueUrl="q")
    assert b"Credential=second/" in both.posted[0]


def test_credentials_that_others_have_replaced_are_forgotten():
    both = Oracle("us-east-1", None, False)
    for token in ("first", "second"):
        both.credentials.token = token
        both.ours.receive_message(QueueUrl="q")
        both.ours.delete_message_batch(QueueUrl="q", Entries=[])
        kept = repr(both.ours._templates)
        assert len(both.ours._templates) == 2
        assert [name for name in ("first", "second") if name in kept] == [token]


def test_without_credentials_or_through_a_proxy_it_is_botocore_s_client(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(AwsSession, "get_credentials", lambda _self: None)
    assert not isinstance(batch_client(1), BatchClient)
    monkeypatch.setattr(AwsSession, "get_credentials", lambda _self: Credentials("a", "b"))
    assert isinstance(batch_client(1), BatchClient)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert not isinstance(batch_client(1), BatchClient)


@pytest.mark.parametrize(
    ("profile", "environment", "expected"),
    [(None, None, "home.pem"), ("corp", None, "corp.pem"), ("plain", None, None), ("corp", "other.pem", "other.pem")],
)
def test_the_certificates_that_a_profile_trusts_are_trusted(monkeypatch, tmp_path, profile, environment, expected):
    config = tmp_path / "config"
    config.write_text(
        "[default]\nca_bundle = home.pem\n[profile corp]\nca_bundle = corp.pem\n[profile plain]\nregion = eu-west-1\n"
    )
    for variable in ("AWS_PROFILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    if environment is not None:
        monkeypatch.setenv("AWS_CA_BUNDLE", environment)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setattr(AwsSession, "get_credentials", lambda _self: Credentials("a", "b"))
    session = AwsSession(profile, "us-east-1")
    monkeypatch.setattr("redrive.adapters.batch_client.default_session", lambda: session)
    client: Any = batch_client(1)
    assert client._bundle == expected
