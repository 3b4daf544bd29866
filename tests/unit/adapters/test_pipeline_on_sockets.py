"""With the lean client, the pipeline waits for answers on sockets. It does what it does with threads and botocore."""

import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import ReadTimeoutError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.adapters import http_connections
from redrive.adapters.batch_client import BatchClient
from redrive.adapters.http_connections import Answer, Connections, Exchange
from redrive.adapters.in_flight import InFlight
from redrive.adapters.pipeline import Pipeline
from redrive.domain.judging.verdicts import Redrive
from redrive.domain.messages.destinations import queue
from redrive.domain.messages.outbound import outbound
from redrive.domain.moving.actions import (
    Action,
    ApiError,
    BatchResult,
    Delete,
    ErrorKind,
    Outcome,
    Purpose,
    Receive,
    Received,
    Send,
    SetVisibility,
)
from redrive.domain.moving.rate_limiter import Departure
from redrive.domain.moving.transitions import InHand
from redrive.workflow.memory import Memory
from tests.support import factories
from tests.support.scripted_server import Script, ScriptedServer, scripted_server
from tests.unit.adapters.test_http_connections import ANSWERS, BODY, HEAD, OF_SQS, certificate, pair, whole

QUEUE = queue(factories.queue())
# Fixtures that this module shares.
__all__ = ["certificate"]
# The threads that a pipeline may not use in these tests: it would wait forever.
NONE = 0


class Lane:
    """Stands in for a lane: asks for some requests at once."""

    needs_heartbeat = False

    def __init__(self, actions: list[Action]) -> None:
        self._todo = actions
        self._missing = len(actions)
        self.outcomes: dict[Action, Outcome] = {}

    @property
    def finished(self) -> bool:
        return len(self.outcomes) == self._missing

    def next(self, _now: float) -> list[Action]:
        todo, self._todo = self._todo, []
        return todo

    def wake_at(self) -> float:
        return float("inf")

    def outcome(self, action: Action, outcome: Outcome, _now: float) -> None:
        self.outcomes[action] = outcome


class Memo(Memory):
    """A memory that finds nothing to look up or to record."""

    def __init__(self) -> None:
        super().__init__(factories.plan(), SimpleNamespace(), frozenset())  # type: ignore[arg-type]


def run(client: Any, *actions: Action, threads: int, memory: Any = None, heartbeat: Any = None) -> list[Outcome]:
    """Return the outcomes of actions."""
    lane: Any = Lane(list(actions))
    deliveries: Any = None
    pipeline = Pipeline(client, "q", 30, threads, time.monotonic, deliveries, memory or Memo(), factories.unlogged)
    pipeline.run(lane, heartbeat or (lambda: False), 0.02)
    return [lane.outcomes[action] for action in actions]


def received() -> Receive:
    return Receive(10, 0.0, True)


def held(message_id: str, **of_message: Any) -> InHand:
    message = factories.received(message_id=message_id, **of_message)
    found = InHand(message, 30.0, 0.0)
    found.verdict = Redrive(outbound(message, QUEUE, "{}", "id"))
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as started:
        yield started


@pytest.fixture
def clients(server):
    """Botocore's client and a lean client, both with an open connection."""
    return warm(server, pair(f"http://127.0.0.1:{server.port}", 0.5))


def warm(server: ScriptedServer, both: Any) -> Any:
    server.script = Script((OF_SQS % (2, b"{}"),))
    for client in both:
        run(client, *all_actions(), threads=4)
    return both


def all_actions() -> list[Action]:
    messages = (held("m-1"), held("m-2"))
    return [
        received(),
        Send(QUEUE, messages, Departure(2, 0.0)),
        Delete(messages, ["h-1", "h-2"]),
        SetVisibility(messages, ["h-1", "h-2"], [0, 5], Purpose.RELEASE, 0.0),
    ]


def test_plain_answers_need_no_threads(server, clients):
    _, ours = clients
    server.script = Script((OF_SQS % (len(BODY), BODY),))
    (outcome,) = run(ours, received(), threads=NONE)
    assert isinstance(outcome, Received)
    assert [message.message_id for message in outcome.messages] == ["m"]
    for action in all_actions()[1:]:
        sent = {"MessageId": "x"} if isinstance(action, Send) else {}
        failed = [{"Id": "1", "Code": "c", "SenderFault": True}]
        done = json.dumps({"Successful": [{"Id": "0"} | sent], "Failed": failed}).encode()
        server.script = Script((OF_SQS % (len(done), done),))
        (outcome,) = run(ours, action, threads=NONE)
        assert isinstance(outcome, BatchResult)
        assert {place: error.code for place, error in outcome.failed.items()} == {1: "c"}


