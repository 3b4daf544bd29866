"""Moving without a stack, with moto: what a run does, what it refuses, and how it is stopped and resumed."""

import json
import os
import signal
import threading
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sqs.models import sqs_backends

from redrive import VERSION
from redrive.adapters import tag_lease
from redrive.adapters.local_table import LocalTable
from redrive.adapters.sqs import sqs_client
from redrive.command import local_run
from redrive.command.local_run import LocalRun
from redrive.command.main import run
from redrive.domain.messages.queues import QueueRef
from redrive.domain.plan.lease import LEASE_TAG, Lease
from redrive.workflow import move as move_step
from redrive.workflow import whole_run
from tests.support.moto_cloud import hook

SCHEMA = {"type": "object", "required": ["order_id"]}
VALID = json.dumps({"order_id": 1})
INVALID = json.dumps({"other": 1})


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """An operator's settings, and a run without its pauses."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tag_lease, "_READ_BACK_AFTER", 0.0)
    # moto is in this process, so only botocore's requests reach it.
    monkeypatch.setattr(local_run, "batch_client", lambda connections: sqs_client(connections, retries=False))
    monkeypatch.setattr(move_step, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(whole_run, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr("redrive.domain.runs.tally.WAIT_SECONDS", 1)
    for step in ("move", "clean_up", "plan"):
        monkeypatch.setattr(f"redrive.workflow.{step}.LEASE_SECONDS", 0.5)


@pytest.fixture
def dlq(cloud) -> QueueRef:
    found: QueueRef = cloud.queue("orders-dlq")
    cloud.queue("orders", dlq=found)
    return found


@pytest.fixture
def schema(tmp_path) -> str:
    file = tmp_path / "order.json"
    file.write_text(json.dumps(SCHEMA))
    return str(file)


def moved(capsys, *arguments: str, exit_code: int = 0) -> tuple[dict[str, Any], str]:
    """Move messages; return the report, and what was said."""
    assert run(["move", "--json", "--yes", *arguments]) == exit_code
    out, err = capsys.readouterr()
    return json.loads(out)["report"] if out else {}, err


def bodies(cloud, name: str) -> list[str]:
    return sorted(message["Body"] for message in cloud.take_all(cloud.queues.find(name)))


def test_all_messages_go_back_to_where_they_came_from(cloud, dlq, capsys):
    time.sleep(0.01)
    cloud.send(dlq, [f"body-{n}" for n in range(60)])
    report, said = moved(capsys, "orders-dlq", "--rate", "500")
    assert (report["status"], report["counts"]["redriven"], report["counts"]["remaining"]) == ("SUCCEEDED", 60, 0)
    assert report["runId"].startswith("move-")
    assert bodies(cloud, "orders") == sorted(f"body-{n}" for n in range(60))
    assert "Invalid messages stay where they are" in said
    assert cloud.queues.tags(dlq) == {}


def test_invalid_messages_stay_without_a_quarantine_and_go_there_with_one(cloud, dlq, schema, capsys):
    cloud.send(dlq, [VALID] * 5 + [INVALID] * 3)
    report, _ = moved(capsys, "orders-dlq", "--contract", schema)
    assert (report["counts"]["redriven"], report["counts"]["skipped"]) == (5, 3)
    # They are visible again.
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (3, 0)

    other = cloud.queue("invalid")
    report, said = moved(capsys, "orders-dlq", "--contract", f"orders={schema}", "--quarantine", "invalid")
    assert report["quarantineReasons"] == {"invalid-body": 3}
    assert len(bodies(cloud, "invalid")) == 3
    assert cloud.visible(dlq) == 0
    assert f"{other.name} keeps messages for 4 days only" in said


def test_a_quarantine_is_created_encrypted_and_used_again(cloud, dlq, schema, capsys):
    for _ in range(2):
        cloud.send(dlq, [INVALID])
        report, _ = moved(capsys, "orders-dlq", "--contract", schema, "--create-quarantine")
        assert report["counts"]["quarantined"] == 1
    found = cloud.queues.find("redrive-quarantine")
    attributes = cloud.sqs.get_queue_attributes(QueueUrl=found.url, AttributeNames=["All"])["Attributes"]
    assert (attributes["MessageRetentionPeriod"], attributes["SqsManagedSseEnabled"]) == ("1209600", "true")
    [statement] = json.loads(attributes["Policy"])["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Deny", found.arn)
    assert cloud.queues.tags(found) == {"created-by": "redrive move"}


def test_a_queue_of_the_quarantines_name_that_somebody_else_made_is_not_used(cloud, dlq, capsys):
    cloud.queue("redrive-quarantine")
    cloud.send(dlq, [INVALID])
    _, said = moved(capsys, "orders-dlq", "--create-quarantine", exit_code=4)
    assert "--quarantine redrive-quarantine" in said
    assert cloud.visible(dlq) == 1


def test_a_fifo_queue_keeps_its_order_and_its_invalid_messages_go_to_a_standard_queue(cloud, schema, capsys):
    dlq = cloud.queue("orders-dlq.fifo")
    orders = cloud.queue("orders.fifo", dlq=dlq)
    cloud.queue("invalid")
    entries = [
        {"MessageBody": json.dumps({"order_id": n} if n % 4 else {"n": n}), "MessageGroupId": f"g{n % 2}"}
        for n in range(12)
    ]
    cloud.send(dlq, [entry | {"MessageDeduplicationId": str(n)} for n, entry in enumerate(entries)])
    report, _ = moved(capsys, "orders-dlq.fifo", "--contract", schema, "--quarantine", "invalid")
    assert (report["counts"]["redriven"], report["counts"]["quarantined"]) == (9, 3)
    received = cloud.take_all(orders)
    for group in ("g0", "g1"):
        of_group = [json.loads(m["Body"])["order_id"] for m in received if m["Attributes"]["MessageGroupId"] == group]
        assert of_group == sorted(of_group)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "expected"),
    [
        (["orders-dlq", "--quarantine", "invalid.fifo"], 4, "is a FIFO queue"),
        (["orders-dlq", "--quarantine", "orders"], 4, "its consumer would receive the invalid ones"),
        (["orders-dlq", "--quarantine", "nowhere"], 4, "there is no queue nowhere"),
        (["orders-dlq", "--quarantine", "a", "--create-quarantine"], 2, "not both"),
        (["orders-dlq", "--on-invalid", "quarantine"], 2, "--create-quarantine"),
        (["orders-dlq", "--dry-run"], 2, "redrive plan"),
        (["order-dlq"], 4, "Did you mean orders-dlq"),
        (["orders"], 4, "redrive look orders-dlq"),
        (["orders-dlq", "--destination", "orders-dlq"], 4, "its own destination"),
        (["orders-dlq", "--rate", "0"], 2, "rate"),
        (["orders-dlq", "--resume"], 4, "No run on orders-dlq was interrupted"),
        (["--resume"], 2, "redrive move QUEUE --resume"),
        (["orders-dlq", "--resume", "--rate", "5"], 2, "pass none of them with --resume"),
        (["orders-dlq", "--contract", "nowhere.json"], 2, "can't be read"),
        (["orders-dlq", "--trusted-destinations", "arn:aws:sqs:us-east-1:123456789012:nowhere"], 4, "no queue"),
        (["orders-dlq", "--state", "/dev/null/runs.db"], 1, "--state"),
        (["orders-dlq", "--state", "/proc/runs.db"], 1, "--state"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_moves(cloud, dlq, capsys, arguments, exit_code, expected):
    cloud.queue("invalid.fifo")
    cloud.send(dlq, ["1"])
    cloud.calls.clear()
    report, said = moved(capsys, *arguments, exit_code=exit_code)
    assert expected in said + str(report.get("reason"))
    assert "Traceback" not in said
    assert not {"sqs:SendMessage", "sqs:DeleteMessage"} & set(cloud.calls)
    assert (cloud.visible(dlq), cloud.queues.tags(dlq)) == (1, {})


def test_without_yes_and_without_a_terminal_nothing_moves(cloud, dlq, capsys):
    cloud.send(dlq, ["1"])
    assert run(["move", "orders-dlq"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert cloud.visible(dlq) == 1


@pytest.mark.parametrize(
    ("typed", "arguments", "exit_code"),
    [
        ("orders-dlq\n", [], 0),
        ("orders\n", [], 1),
        ("y\n", [], 1),
        ("y\n", ["--max-messages", "2"], 0),
        ("n\n", ["--max-messages", "2"], 1),
        ("", [], 130),
    ],
)
def test_an_operator_confirms_and_types_the_queues_name_if_nothing_limits_the_run(
    cloud, dlq, capsys, monkeypatch, typed, arguments, exit_code
):
    keyboard, screen = os.openpty()
    os.write(keyboard, typed.encode() or b"\x04")
    with os.fdopen(screen, "r") as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        cloud.send(dlq, ["1", "2"])
        assert run(["move", "orders-dlq", *arguments]) == exit_code
    os.close(keyboard)
    assert cloud.visible(dlq) == (0 if exit_code == 0 else 2)
    found = capsys.readouterr()
    assert "Plan for orders-dlq" in found.err


# Who else moves the same queue


def test_a_run_of_another_machine_is_respected_until_its_lease_ends(cloud, dlq, capsys):
    cloud.send(dlq, ["1"])
    for seconds, exit_code in ((60, 4), (-60, 0)):
        until = time.time() + seconds
        lease = Lease("move-9", "annas-laptop", datetime.fromtimestamp(until, UTC))
        cloud.sqs.tag_queue(QueueUrl=dlq.url, Tags={LEASE_TAG: lease.to_tag()})
        report, said = moved(capsys, "orders-dlq", exit_code=exit_code)
        assert report["status"] == ("REJECTED" if exit_code else "SUCCEEDED")
        if exit_code:
            assert "annas-laptop" in report["reason"]
            assert cloud.visible(dlq) == 1
    assert "Traceback" not in said


def test_of_two_runs_on_this_machine_one_is_refused(cloud, dlq, capsys, monkeypatch):
    cloud.send(dlq, [str(n) for n in range(20)])
    ended: list[int] = []
    second = threading.Thread(target=lambda: ended.append(run(["move", "orders-dlq", "--yes", "--quiet"])))
    # Signals are handled in the main thread only.
    monkeypatch.setattr("redrive.command.interrupts._SIGNALS", ())
    original = move_step.Mover.move

    def meanwhile(self, *arguments):
        if not second.is_alive() and not ended:
            second.start()
            second.join()
        return original(self, *arguments)

    monkeypatch.setattr(move_step.Mover, "move", meanwhile)
    assert run(["move", "orders-dlq", "--yes"]) == 0
    assert ended == [4]
    said = capsys.readouterr().err
    assert "is moving messages of orders-dlq, in another terminal" in said
    assert "was interrupted" not in said
    assert len(bodies(cloud, "orders")) == 20


def test_a_run_whose_lease_is_taken_stops_before_it_moves_more(cloud, dlq, capsys, monkeypatch):
    monkeypatch.setattr(tag_lease, "_LOOKS_EVERY", 0.2)
    cloud.send(dlq, [str(n) for n in range(40)])
    sent = 0

    def steal(params, **_):
        nonlocal sent
        sent += len(params["Entries"])
        until = datetime.fromtimestamp(time.time() + 60, UTC)
        cloud.sqs.tag_queue(QueueUrl=dlq.url, Tags={LEASE_TAG: Lease("move-9", "annas-laptop", until).to_tag()})

    with on_request("SendMessageBatch", steal):
        report, _ = moved(capsys, "orders-dlq", "--rate", "20", exit_code=1)
    assert report["status"] == "FAILED"
    assert "Another run has taken orders-dlq" in report["reason"]
    delivered = len(bodies(cloud, "orders"))
    assert 0 < delivered <= sent < 40
    # What was sent after the last checkpoint isn't counted.
    assert report["counts"]["redriven"] <= delivered <= report["counts"]["redriven"] + report["unaccounted"]
    assert cloud.visible(dlq) == 40 - delivered
    assert "annas-laptop" in cloud.queues.tags(dlq)[LEASE_TAG]


def on_request(operation: str, call: Any) -> AbstractContextManager[None]:
    """Call something before each request of an operation."""
    return hook(f"provide-client-params.sqs.{operation}", call)


def fails(code: str, when: Any = lambda: True) -> Any:
    def fail(**_: Any) -> None:
        if when():
            raise ClientError({"Error": {"Code": code, "Message": ""}}, "Anything")

    return fail


# Stopped and resumed


def test_ctrl_c_once_stops_at_the_next_safe_point(cloud, dlq, capsys):
    cloud.send(dlq, [str(n) for n in range(60)])
    interrupted = False

    def interrupt(**_):
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            os.kill(os.getpid(), signal.SIGINT)

    with on_request("SendMessageBatch", interrupt):
        report, _ = moved(capsys, "orders-dlq", "--rate", "20", exit_code=5)
    assert report["status"] == "STOPPED"
    redriven = report["counts"]["redriven"]
    assert 0 < redriven < 60
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (60 - redriven, 0)
    assert (len(bodies(cloud, "orders")), cloud.queues.tags(dlq)) == (redriven, {})
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_that_is_stopped_while_it_samples_moves_nothing(cloud, dlq, capsys):
    cloud.send(dlq, [str(n) for n in range(30)])
    looks = 0

    def interrupt(**_):
        nonlocal looks
        looks += 1
        # The first looks are those of the plan that is shown.
        if looks == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with on_request("ReceiveMessage", interrupt):
        report, _ = moved(capsys, "orders-dlq", "--sample-size", "30", exit_code=5)
    assert (report["status"], report["counts"]["redriven"]) == ("STOPPED", 0)
    assert (cloud.visible(dlq), cloud.invisible(dlq), cloud.queues.tags(dlq)) == (30, 0, {})


def test_credentials_that_expire_suspend_the_run_and_others_go_on_with_it(cloud, dlq, capsys, monkeypatch, schema):
    # Nothing that fails by then can be in hand anymore.
    monkeypatch.setattr("redrive.command.local_run.VISIBILITY_SECONDS", 3)
    monkeypatch.setattr(move_step, "VISIBILITY_SECONDS", 3)
    cloud.send(dlq, [VALID] * 40 + [INVALID] * 3)
    sent = 0
    expired = False

    def count(params, **_):
        nonlocal sent, expired
        sent += len(params["Entries"])
        expired = sent >= 15

    fail = fails("ExpiredToken", lambda: expired)
    with on_request("SendMessageBatch", count), hook("before-call", fail):
        report, said = moved(capsys, "orders-dlq", "--rate", "50", "--contract", schema, exit_code=1)
    assert report == {}
    assert "The AWS credentials have expired" in said
    assert "redrive move orders-dlq --resume" in said
    assert "Traceback" not in said

    make_visible(dlq)
    report, said = moved(capsys, "orders-dlq", "--resume")
    assert "Resuming the run" in said
    assert report["status"] == "SUCCEEDED"
    assert (report["counts"]["skipped"], cloud.queues.tags(dlq)) == (3, {})
    assert len(set_of(cloud)) == 40
    assert report["counts"]["redriven"] + report["unaccounted"] >= 40


def set_of(cloud: Any) -> set[str]:
    """Return the ids that the messages had in the dead-letter queue."""
    found = cloud.take_all(cloud.queues.find("orders"))
    return {json.loads(message["MessageAttributes"]["redrive"]["StringValue"])["id"] for message in found}


def make_visible(queue: QueueRef) -> None:
    """Let the visibility timeout of all messages end."""
    for message in sqs_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].queues[queue.name]._messages:
        message.change_visibility(0)


def test_a_full_disk_in_the_middle_of_a_run_settles_it(cloud, dlq, capsys, monkeypatch):
    cloud.send(dlq, [str(n) for n in range(60)])
    full = False
    write = LocalTable._write

    def check(self, item):
        if full:
            raise OSError(28, "No space left on device")
        write(self, item)

    def fill(**_):
        nonlocal full
        full = True

    monkeypatch.setattr(LocalTable, "_write", check)
    with on_request("SendMessageBatch", fill):
        report, said = moved(capsys, "orders-dlq", "--rate", "40", exit_code=1)
    full = False
    assert report == {}
    assert "No space left on device" in said
    assert "--resume" in said
    # What was in hand is back, and what was sent is gone.
    sent = len(bodies(cloud, "orders"))
    assert 0 < sent < 60
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (60 - sent, 0)
    report, _ = moved(capsys, "orders-dlq", "--resume")
    assert report["status"] == "SUCCEEDED"
    assert cloud.visible(dlq) == 0


def test_what_a_run_knows_has_no_text_of_a_message(cloud, dlq, schema, capsys, tmp_path):
    mark = "zqxj-secret"
    cloud.send(dlq, [json.dumps({"order_id": mark}), json.dumps({mark: 1})] * 5)
    moved(capsys, "orders-dlq", "--contract", schema)
    for file in (tmp_path / "home").rglob("*"):
        assert not file.is_file() or mark.encode() not in file.read_bytes()


def test_an_interrupted_run_is_taken_over_by_a_new_one(cloud, dlq, capsys, monkeypatch, schema):
    cloud.send(dlq, [INVALID] * 4 + [VALID] * 30)
    with monkeypatch.context() as patched:
        patched.setattr(LocalRun, "_tally", interrupt)
        with pytest.raises(Killed):
            run(["move", "orders-dlq", "--yes", "--contract", schema])
    capsys.readouterr()
    assert cloud.invisible(dlq) == 4
    report, said = moved(capsys, "orders-dlq", "--contract", schema, "--quiet")
    assert "was interrupted" in said
    assert (report["counts"]["skipped"], report["status"]) == (4, "SUCCEEDED")
    assert (cloud.visible(dlq), cloud.invisible(dlq), cloud.queues.tags(dlq)) == (4, 0, {})
    assert run(["move", "orders-dlq", "--resume"]) == 4


class Killed(BaseException):
    """What ends a process, for whoever looks from within it."""


def interrupt(*_: Any) -> None:
    raise Killed


STEPS = ["_plan", "_sample", "_move", "_tally", "_clean_up", "_report"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("done", [False, True])
def test_a_run_that_was_interrupted_in_any_step_goes_on(cloud, dlq, capsys, monkeypatch, schema, step, done):
    cloud.send(dlq, [VALID] * 20 + [INVALID] * 3)
    original = getattr(LocalRun, step)

    def interrupted(self, *arguments):
        if done:
            original(self, *arguments)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(LocalRun, step, interrupted)
        with pytest.raises(Killed):
            run(["move", "orders-dlq", "--yes", "--contract", schema])
    capsys.readouterr()
    monkeypatch.setattr("redrive.workflow.sample._WAIT_SECONDS", 0.01)
    report, said = moved(capsys, "orders-dlq", "--resume", exit_code=4 if (step, done) == ("_plan", False) else 0)
    if report:
        assert (report["status"], report["counts"]["redriven"], report["counts"]["skipped"]) == ("SUCCEEDED", 20, 3)
        assert (len(bodies(cloud, "orders")), cloud.visible(dlq), cloud.queues.tags(dlq)) == (20, 3, {})
        assert run(["move", "orders-dlq", "--resume"]) == 4
    else:
        assert "No run on orders-dlq was interrupted" in said


def test_a_resumed_run_that_another_machine_has_overtaken_moves_nothing(cloud, dlq, capsys, monkeypatch):
    cloud.send(dlq, ["1"])
    with monkeypatch.context() as patched:
        patched.setattr(LocalRun, "_sample", interrupt)
        with pytest.raises(Killed):
            run(["move", "orders-dlq", "--yes"])
    capsys.readouterr()
    until = datetime.fromtimestamp(time.time() + 60, UTC)
    cloud.sqs.tag_queue(QueueUrl=dlq.url, Tags={LEASE_TAG: Lease("move-9", "annas-laptop", until).to_tag()})
    _, said = moved(capsys, "orders-dlq", "--resume", exit_code=4)
    assert "annas-laptop" in said
    assert cloud.visible(dlq) == 1


def test_the_page_of_a_run_is_written_to_a_file(cloud, dlq, capsys, tmp_path):
    cloud.send(dlq, ["1"] * 3)
    moved(capsys, "orders-dlq", "--html", str(tmp_path / "run.html"))
    page = (tmp_path / "run.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "orders-dlq" in page


@pytest.mark.parametrize("name", ["sqs-redrive", "redrive-of-orders"])
def test_a_stack_that_covers_the_queue_is_named(cloud, dlq, capsys, name):
    outputs = {
        "Version": VERSION,
        "RedriveStateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:redrive",
        "RunTableName": "runs",
        "StopFunctionName": "stop",
        "QuarantineQueueUrl": "https://q/redrive-quarantine",
        "ReportTopicArn": "topic",
    }
    cloud.stack("sqs-redrive", outputs, QueueNamePattern="payments*")
    cloud.stack("older", outputs | {"Version": "0.1.0"}, QueueNamePattern="orders*")
    cloud.send(dlq, ["1"])
    moved(capsys, "orders-dlq")
    cloud.stack(name, outputs, QueueNamePattern="o*-dlq,payments")
    cloud.send(dlq, ["1"])
    _, said = moved(capsys, "orders-dlq", exit_code=4)
    stack = "" if name == "sqs-redrive" else f" --stack {name}"
    assert f"redrive start orders-dlq{stack}\n" in said
    assert cloud.visible(dlq) == 1
    moved(capsys, "orders-dlq", "--without-stack")


def test_if_stacks_cannot_be_looked_up_the_operator_decides(cloud, dlq, capsys):
    cloud.send(dlq, ["1"])
    with hook("before-call.cloudformation.DescribeStacks", fails("AccessDenied")):
        _, said = moved(capsys, "orders-dlq", exit_code=1)
        assert "--without-stack" in said
        moved(capsys, "orders-dlq", "--without-stack")


def test_a_fast_run_has_one_lane_in_every_round(cloud, dlq, capsys, monkeypatch):
    works: list[Any] = []
    in_slice = LocalRun._move
    monkeypatch.setattr(LocalRun, "_move", lambda run, plan, work: works.append(work) or in_slice(run, plan, work))
    monkeypatch.setattr(local_run, "SLICE_SECONDS", 0.2)
    # Too many messages for one slice at this rate, on any machine. In a stack, this run would have two lanes.
    monkeypatch.setattr("redrive.domain.runs.tally.LANE_MESSAGES", 1)
    cloud.send(dlq, ["1"] * 400)
    report, _ = moved(capsys, "orders-dlq", "--rate", "900")
    assert report["counts"]["redriven"] == 400
    assert len(works) > 1
    assert {(work.lane, work.lanes, work.rate) for work in works} == {(0, 1, 900)}


def test_a_long_or_fast_run_is_recommended_to_a_stack(cloud, dlq, capsys, monkeypatch):
    cloud.send(dlq, ["1"] * 95)
    _, said = moved(capsys, "orders-dlq", "--rate", "0.1", "--max-messages", "1")
    assert "stack" not in said.lower()
    with on_request("SendMessageBatch", lambda **_: os.kill(os.getpid(), signal.SIGINT)):
        _, said = moved(capsys, "orders-dlq", "--rate", "0.1", exit_code=5)
    assert "about 15 min" in said
    assert "A stack runs without this computer" in said
    _, said = moved(capsys, "orders-dlq", "--rate", "600", "--max-messages", "1")
    assert "One computer's speed depends on" not in said
    monkeypatch.setattr("redrive.command.move.LANE_MESSAGES", 50)
    _, said = moved(capsys, "orders-dlq", "--rate", "600")
    assert "One computer's speed depends on" in said


@pytest.mark.parametrize("off", [-600, 600])
def test_a_run_begins_by_the_clock_of_aws_if_this_one_is_wrong(cloud, dlq, capsys, monkeypatch, off):
    monkeypatch.setattr("redrive.adapters.account.aws_time", lambda _: datetime.now(UTC))

    class Wrong(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(seconds=off)

    for module in ("adapters.account", "command.move"):
        monkeypatch.setattr(f"redrive.{module}.datetime", Wrong)
    cloud.send(dlq, ["before"] * 3)
    time.sleep(0.01)

    def bounce(params, **_):
        if params["QueueUrl"].endswith("/orders") and not bounced:
            bounced.append(1)
            cloud.send(dlq, ["after"])

    bounced: list[int] = []
    with on_request("SendMessageBatch", bounce):
        report, _ = moved(capsys, "orders-dlq", "--rate", "1", "--max-messages", "4", "--sample-size", "1", exit_code=0)
    assert report["counts"]["redriven"] == 3
    assert report["skipReasons"] == {"arrived-after-start": 1}


@pytest.mark.usefixtures("dlq")
@pytest.mark.parametrize("page", ["x" * 300, "with\0zero", ".", "no/such/folder/page.html", "pyproject.toml/page.html"])
def test_a_page_that_cannot_be_written_is_refused_before_anything_is_received(cloud, capsys, page):
    cloud.calls.clear()
    assert run(["move", "orders-dlq", "--yes", "--html", page]) == 2
    assert "--html" in capsys.readouterr().err
    assert cloud.calls == []
