"""The command in a real terminal, on the embedded cloud."""

import json
import re
import sys
from contextlib import suppress
from typing import Any

import pytest

from tests.support.terminal import Terminal, in_pipe, without_reader


@pytest.fixture
def filled(app) -> Any:
    pair = app.pair("looked-at")
    app.send(pair.dlq, [{"MessageBody": json.dumps({"number": number, "secret": "zqxj"})} for number in range(30)])
    return pair


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_a_terminal_shows_what_is_in_a_queue_within_its_width(app, filled, columns):
    code, shown = Terminal(app, "look", filled.dlq.name, columns=columns).ended()
    assert code == 0, shown
    assert "zqxj" not in shown
    rows = [line.rstrip() for line in shown.splitlines() if re.search("SHARE|100%", line)]
    assert len(rows) == 2
    assert max(map(len, rows)) <= columns
    assert app.visible(filled.dlq) == 30


def test_a_pipe_gets_whole_lines_without_styles(app, filled):
    done = in_pipe(app, "queues", "--no-peek")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert any(line.split()[:2] == [filled.dlq.name, "30"] for line in done.stdout.splitlines())


def test_queues_are_listed_without_models_of_runs(app, filled):
    done = in_pipe(app, "queues", PYTHONPROFILEIMPORTTIME="1")
    assert filled.dlq.name in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"botocore", "redrive.adapters.latest_runs", "rich.text"} <= imported
    assert not imported & {"pydantic", "redrive.domain.model", "redrive.workflow"}


def test_a_reader_that_stops_reading_is_no_error(app):
    assert without_reader(app, "queues", "--all", "--no-peek", "--quiet") == (0, "")


NO_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, "AWS can't be reached"),
        ({"AWS_PROFILE": "no-such-profile"}, "aws configure list-profiles"),
        (NO_CREDENTIALS | {"HOME": "/nowhere"}, "No AWS credentials were found"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "HOME": "/nowhere"}, "--region"),
    ],
)
def test_an_environment_that_leads_nowhere_is_said_in_one_line(app, changes, expected):
    done = in_pipe(app, "queues", **changes)
    assert done.returncode == 1
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_bash_completes_commands_options_and_queues(app, tmp_path):
    queue = app.queue("completed-by-bash").name
    program = tmp_path / "redrive"
    program.write_text(f"#!{sys.executable}\nfrom redrive.command.main import main\nmain()\n")
    program.chmod(0o755)
    shell = Terminal(app, columns=160, command=["bash", "--norc", "--noprofile", "-i"])
    shell.type(f'PS1="$ "; PATH={tmp_path}:$PATH; eval "$(redrive completion bash)"; echo ready "now"')
    shell.until("ready now")
    for typed, completed in [("redrive qu", "redrive queues "), ("redrive look --fu", "redrive look --full ")]:
        shell.press(f"{typed}\t")
        shell.until(completed)
        shell.press("\x15")
    # No other queue's name begins like this.
    shell.press(f"redrive look {queue.partition('-by')[0]}")
    # On a busy machine, SQS may not answer the first attempts in time.
    for _ in range(5):
        shell.press("\t")
        with suppress(AssertionError):
            shell.until(f"redrive look {queue} ", seconds=6)
            break
    else:
        shell.until(f"redrive look {queue} ")
    # Without credentials, no error disturbs the prompt.
    shell.press("\x15")
    shell.type("AWS_ACCESS_KEY_ID= AWS_SECRET_ACCESS_KEY=")
    shell.press("redrive look ord\t\x15")
    shell.type("exit")
    _, shown = shell.ended()
    assert "Traceback" not in shown
    assert "credentials" not in shown


def test_the_doctor_and_the_runbook_know_what_is_deployed(app, filled):
    examined = in_pipe(app, "doctor", "--json")
    assert examined.returncode == 6, examined.stderr
    document = json.loads(examined.stdout)
    assert document["stack"]["name"]
    found = document["findings"]
    by_check = {finding["check"]: finding for finding in found}
    assert {"credentials", "stack", "runs", "patterns", "contracts", "topics", "consumers"} <= by_check.keys()
    # Nobody has subscribed to the alarms, and the deployed functions can't be imported here.
    assert [one for one in found if one["check"] == "topics" and "alarms" in one["text"]]
    # The tests store some of this deployment's contracts later, and one never.
    assert {one["check"] for one in found if one["severity"] == "problem"} <= {"contracts"}, found

    page = in_pipe(app, "runbook", filled.dlq.name)
    assert page.returncode == 0, page.stderr
    assert f"redrive start {filled.dlq.name} --dry-run" in page.stdout
    of_example = in_pipe(app, "runbook", app.store_events.dlq.name)
    assert "#logsV2:log-groups/log-group/$252F" in of_example.stdout, of_example.stdout
    assert app.visible(filled.dlq) == 30


def test_messages_are_planned_shown_exported_and_moved_without_a_stack(app, filled, tmp_path):
    planned = in_pipe(app, "plan", filled.dlq.name, "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["report"]["sample"]["sampled"] == 30

    exported = in_pipe(app, "export", filled.dlq.name, "--to", str(tmp_path / "all.jsonl"), "--json")
    assert exported.returncode == 0, exported.stderr
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert sorted(json.loads(line["body"])["number"] for line in lines) == list(range(30))

    shown = in_pipe(app, "messages", filled.dlq.name, "--id", lines[0]["messageId"])
    assert shown.returncode == 0, shown.stderr
    assert "zqxj" not in shown.stdout + shown.stderr
    assert app.visible(filled.dlq) == 30

    # The command doesn't know of a stack for this queue.
    options = ["--without-stack", "--rate", "50", "--state", str(tmp_path / "runs.db")]
    terminal = Terminal(app, "move", filled.dlq.name, *options, columns=100)
    terminal.until("type the queue's name")
    terminal.type(filled.dlq.name)
    code, screen = terminal.ended()
    assert code == 0, screen
    assert "SUCCEEDED" in screen
    assert (app.visible(filled.dlq), app.visible(filled.source)) == (0, 30)
