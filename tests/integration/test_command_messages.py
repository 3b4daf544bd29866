"""Single messages: found by id or group, masked unless asked for in clear, exported whole; and left where they are."""

import base64
import json
import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redrive.command.main import run
from redrive.domain.messages.message import NOT_IN_SQS
from tests.support.moto_cloud import moto_cloud

pytestmark = pytest.mark.usefixtures("operator")
MARK = "zqxj"
SCHEMA = "docs/snippets/order.schema.json"


def sent(cloud, dlq, *bodies: str) -> list[str]:
    """Send messages with an attribute each, and return their ids."""
    attributes = {"trace": {"DataType": "Binary", "BinaryValue": b"\xff\x00" + MARK.encode()}}
    found: list[str] = cloud.send(dlq, [{"MessageBody": body, "MessageAttributes": attributes} for body in bodies])
    return found


def test_one_message_is_shown_masked_with_its_verdict(cloud, dlq, capsys):
    [_, wanted, _] = sent(cloud, dlq, "1", json.dumps({"order": MARK}), "3")
    assert run(["messages", "orders-dlq", "--id", wanted]) == 0
    found = capsys.readouterr()
    assert f"Message {wanted}" in found.out
    assert "Verdict      redrivable" in found.out
    assert "<string 4>" in found.out
    assert "Attribute    *: <binary 6>" in found.out
    assert MARK not in found.out + found.err


def test_it_is_in_clear_only_if_asked_for_and_with_a_warning_even_if_quiet(cloud, dlq, capsys):
    body = json.dumps({"order": MARK})
    [wanted] = sent(cloud, dlq, body)
    assert run(["-q", "--json", "messages", "orders-dlq", "--id", wanted, "--clear"]) == 0
    found = capsys.readouterr()
    [shown] = json.loads(found.out)["messages"]
    assert (shown["body"], shown["clear"]) == (body, True)
    assert base64.b64decode(shown["attributes"]["trace"]["BinaryValue"]) == b"\xff\x00" + MARK.encode()
    assert "may contain personal data" in found.err


def test_a_group_is_found_by_the_name_that_look_gives_it(cloud, dlq, capsys):
    [valid, *broken] = sent(cloud, dlq, '{"order_id": "1", "quantity": 1}', "{}", "{}")
    assert run(["look", "orders-dlq", "--contract", SCHEMA]) == 6
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.lstrip().startswith("67%")]
    group = rows[0][-1]
    assert run(["--json", "messages", "orders-dlq", "--contract", SCHEMA, "--group", group, "--limit", "9"]) == 0
    shown = json.loads(capsys.readouterr().out)["messages"]
    assert {each["messageId"] for each in shown} == set(broken)
    assert {each["group"] for each in shown} == {group}
    assert valid not in {each["messageId"] for each in shown}


def test_nothing_is_moved_and_everything_is_visible_again(cloud, dlq, capsys, tmp_path):
    ids = sent(cloud, dlq, *map(str, range(25)))
    assert run(["messages", "orders-dlq", "--id", ids[7]]) == 0
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (25, 0)
    assert run(["export", "orders-dlq", "--to", str(tmp_path / "out")]) == 0
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (25, 0)
    capsys.readouterr()


def test_what_is_not_there_is_said(cloud, dlq, capsys):
    [there] = sent(cloud, dlq, "1")
    assert run(["messages", "orders-dlq", "--id", "gone", "--id", there]) == 6
    assert "Not among the visible messages: gone. It may be in flight" in capsys.readouterr().err
    assert run(["messages", "orders-dlq", "--group", "0a0a0a"]) == 6
    assert (
        "No visible message is in the group 0a0a0a. List the groups: redrive look orders-dlq" in capsys.readouterr().err
    )


@pytest.mark.usefixtures("dlq")
@pytest.mark.parametrize("group", ["", "abc", "ABCDEF", "0a0a0a0", "0a0a0\n"])
def test_what_is_no_group_is_wrong_usage(capsys, group):
    assert run(["messages", "orders-dlq", "--group", group]) == 2
    assert "expected six characters" in capsys.readouterr().err


def test_a_queue_whose_messages_belong_nowhere_can_be_read(cloud, capsys):
    found = cloud.queue("strays")
    [stray] = sent(cloud, found, "1")
    assert run(["messages", "strays", "--id", stray]) == 0
    assert "no-destination" in capsys.readouterr().out
    assert run(["messages", "strays", "--limit", "5"]) == 0
    found = capsys.readouterr()
    assert f"Message {stray}" in found.out
    assert "--dry-run" not in found.err
    noted = {"redrive": {"DataType": "String", "StringValue": "{}"}}
    cloud.send(cloud.queue("quarantine"), [{"MessageBody": "1", "MessageAttributes": noted}])
    assert run(["messages", "quarantine"]) == 0
    assert "redrive start quarantine --dry-run\n" in capsys.readouterr().err
    assert run(["look", "quarantine"]) == 4
    assert "redrive messages quarantine  If it's the quarantine of a stack" in capsys.readouterr().err


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(st.text(min_size=1, max_size=60).filter(lambda text: not NOT_IN_SQS.search(text)), min_size=1))
def test_an_export_has_every_message_as_it_is(bodies, capsys, tmp_path):
    file = tmp_path / "out.jsonl"
    with moto_cloud() as cloud:
        queue = cloud.queue("orders-dlq")
        cloud.queue("orders", dlq=queue)
        cloud.send(queue, bodies)
        assert run(["export", "orders-dlq", "--to", str(file), "--force"]) == 0
    assert sorted(json.loads(line)["body"] for line in file.read_text().split("\n")[:-1]) == sorted(bodies)
    assert capsys.readouterr().out == ""


def test_an_export_is_readable_by_its_owner_only_and_replaces_nothing(cloud, dlq, capsys, tmp_path):
    sent(cloud, dlq, MARK)
    file = tmp_path / "out.jsonl"
    old = os.umask(0)
    try:
        assert run(["export", "orders-dlq", "--to", str(file)]) == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "1 messages are in" in capsys.readouterr().err
    assert run(["export", "orders-dlq", "--to", str(file)]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.usefixtures("dlq")
@pytest.mark.parametrize("file", ["no/such/directory/out", ".", "/dev/null"])
def test_a_file_that_cannot_be_written_is_said_before_anything_is_received(cloud, capsys, file):
    cloud.calls.clear()
    assert run(["export", "orders-dlq", "--to", file]) == 2
    assert "--to: " in capsys.readouterr().err
    assert "sqs:ReceiveMessage" not in cloud.calls


def test_an_export_that_fails_leaves_no_file(cloud, capsys, tmp_path):
    cloud.queue("orders")
    assert run(["export", "order", "--to", str(tmp_path / "out")]) == 4
    assert list(tmp_path.iterdir()) == []
    capsys.readouterr()


def test_an_export_of_some_messages_goes_to_standard_output(cloud, dlq, capsys):
    [first, second, _] = sent(cloud, dlq, "1", "2", "3")
    assert run(["export", "orders-dlq", "--to", "-", "--id", first, "--id", second]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {json.loads(line)["messageId"] for line in lines} == {first, second}