def test_only_threads_let_botocore_read_an_answer_because_it_may_wait_for_new_credentials(server, clients, monkeypatch):
    _, ours = clients
    threads: list[threading.Thread] = []
    read = ours._rehearsal.read

    def noted(*arguments: Any) -> Any:
        threads.append(threading.current_thread())
        return read(*arguments)

    monkeypatch.setattr(ours._rehearsal, "read", noted)
    refusal = b'{"__type": "com.amazonaws.sqs#AccessDeniedException"}'
    server.script = Script((whole(refusal, b"HTTP/1.1 403 Forbidden\r\nx-amzn-RequestId: 4d5c2a0e\r\n"),))
    assert run(ours, received(), threads=1) == [ApiError("AccessDeniedException", ErrorKind.GONE)]
    (thread,) = threads
    assert thread is not threading.main_thread()


def test_requests_that_are_open_at_the_same_time_get_their_own_answers(server):
    _, ours = warm(server, pair(f"http://127.0.0.1:{server.port}"))
    server.script = Script((OF_SQS % (len(BODY), BODY),))
    run(ours, *(received() for _ in range(8)), threads=8)
    outcomes = run(ours, *(received() for _ in range(8)), threads=8)
    assert all(isinstance(outcome, Received) and len(outcome.messages) == 1 for outcome in outcomes)


@pytest.mark.parametrize("name", ANSWERS)
def test_any_answer_has_the_outcome_that_it_has_with_botocore(server, clients, name):
    server.script, _ = ANSWERS[name]
    theirs, ours = ([outcome_at_rest(server, client) for _ in range(2)] for client in clients)
    assert ours == theirs


PIECES = st.lists(st.integers(1, 400), max_size=5)
STATUSES = st.sampled_from([b"200 OK", b"200 ", b"400 Bad Request", b"403 Forbidden", b"503 No", b"204 No", b"302 ?"])
CONTENT = st.sampled_from(
    [BODY, b"{}", b"", b'{"__type": "a#ThrottlingException"}', b'{"__type": "OverLimit"}', b"<html>", b"\xff"]
)


@settings(max_examples=60, deadline=None)
@given(status=STATUSES, content=CONTENT, missing=st.integers(-3, 3), pieces=PIECES, closes=st.booleans())
@example(b"200 OK", BODY, 0, [1] * 400, True)
def test_a_generated_answer_has_the_outcome_that_it_has_with_botocore(
    server, generated, status, content, missing, pieces, closes
):
    answer = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(content) + missing, content)
    parts = []
    for piece in pieces:
        parts.append(answer[:piece])
        answer = answer[piece:]
    # Otherwise, both would wait for the missing bytes until the timeout.
    server.script = Script(tuple(filter(None, [*parts, answer])), closes or missing > 0)
    theirs, ours = (outcome_at_rest(server, client) for client in generated)
    assert ours == theirs


@pytest.fixture(scope="module")
def generated(server):
    return warm(server, pair(f"http://127.0.0.1:{server.port}", 0.5))


def outcome_at_rest(server: ScriptedServer, client: Any) -> Outcome:
    (outcome,) = run(client, received(), threads=1)
    # Another test covers a server that closes a connection just when it is reused.
    server.wait_for_ends()
    return outcome


@pytest.mark.parametrize("pieces", [(), (HEAD,), (whole(BODY)[:-1],)], ids=["nothing", "a head", "all but a byte"])
def test_heartbeats_go_on_while_a_server_keeps_silent_and_waiting_has_an_end(server, clients, pieces):
    _, ours = clients
    server.script = Script(pieces, silent=True)
    beats: list[float] = []
    departure = Departure(1, 0.0)
    send = Send(QUEUE, (held("m-1"),), departure)
    (outcome,) = run(ours, send, threads=1, heartbeat=lambda: beats.append(time.monotonic()))
    assert outcome == ApiError("ReadTimeoutError", ErrorKind.UNCERTAIN)
    assert len(beats) > 10
    assert departure.answered is not None
    assert 0.5 <= departure.answered - departure.started < 5


