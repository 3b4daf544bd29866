"""On the wire, the lean client and botocore's client get the same results from the same server."""

import datetime
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.adapters.batch_client import BatchClient, trusted_bundle
from redrive.adapters.http_connections import Connections, Exchange
from tests.support.patience import in_time
from tests.support.scripted_server import Script, ScriptedServer, scripted_server

MESSAGES = {"Messages": [{"MessageId": "m", "Body": "ü", "ReceiptHandle": "h"}]}
BODY = json.dumps(MESSAGES).encode()
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def whole(body: bytes, head: bytes = HEAD) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunks(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n%x;x=y\r\n%b\r\n0\r\n\r\n" % (5, body[:5], len(body) - 5, body[5:])


def pair(url: str, timeout: float = 2.0) -> tuple[Any, BatchClient]:
    """Return botocore's client and the lean client."""
    session = boto3.Session("AKID", "secret", region_name="us-east-1")
    config = Config(
        parameter_validation=False,
        connect_timeout=timeout,
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    theirs, ours = (session.client("sqs", config=config, endpoint_url=url) for _ in range(2))
    credentials = session.get_credentials()
    assert credentials is not None
    return theirs, BatchClient(ours, credentials, trusted_bundle(session._session))


def outcome(client: Any) -> Any:
    try:
        values = in_time(lambda: client.receive_message(QueueUrl="q"))
    except ClientError as error:
        return error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    except BotoCoreError as error:
        return type(error).__name__
    except Exception as error:  # noqa: BLE001
        return type(error).__name__
    return {key: value for key, value in values.items() if key != "ResponseMetadata"}


def outcome_at_rest(server: ScriptedServer, client: Any) -> Any:
    found = outcome(client)
    # Another test covers a server that closes a connection just when it is reused.
    server.wait_for_ends()
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as started:
        yield started


@pytest.fixture(scope="module")
def clients(server):
    return pair(f"http://127.0.0.1:{server.port}")


ANSWERS = {
    "whole": (Script((whole(BODY),)), MESSAGES),
    "in two pieces": (Script((whole(BODY)[:50], whole(BODY)[50:])), MESSAGES),
    "byte by byte": (Script([bytes([byte]) for byte in whole(BODY)]), MESSAGES),
    "chunked": (Script((CHUNKED + chunks(BODY),)), MESSAGES),
    "until the end": (Script((HEAD + b"\r\n" + BODY,), closes=True), MESSAGES),
    "of an old protocol": (Script((whole(BODY, b"HTTP/1.0 200 OK\r\n"),), closes=True), MESSAGES),
    "after a 100": (Script((b"HTTP/1.1 100 Continue\r\n\r\n" + whole(BODY),)), MESSAGES),
    "then closed": (Script((whole(BODY, HEAD + b"Connection: close\r\n"),), closes=True), MESSAGES),
    "closed without a word": (Script((whole(BODY),), closes=True), MESSAGES),
    "more than announced": (Script((whole(BODY) + b"more",), closes=True), MESSAGES),
    "much less than announced": (
        Script((HEAD + b"Content-Length: 999999999999\r\n\r\n" + BODY,), closes=True),
        MESSAGES,
    ),
    "truncated": (Script((whole(BODY)[:-5],), closes=True), {}),
    "truncated chunk": (Script((CHUNKED + chunks(BODY)[:-20],), closes=True), "ConnectionClosedError"),
    "bad chunk": (Script((CHUNKED + b"zz\r\n",), closes=True), "ConnectionClosedError"),
    "no body": (Script((whole(b""),)), {}),
    "nothing": (Script((), closes=True), "ConnectionClosedError"),
    "half a head": (Script((HEAD[:-1],), closes=True), {}),
    "garbage": (Script((b"\x00\xff garbage\r\n\r\n",), closes=True), "ConnectionClosedError"),
    "a long line": (Script((HEAD + b"x: " + b"y" * 70_000 + b"\r\n\r\n",), closes=True), "ConnectionClosedError"),
    "many headers": (Script((HEAD + b"x: y\r\n" * 200 + b"\r\n",), closes=True), "ConnectionClosedError"),
    "HTML of a proxy": (Script((whole(b"<html>", b"HTTP/1.1 502 Bad Gateway\r\n"),)), None),
    "a redirect": (
        Script((whole(b"", b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/\r\n"),)),
        None,
    ),
    "1 MiB": (Script((whole(json.dumps({"Messages": [{"Body": "x" * 2**20}]}).encode()),)), None),
    "a clock ten minutes off": (
        Script((whole(b'{"__type": "InvalidSignatureException"}', b"HTTP/1.1 403 Forbidden\r\n"),)),
        ({"Message": "", "Code": "InvalidSignatureException"}, 403),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_what_botocore_makes_of_it(server, clients, name):
    server.script, expected = ANSWERS[name]
    # Twice, because a connection may be reused.
    found = [outcome_at_rest(server, client) for client in clients for _ in range(2)]
    assert found == [found[0]] * 4
    assert expected is None or found[0] == expected


@settings(max_examples=80, deadline=None)
@given(content=st.binary(max_size=60), cut=st.integers(0, 400), closes=st.just(True), chunked=st.booleans())
def test_a_generated_answer_is_what_botocore_makes_of_it(server, clients, content, cut, closes, chunked):
    answer = CHUNKED + chunks(BODY) if chunked else whole(BODY)
    server.script = Script((answer[:cut] + content + answer[cut + len(content) :],), closes)
    theirs, ours = (outcome_at_rest(server, client) for client in clients)
    assert ours == theirs


def test_requests_are_the_same_on_the_wire(server, clients):
    server.script = Script((whole(b"{}"),))
    server.requests.clear()
    for client in clients:
        client.send_message_batch(QueueUrl="q", Entries=[{"Id": "0", "MessageBody": "ü"}])
        client.send_message_batch(QueueUrl="q", Entries=[{"Id": "0", "MessageBody": "ü"}])
    changing = ("x-amz-date", "authorization", "amz-sdk-invocation-id", "user-agent")

    def comparable(request: bytes) -> Any:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = [(name.lower(), value) for name, value in (line.split(": ", 1) for line in lines)]
        return first, sorted(pair for pair in headers if pair[0] not in changing), body

    assert len({str(comparable(request)) for request in server.requests}) == 1
    agents = [request.lower().split(b"user-agent: ")[1].split(b"\r\n")[0] for request in server.requests]
    assert len(set(agents)) == 1


def lines_of(requests: list[bytes]) -> list[list[bytes]]:
    """Return the lines of each head, without those that always differ."""
    changing = (b"x-amz-date", b"authorization", b"amz-sdk-invocation-id", b"user-agent")
    heads = [request.lower().partition(b"\r\n\r\n")[0] for request in requests]
    return [sorted(line for line in head.split(b"\r\n") if not line.startswith(changing)) for head in heads]


@settings(max_examples=60, deadline=None)
@given(
    key=st.just("AKID") | st.text("AK1 \n\r\tü€", min_size=1, max_size=4),
    token=st.text("aZ9+/=", min_size=1) | st.text("a9= \n\r\t\v\x00\x7f\x85ü€", max_size=6),
)
@example("AKID", "token\n")
@example("AKID", "token\r\nx: y")
@example("AKID", "token\r\n folded")
@example("AKID\n", "")
@example("AKID ID", "")
def test_credentials_that_no_header_can_carry_are_refused_as_botocore_refuses_them(server, clients, key, token):
    server.script = Script((whole(BODY),))
    theirs, ours = clients
    credentials: Any = ours._credentials
    sent: list[Any] = []
    for client in (theirs, ours):
        # With a template for other credentials, and with one of their own.
        credentials.access_key, credentials.token = "AKID", token and "t"
        outcome(client)
        credentials.access_key, credentials.token = key, token
        server.requests.clear()
        sent.append(([outcome(client) for _ in range(2)], lines_of(server.requests)))
    credentials.access_key, credentials.token = "AKID", None
    assert sent[1] == sent[0]


def test_a_connection_is_used_again_unless_the_server_has_closed_it(server, clients):
    _, ours = clients
    server.script = Script((whole(BODY),))
    outcome(ours)
    before = server.connections
    assert [outcome(ours) for _ in range(3)] == [MESSAGES] * 3
    assert server.connections == before
    server.script = Script((whole(BODY),), closes=True)
    assert [outcome_at_rest(server, ours) for _ in range(3)] == [MESSAGES] * 3
    assert server.connections == before + 2


@given(st.lists(st.sampled_from(["open", "closed", "with an answer that nobody asked for"]), max_size=5))
def test_a_request_leaves_on_the_latest_connection_that_is_open_and_silent(states):
    pairs = [socket.socketpair() for _ in states]
    connections = Connections("http://any", 5.0, 5.0, None)
    for state, (ours, theirs) in zip(states, pairs, strict=True):
        connections.release(ours)
        if state == "closed":
            theirs.close()
        elif state != "open":
            theirs.sendall(whole(b"{}"))
    latest = max((place for place, state in enumerate(states) if state == "open"), default=None)
    exchange = connections.begin(b"request")
    assert (None if exchange is None else exchange.connection) is (None if latest is None else pairs[latest][0])
    # Of the others, those that came later are done.
    kept = 0 if latest is None else latest
    assert [ours.fileno() == -1 for place, (ours, _) in enumerate(pairs) if place != latest] == [
        place >= kept for place in range(len(pairs)) if place != latest
    ]
    assert bool(connections._idle) is bool(kept)
    if exchange is not None:
        _, theirs = pairs[kept]
        assert theirs.recv(100) == b"request"
        theirs.sendall(whole(BODY))
        found = exchange.answer()
        assert found is not None
        assert found.body == BODY
        assert connections._idle
    for connection in (connection for both in pairs for connection in both):
        connection.close()


def test_connecting_and_answering_have_timeouts_of_their_own(server, monkeypatch):
    _, ours = pair(f"http://127.0.0.1:{server.port}")
    monkeypatch.setattr(ours._client.meta, "_client_config", Config(connect_timeout=3.0, read_timeout=4.0))
    timeouts: list[Any] = []
    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda *address: timeouts.append(address[1]) or connect(*address))
    server.script = Script((whole(BODY),))
    assert outcome(ours) == MESSAGES
    (connections,) = ours._connections.values()
    (connection,) = connections._idle
    assert (timeouts, connection.gettimeout()) == ([3.0], 4.0)


def test_a_connection_has_botocore_s_options(server, clients):
    _, ours = clients
    server.script = Script((whole(BODY),))
    outcome(ours)
    (connection,) = next(iter(ours._connections.values()))._idle
    # Those of urllib3, and `tcp_keepalive` of our clients.
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("head", [HEAD + b"Connection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
def test_a_connection_that_the_server_wants_to_close_is_not_used_again(server, clients, head):
    _, ours = clients
    # It stays open for now.
    server.script = Script((whole(BODY, head),))
    outcome(ours)
    before = server.connections
    assert [outcome(ours) for _ in range(3)] == [MESSAGES] * 3
    assert server.connections == before + 3


def test_waiting_for_an_answer_has_an_end(server):
    server.script = Script((HEAD,), silent=True)
    assert [outcome(client) for client in pair(f"http://127.0.0.1:{server.port}", 0.2)] == ["ReadTimeoutError"] * 2


def test_without_a_server_nothing_was_sent():
    assert [outcome(client) for client in pair("http://127.0.0.1:1")] == ["EndpointConnectionError"] * 2
    assert [outcome(client) for client in pair("http://queue.invalid")] == ["EndpointConnectionError"] * 2
    # An address that never answers (RFC 5737).
    names = {"ConnectTimeoutError", "EndpointConnectionError"}
    assert set(map(outcome, pair("http://192.0.2.1", 0.2))) <= names


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for localhost, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return str(path)


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate, monkeypatch):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with scripted_server(tls) as server:
        server.script = Script((whole(BODY),))
        url = f"https://localhost:{server.port}"
        assert [outcome(client) for client in pair(url)] == ["SSLError"] * 2
        assert server.requests == []
        for variable in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
            with monkeypatch.context() as patch:
                patch.setenv(variable, certificate)
                assert [outcome(client) for client in pair(url)] == [MESSAGES] * 2
                # The certificate is for localhost.
                assert [outcome(client) for client in pair(f"https://127.0.0.1:{server.port}")] == ["SSLError"] * 2


# As botocore logs an answer of SQS in its JSON protocol.
OF_SQS = (
    HEAD
    + b"x-amzn-RequestId: 4d5c2a0e-2f3c-5b7a-8f0a-7c7f1f1e2d3c\r\n"
    + b"Date: Sun, 29 Nov 2026 12:00:00 GMT\r\n"
    + b"Content-Type: application/x-amz-json-1.0\r\n"
    + b"Content-Length: %d\r\nconnection: keep-alive\r\n\r\n%b"
)


def test_an_answer_of_sqs_is_read_without_http_client(server, clients, monkeypatch):
    def refuse(*_arguments: Any) -> None:
        raise AssertionError("http.client was asked")

    monkeypatch.setattr("redrive.adapters.http_connections._any_answer", refuse)
    server.script = Script((OF_SQS % (len(BODY), BODY),))
    connections = server.connections
    for _ in range(3):
        assert outcome(clients[1]) == MESSAGES
    assert server.connections <= connections + 1


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(
    "body",
    [BODY, b'{"Messages": []}'.ljust(8_192), json.dumps({"Messages": [], "More": "x" * 40_000}).encode()],
    ids=["small", "as long as some pieces", "large"],
)
@pytest.mark.parametrize("place", [0, 1, -1], ids=["at once", "after the head", "before the last byte"])
def test_what_follows_an_answer_never_counts_as_the_next_one(certificate, monkeypatch, secure, body, place):
    tls = None
    if secure:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
        monkeypatch.setenv("AWS_CA_BUNDLE", certificate)
    answer = OF_SQS % (len(body), body)
    cut = {0: 0, 1: len(answer) - len(body), -1: len(answer) - 1}[place]
    stale = whole(b'{"Messages": [{"MessageId": "stale"}]}')
    with scripted_server(tls) as server:
        _, ours = pair(f"{'https' if secure else 'http'}://localhost:{server.port}")
        # The rest of the answer and what follows it are in one TLS record.
        server.script = Script(tuple(filter(None, (answer[:cut], answer[cut:] + stale))))
        outcome(ours)
        server.script = Script((OF_SQS % (len(BODY), BODY),))
        assert outcome(ours) == MESSAGES


def read_by_http_client(answer: bytes) -> Any:
    """Return status, headers, body, and whether the connection can be used again, or the kind of error."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        response = HTTPResponse(ours, method="POST")
        try:
            response.begin()
            pieces = []
            while piece := response.read(7):
                pieces.append(piece)
        except (OSError, HTTPException) as error:
            return isinstance(error, OSError), isinstance(error, HTTPException), False
        reusable = not response.length and not response.will_close
        return response.status, dict(response.headers), b"".join(pieces), reusable


def read_by_us(answer: bytes, arrives_in: list[int]) -> Any:
    ours, theirs = socket.socketpair()

    class Slowly:
        """A connection on which an answer arrives in pieces of given lengths."""

        def __getattr__(self, name: str) -> Any:
            return getattr(ours, name)

        def recv(self, most: int) -> bytes:
            return ours.recv(min(most, arrives_in.pop() if arrives_in else most))

    with closing(ours), closing(theirs):
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        connection: Any = Slowly()
        connections = Connections("http://any", 1.0, 1.0, None)
        try:
            found = in_time(Exchange(connections, connection, b"").wait)
        except ConnectionClosedError as error:
            cause = error.__cause__
            return isinstance(cause, OSError), isinstance(cause, HTTPException), bool(connections._idle)
        return found.status, dict(found.headers), found.body, bool(connections._idle)


STATUS_LINES = (
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200 ",
    "HTTP/1.1 204 No",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 500 E",
    "HTTP/2 200 OK",
    "?",
)
NAMES = ("Content-Type", "x-amzn-RequestId", "Date", "CONTENT-LENGTH", "content-length", "Content-Encoding", "Bad Name")
LINES = st.one_of(
    st.builds(
        "{}:{}{}".format, st.sampled_from(NAMES), st.sampled_from(("", " ", "  ")), st.text("a 0;=ü", max_size=6)
    ),
    st.sampled_from(
        (
            "Content-Length: 5",
            "Content-Length: +5",
            "Content-Length: 5, 5",
            "Content-Length: 05",
            "Content-Length: -1",
            "Content-Length: 0",
            "Connection: close",
            "connection: keep-alive",
            "Connection: Keep-Alive, x",
            "Transfer-Encoding: chunked",
            " folded",
            "",
        )
    ),
)
# Heads that are plain but for a header that may be repeated.
REPEATED = st.permutations(["Content-Length: 5", "Date: a", "Date: b", "X: a"]).flatmap(
    lambda lines: st.integers(1, 4).map(lambda number: lines[:number])
)


@given(
    st.sampled_from(STATUS_LINES) | st.just(STATUS_LINES[0]),
    st.lists(LINES, max_size=4) | REPEATED,
    st.sampled_from(("\r\n", "\r\n", "\r\n", "\n")),
    st.integers(-1, 12).map(lambda more: b"" if more < 0 else b"5\r\nabcde\r\n0\r\n\r\n"[:more]) | st.just(b"abcde"),
    st.lists(st.integers(1, 60), max_size=6),
)
@settings(deadline=None, max_examples=400)
def test_any_answer_in_any_pieces_is_read_as_http_client_reads_it(status, lines, end, body, arrives_in):
    answer = end.join([status, *lines, "", ""]).encode("latin-1") + body
    *ours, reusable = read_by_us(answer, arrives_in)
    *theirs, theirs_reusable = read_by_http_client(answer)
    assert ours == theirs
    # The connection of an answer that isn't plain is closed.
    assert theirs_reusable or not reusable
