"""With the lean client, the pipeline waits for answers on sockets. Outcomes are the same as with botocore's client."""

import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import ReadTimeoutError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.adapters import http_connections, in_flight
from redrive.adapters.batch_client import BatchClient
from redrive.adapters.http_connections import Answer, Connections, Exchange
from redrive.adapters.pipeline import Pipeline
from redrive.domain.errors import LockLostError
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
from tests.support.patience import LANE, PATIENCE_SECONDS, in_time
from tests.support.scripted_server import Script, ScriptedServer, scripted_server
from tests.unit.adapters.test_http_connections import (
    ANSWERS,
    BODY,
    CHUNKED,
    HEAD,
    OF_SQS,
    certificate,
    chunks,
    pair,
    whole,
)

QUEUE = queue(factories.queue())
# Fixtures that this module shares.
__all__ = ["certificate"]
# A pipeline without worker threads: whatever it leaves to them never ends.
NONE = 0


class Lane:
    """Stands in for a lane: asks for some requests at once."""

    needs_heartbeat = False

    def __init__(self, *actions: Action) -> None:
        self._todo = list(actions)
        self._missing = len(actions)
        self.outcomes: dict[Action, Outcome] = {}
        #: How often the lane was asked for actions, and how it was stopped.
        self.turns = 0
        self.stops: list[bool] = []

    @property
    def finished(self) -> bool:
        return len(self.outcomes) == self._missing

    def next(self, _now: float) -> list[Action]:
        self.turns += 1
        todo, self._todo = self._todo, []
        return todo

    def stop(self, _now: float, *, lost: bool = False) -> None:
        self.stops.append(lost)

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
    lane = Lane(*actions)
    run_lane(client, lane, threads, memory, heartbeat)
    return [lane.outcomes[action] for action in actions]


def run_lane(client: Any, lane: Any, threads: int, memory: Any = None, heartbeat: Any = None) -> None:
    deliveries: Any = None
    pipeline = Pipeline(client, "q", 30, threads, time.monotonic, deliveries, memory or Memo(), factories.unlogged)
    in_time(lambda: pipeline.run(lane, heartbeat or (lambda: False), 0.02))


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


def of_batch(request: bytes, failing: int = 0) -> bytes:
    """Return the answer to a batch of which the last entries fail."""
    ids = [entry["Id"] for entry in json.loads(request.partition(b"\r\n\r\n")[2])["Entries"]]
    sent = {"MessageId": "x"} if b"SendMessageBatch" in request else {}
    carried_out = len(ids) - failing
    answer = {
        "Successful": [{"Id": name} | sent for name in ids[:carried_out]],
        "Failed": [{"Id": name, "Code": "c", "SenderFault": True} for name in ids[carried_out:]],
    }
    body = json.dumps(answer).encode()
    return OF_SQS % (len(body), body)


def test_plain_answers_need_no_threads(server, clients):
    _, ours = clients
    server.script = Script((OF_SQS % (len(BODY), BODY),))
    (outcome,) = run(ours, received(), threads=NONE)
    assert isinstance(outcome, Received)
    assert [message.message_id for message in outcome.messages] == ["m"]
    server.script = lambda request: Script((of_batch(request, failing=1),))
    for action in all_actions()[1:]:
        (outcome,) = run(ours, action, threads=NONE)
        assert isinstance(outcome, BatchResult)
        assert {place: error.code for place, error in outcome.failed.items()} == {1: "c"}