class Recalled(Memo):
    """A memory that has something to look up about every message, and to record about every sent one."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "threads", [])

    def read(self, messages: Any) -> Any:
        found, _ = super().read(messages)
        return found, {message.message_id: "id" for message in found}

    def recalled(self, found: Any, ids: Any) -> Any:
        self.threads.append(threading.current_thread())
        assert ids
        return found

    def unattached(self, accepted: Any) -> Any:
        return {sent_id: "{}" for _, sent_id in accepted}

    def record(self, _facts: Any) -> None:
        self.threads.append(threading.current_thread())
        raise ValueError("secret")


def test_only_threads_wait_for_the_runs_table(server, clients):
    _, ours = clients
    server.script = Script((OF_SQS % (len(BODY), BODY),))
    memory = Recalled()
    (outcome,) = run(ours, received(), threads=1, memory=memory)
    assert isinstance(outcome, Received)
    done = b'{"Successful": [{"Id": "0", "MessageId": "x"}]}'
    server.script = Script((OF_SQS % (len(done), done),))
    (outcome,) = run(ours, Send(QUEUE, (held("m-1"),), Departure(1, 0.0)), threads=1, memory=memory)
    assert outcome == BatchResult(unrecorded=ApiError("ValueError", ErrorKind.GONE))
    assert len(memory.threads) == 2
    assert threading.main_thread() not in memory.threads


def test_only_threads_wait_for_new_credentials(server, clients):
    _, ours = clients
    asked: list[threading.Thread] = []

    def valid(seconds: float) -> dict[str, str]:
        asked.append(threading.current_thread())
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        return {"access_key": "a", "secret_key": "s", "token": "t", "expiry_time": expires.isoformat()}

    metadata = valid(60)
    asked.clear()
    ours._credentials = RefreshableCredentials.create_from_metadata(metadata, lambda: valid(3_600), "test")
    server.script = Script((OF_SQS % (2, b"{}"),))
    assert run(ours, received(), threads=1) == [Received([])]
    assert len(asked) == 1
    assert asked[0] is not threading.main_thread()


def test_a_request_that_a_connection_does_not_take_at_once_is_sent_by_waiting():
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    request, got = b"x" * 2**20, bytearray()

    def serve() -> None:
        while len(got) < len(request):
            got.extend(theirs.recv(65_536))
        theirs.sendall(whole(BODY))

    with closing(ours), closing(theirs):
        connections = Connections("http://any", 5.0, 5.0, None)
        exchange = Exchange(connections, ours, request)
        exchange.send()
        assert exchange.needs_thread
        assert exchange.answer() is None
        thread = threading.Thread(target=serve)
        thread.start()
        found = exchange.wait()
        thread.join()
    assert found == Answer(200, {"Content-Length": str(len(BODY))}, BODY)
    assert (bytes(got), connections.has_idle) == (request, True)


def test_threads_that_make_the_first_request_at_once_ask_botocore_once(server, monkeypatch):
    _, ours = pair(f"http://127.0.0.1:{server.port}")
    server.script = Script((OF_SQS % (2, b"{}"),))
    asked: list[str] = []
    request = ours._rehearsal.request

    def slow(operation: str, parameters: Any) -> Any:
        asked.append(operation)
        time.sleep(0.05)
        return request(operation, parameters)

    monkeypatch.setattr(ours._rehearsal, "request", slow)
    assert run(ours, *(received() for _ in range(8)), threads=8) == [Received([])] * 8
    assert asked == ["receive_message"]


def test_an_error_that_is_not_of_a_request_ends_the_lane(server, clients):
    _, ours = clients

    class Interrupting(Memo):
        def read(self, _messages: Any) -> Any:
            raise KeyboardInterrupt

    server.script = Script((OF_SQS % (2, b"{}"),))
    for client in clients:
        with pytest.raises(KeyboardInterrupt):
            run(client, received(), threads=1, memory=Interrupting())
    assert isinstance(ours, BatchClient)


def test_an_answer_that_arrived_before_the_connection_broke_counts():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with closing(ours):
        exchange = Exchange(Connections("http://any", 5.0, 5.0, None), ours, b"x")
        exchange.send()
        theirs.sendall(HEAD[:5])
        select.select([ours], [], [], 5.0)
        assert (exchange.answer(), exchange.needs_thread) == (None, True)
        theirs.sendall(whole(BODY)[5:])
        # Closing a connection with unread bytes resets it.
        theirs.close()
        select.select([ours], [], [], 5.0)
        assert exchange.wait().body == BODY


def test_connections_that_nobody_waits_for_anymore_are_closed():
    ours, theirs = socket.socketpair()
    with closing(theirs), pytest.raises(KeyboardInterrupt), InFlight(NONE) as in_flight:
        in_flight.watch(received(), ours, lambda: None)
        raise KeyboardInterrupt
    assert ours.fileno() == -1


@settings(max_examples=60, deadline=None)
@given(data=st.data(), number=st.integers(1, 6))
def test_an_answer_belongs_to_the_request_on_its_connection_however_answers_interleave(data, number):
    pairs = [socket.socketpair() for _ in range(number)]
    connections = Connections("http://any", 5.0, 5.0, None)
    for ours, _ in pairs:
        connections.release(ours)
    with InFlight(NONE) as in_flight:
        # Twice, because an answer may be left in a connection.
        for _ in range(2):
            actions = {str(place): received() for place in range(number)}
            for name, action in actions.items():
                exchange = connections.begin(name.encode())
                assert exchange is not None
                in_flight.watch(action, exchange.connection, partial(body_as_outcome, exchange))
            left = {theirs: in_two(whole(theirs.recv(1)), data) for _, theirs in pairs}
            ended: dict[Action, Outcome] = {}
            for theirs in data.draw(st.permutations([*left, *left])):
                theirs.sendall(left[theirs].pop(0))
                ended |= in_flight.ended(0.0)
            assert ended == {action: ApiError(name, ErrorKind.GONE) for name, action in actions.items()}
    for connection in (connection for both in pairs for connection in both):
        connection.close()


def in_two(answer: bytes, data: Any) -> list[bytes]:
    """Return an answer of one byte in two pieces, of which the first has the head."""
    return [answer, b""] if data.draw(st.booleans()) else [answer[:-1], answer[-1:]]


def body_as_outcome(exchange: Exchange) -> Outcome | None:
    answer = exchange.answer()
    return None if answer is None else ApiError(answer.body.decode(), ErrorKind.GONE)


def test_waiting_has_an_end_only_after_the_last_bytes_and_not_for_what_has_arrived(monkeypatch):
    now = 0.0
    monkeypatch.setattr(http_connections, "time", SimpleNamespace(monotonic=lambda: now))
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        exchange = Exchange(Connections("http://any", 5.0, 10.0, None), ours, b"x")
        exchange.send()
        now = 9.0
        theirs.sendall(whole(BODY)[:-2])
        assert exchange.answer() is None
        now = 18.0
        assert exchange.answer() is None
        # Such as after a heartbeat that took long.
        now = 30.0
        theirs.sendall(whole(BODY)[-2:-1])
        assert exchange.answer() is None
        now = 40.0
        with pytest.raises(ReadTimeoutError):
            exchange.answer()
        assert ours.fileno() == -1


def test_tls_needs_threads_only_for_what_a_connection_does_not_take_at_once(certificate, monkeypatch):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    monkeypatch.setenv("AWS_CA_BUNDLE", certificate)
    with scripted_server(tls) as server:
        _, ours = pair(f"https://localhost:{server.port}")
        run(ours, *all_actions(), threads=1)
        body = json.dumps({"Messages": [{"MessageId": "m", "ReceiptHandle": "h", "Body": "x" * 2**20}]}).encode()
        head = OF_SQS % (len(body), b"")
        server.script = Script((head, body[:20_000], body[20_000:]))
        for _ in range(2):
            (outcome,) = run(ours, received(), threads=NONE)
            assert isinstance(outcome, Received)
            assert len(outcome.messages) == 1
        ((connection,),) = (each._idle for each in ours._connections.values())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        done = b'{"Successful": [{"Id": "0", "MessageId": "x"}]}'
        server.script = Script((OF_SQS % (len(done), done),))
        large = held("m-1", body="ü" * 2**18)
        assert run(ours, Send(QUEUE, (large,), Departure(1, 0.0)), threads=1) == [BatchResult()]
        sent = json.loads(server.requests[-1].partition(b"\r\n\r\n")[2])
        assert sent["Entries"][0]["MessageBody"] == "ü" * 2**18
        assert server.connections == 1
        connection.close()


def test_slices_leave_no_threads_and_no_open_files(server, clients):
    _, ours = clients
    server.script = Script((OF_SQS % (2, b"{}"),))

    def in_use() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/dev/fd").iterdir()))

    before = in_use()
    for _ in range(20):
        run(ours, received(), received(), threads=2)
    assert in_use()[0] <= before[0] + 2
    assert in_use()[1] <= before[1] + 4


def test_a_connection_with_more_than_an_answer_is_not_used_again():
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        connections = Connections("http://any", 5.0, 5.0, None)
        exchange = Exchange(connections, ours, b"x")
        exchange.send()
        theirs.sendall(whole(BODY) + HEAD)
        found = exchange.answer()
        assert found is not None
        assert (found.body, connections.has_idle, ours.fileno()) == (BODY, False, -1)


def test_a_server_may_answer_and_close_before_it_is_asked():
    ours, theirs = socket.socketpair()
    with closing(ours):
        exchange = Exchange(Connections("http://any", 5.0, 5.0, None), ours, b"x")
        theirs.sendall(whole(BODY))
        theirs.close()
        exchange.send()
        found = exchange.answer()
        assert found is not None
        assert found.body == BODY