def note_threads(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[str]:
    """Return a list that gets the name of each thread that calls a function."""
    threads: list[str] = []
    function = getattr(owner, name)

    def noted(*arguments: Any, **keys: Any) -> Any:
        threads.append(threading.current_thread().name)
        return function(*arguments, **keys)

    monkeypatch.setattr(owner, name, noted)
    return threads


def test_the_lane_s_thread_sends_and_reads_and_worker_threads_connect_and_ask_botocore(server, monkeypatch):
    _, ours = pair(f"http://127.0.0.1:{server.port}")
    connecting = note_threads(monkeypatch, http_connections.socket, "create_connection")
    building = note_threads(monkeypatch, ours._rehearsal, "request")
    sending = note_threads(monkeypatch, Exchange, "send")
    reading = note_threads(monkeypatch, ours, "plain")
    server.script = Script((OF_SQS % (2, b"{}"),))
    assert run(ours, received(), threads=1) == [Received([])]
    assert (building, connecting, sending, reading) == (["sqs-0"], ["sqs-0"], [], ["sqs-0"])
    reading.clear()
    assert run(ours, received(), threads=1) == [Received([])]
    assert (building, connecting, sending, reading) == (["sqs-0"], ["sqs-0"], [LANE], [LANE])


def test_only_threads_let_botocore_read_an_answer_because_it_may_wait_for_new_credentials(server, clients, monkeypatch):
    _, ours = clients
    departure = Departure(1, 0.0)
    answered: list[float | None] = []
    read = ours._rehearsal.read

    def note(*arguments: Any) -> Any:
        answered.append(departure.answered)
        return read(*arguments)

    monkeypatch.setattr(ours._rehearsal, "read", note)
    threads = note_threads(monkeypatch, ours._rehearsal, "read")
    refusal = b'{"__type": "com.amazonaws.sqs#AccessDeniedException"}'
    server.script = Script((whole(refusal, b"HTTP/1.1 403 Forbidden\r\nx-amzn-RequestId: 4d5c2a0e\r\n"),))
    outcomes = run(ours, Send(QUEUE, (held("m-1"),), departure), threads=1)
    assert outcomes == [ApiError("AccessDeniedException", ErrorKind.GONE)]
    assert threads == ["sqs-0"]
    # The wait for credentials doesn't count.
    assert departure.answered is not None
    assert answered == [departure.answered]


@dataclass(frozen=True)
class Reply:
    """How a server answers a request, and whether the connection can be reused."""

    script: Script
    outcome: Any
    reusable: bool


def refusal(status: bytes, code: str, kind: ErrorKind) -> Reply:
    body = b'{"__type": "com.amazonaws.sqs#%b"}' % code.encode()
    head = b"HTTP/1.1 %b\r\n" % status
    return Reply(Script((whole(body, head),)), ApiError(code, kind), reusable=True)


REPLIES = [
    Reply(Script((whole(BODY),)), ["m"], reusable=True),
    Reply(Script((OF_SQS % (2, b"{}"),)), [], reusable=True),
    Reply(Script((CHUNKED + chunks(BODY),)), ["m"], reusable=False),
    Reply(Script((whole(BODY),), closes=True), ["m"], reusable=False),
    Reply(Script((), closes=True), ApiError("ConnectionClosedError", ErrorKind.UNCERTAIN), reusable=False),
    refusal(b"400 Bad Request", "ReceiptHandleIsInvalid", ErrorKind.REFUSED),
    refusal(b"403 Forbidden", "AccessDeniedException", ErrorKind.GONE),
    refusal(b"503 Service Unavailable", "ServiceUnavailable", ErrorKind.UNCERTAIN),
    refusal(b"500 Internal Server Error", "InternalFailure", ErrorKind.UNCERTAIN),
]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(REPLIES), min_size=1, max_size=5))
@example([reply for reply in REPLIES for _ in range(2)])
def test_after_any_answer_the_next_request_gets_its_own_on_the_same_connection_or_a_new_one(server, replies):
    _, ours = pair(f"http://127.0.0.1:{server.port}")
    before = server.connections
    for reply in replies:
        server.script = reply.script
        outcome = outcome_at_rest(server, ours)
        if isinstance(outcome, Received):
            outcome = [message.message_id for message in outcome.messages]
        assert outcome == reply.outcome
    assert server.connections - before == 1 + sum(not reply.reusable for reply in replies[:-1])


# Two requests on one connection: after the first one, the server answers it again, just when the second one has left.
BATCHES = st.tuples(st.sampled_from([1, 2, 3]), st.integers(1, 3))


@settings(max_examples=30, deadline=None)
@given(earlier=BATCHES, later=BATCHES)
@example((1, 2), (1, 2))
@example((2, 1), (3, 1))
def test_a_second_answer_to_a_batch_never_counts_for_the_next_batch(server, generated, earlier, later):
    def action_of(batch: tuple[int, int]) -> Action:
        kind, number = batch
        messages = tuple(held(f"m-{place}") for place in range(number))
        handles = [f"h-{place}" for place in range(number)]
        return [
            Send(QUEUE, messages, Departure(number, 0.0)),
            Delete(messages, handles),
            SetVisibility(messages, handles, [0] * number, Purpose.RELEASE, 0.0),
        ][kind - 1]

    _, ours = generated
    answers: list[bytes] = []

    def answer_the_first(request: bytes) -> Script:
        answers.append(of_batch(request))
        return Script((answers[0],), closes=len(answers) > 1)

    server.script = answer_the_first
    assert run(ours, action_of(earlier), threads=1) == [BatchResult()]
    (outcome,) = run(ours, action_of(later), threads=1)
    server.wait_for_ends()
    unlisted = ApiError("NotListed", ErrorKind.UNCERTAIN)
    assert outcome == BatchResult(dict.fromkeys(range(later[1]), unlisted))


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


SILENCES = pytest.mark.parametrize(
    "pieces", [(), (HEAD,), (whole(BODY)[:-1],)], ids=["nothing", "a head", "all but a byte"]
)


@SILENCES
def test_heartbeats_go_on_while_a_server_keeps_silent_and_waiting_has_an_end(server, clients, pieces):
    _, ours = clients
    server.script = Script(pieces, silent=True)
    beats: list[float] = []
    departure, before = Departure(1, 0.0), time.monotonic()
    send = Send(QUEUE, (held("m-1"),), departure)
    (outcome,) = run(ours, send, threads=1, heartbeat=lambda: beats.append(time.monotonic()))
    assert outcome == ApiError("ReadTimeoutError", ErrorKind.UNCERTAIN)
    assert len(beats) > 10
    assert departure.answered is not None
    assert before <= departure.started <= departure.answered - 0.5


@SILENCES
def test_a_lane_that_lost_its_lock_still_waits_for_its_answers_but_not_forever(server, clients, pieces, monkeypatch):
    # Several checks find nothing.
    monkeypatch.setattr(in_flight, "_CHECK_SECONDS", 0.05)
    _, ours = clients
    server.script = Script(pieces, silent=True)
    beats: list[None] = []

    def lose() -> bool:
        beats.append(None)
        raise LockLostError("lost")

    send = Send(QUEUE, (held("m-1"),), Departure(1, 0.0))
    lane = Lane(send)
    with pytest.raises(LockLostError):
        run_lane(ours, lane, 1, heartbeat=lose)
    assert lane.outcomes == {send: ApiError("ReadTimeoutError", ErrorKind.UNCERTAIN)}
    assert (len(beats), lane.stops) == (1, [True])
    # It waits for the answer, instead of asking for it all the time.
    assert lane.turns < 20


class Recalled(Memo):
    """A memory that has something to look up about every message, and to record about every sent one."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "threads", [])

    def read(self, messages: Any) -> Any:
        found, _ = super().read(messages)
        return found, {message.message_id: "id" for message in found}

    def recalled(self, found: Any, ids: Any) -> Any:
        self.threads.append(threading.current_thread().name)
        assert ids
        return found

    def unattached(self, accepted: Any) -> Any:
        return {sent_id: "{}" for _, sent_id in accepted}

    def record(self, _facts: Any) -> None:
        self.threads.append(threading.current_thread().name)
        raise ValueError("secret")


def test_only_threads_wait_for_the_runs_table(server, clients):
    _, ours = clients
    server.script = Script((OF_SQS % (len(BODY), BODY),))
    memory = Recalled()
    (outcome,) = run(ours, received(), threads=1, memory=memory)
    assert isinstance(outcome, Received)
    server.script = lambda request: Script((of_batch(request),))
    (outcome,) = run(ours, Send(QUEUE, (held("m-1"),), Departure(1, 0.0)), threads=1, memory=memory)
    assert outcome == BatchResult(unrecorded=ApiError("ValueError", ErrorKind.GONE))
    assert memory.threads == ["sqs-0", "sqs-0"]


def test_what_cannot_be_looked_up_ends_the_request_and_not_the_lane(server, clients):
    class Unreadable(Recalled):
        def recalled(self, found: Any, ids: Any) -> Any:
            super().recalled(found, ids)
            raise ValueError("secret")

    server.script = Script((OF_SQS % (len(BODY), BODY),))
    for client in clients:
        assert run(client, received(), threads=1, memory=Unreadable()) == [ApiError("ValueError", ErrorKind.UNCERTAIN)]


def test_only_threads_wait_for_new_credentials(server, clients):
    _, ours = clients
    asked: list[str] = []

    def valid(seconds: float) -> dict[str, str]:
        asked.append(threading.current_thread().name)
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        return {"access_key": "a", "secret_key": "s", "token": "t", "expiry_time": expires.isoformat()}

    metadata = valid(60)
    asked.clear()
    ours._credentials = RefreshableCredentials.create_from_metadata(metadata, lambda: valid(3_600), "test")
    server.script = Script((OF_SQS % (2, b"{}"),))
    assert run(ours, received(), threads=1) == [Received([])]
    assert asked == ["sqs-0"]


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
    assert (bytes(got), bool(connections._idle)) == (request, True)


def test_a_server_may_answer_and_close_before_it_has_read_the_request():
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    theirs.setblocking(False)
    with closing(ours):
        exchange = Exchange(Connections("http://any", 5.0, 5.0, None), ours, b"x" * 2**20)
        exchange.send()
        # Closing a connection with unread bytes would reset it.
        with pytest.raises(BlockingIOError):
            while True:
                theirs.recv(65_536)
        theirs.sendall(whole(BODY))
        theirs.close()
        assert exchange.needs_thread
        assert in_time(exchange.wait).body == BODY


def test_threads_that_make_the_first_request_at_once_ask_botocore_once(server, monkeypatch):
    _, ours = pair(f"http://127.0.0.1:{server.port}")
    server.script = Script((OF_SQS % (2, b"{}"),))
    barrier, lock = threading.Barrier(8, timeout=PATIENCE_SECONDS), threading.Lock()
    passed: list[int] = []

    class Meeting:
        """A lock at which all threads meet before the first one gets it."""

        def __enter__(self) -> None:
            passed.append(barrier.wait())
            lock.acquire()

        def __exit__(self, *_error: object) -> None:
            lock.release()

    monkeypatch.setattr(ours, "_one_at_a_time", Meeting())
    asked = note_threads(monkeypatch, ours._rehearsal, "request")
    assert run(ours, *(received() for _ in range(8)), threads=8) == [Received([])] * 8
    # Once for the template, and once for the connections.
    assert (len(passed), len(asked)) == (16, 1)


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
    # No check finds out later what should have been noticed at once.
    monkeypatch.setattr(in_flight, "_CHECK_SECONDS", 1_000 * PATIENCE_SECONDS)
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
        server.script = lambda request: Script((of_batch(request),))
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
        assert (found.body, bool(connections._idle), ours.fileno()) == (BODY, False, -1)


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
