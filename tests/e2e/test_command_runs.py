"""Runs that are started, watched, and stopped from a terminal, on the embedded cloud."""

import json

from tests.support.terminal import Terminal, in_pipe, without_reader


def test_a_run_is_started_in_a_terminal_and_watched_until_its_report(app):
    pair = app.pair("started")
    app.bury(pair, [{"MessageBody": json.dumps({"number": number, "secret": "zqxj"})} for number in range(40)])
    terminal = Terminal(app, "start", pair.dlq.name, "--rate", "20", "--watch", columns=40)
    terminal.until("type the queue's name")
    assert "about 40 messages" in terminal.screen
    assert "zqxj" not in terminal.screen
    terminal.type(pair.dlq.name)
    code, shown = terminal.ended()
    assert code == 0, shown
    assert "of about 40 moved" in shown
    assert f"Redrive of {pair.dlq.name}: SUCCEEDED" in " ".join(shown.split())
    report = shown[shown.index("SUCCEEDED") :]
    assert ["40", "redriven"] in [line.split() for line in report.splitlines()]
    assert max(map(len, report.splitlines())) <= 40
    assert app.depth(pair.source) == 40


def test_a_run_goes_on_without_its_watchers_and_is_stopped(app):
    pair = app.pair("stopped")
    app.bury(pair, [{"MessageBody": "{}"}] * 60)
    started = in_pipe(app, "start", pair.dlq.name, "--rate", "0.5", "--yes")
    assert started.returncode == 0, started.stderr
    run = started.stdout.strip()

    again = in_pipe(app, "start", pair.dlq.name, "--yes")
    assert again.returncode == 4
    assert f"The run {run}" in again.stderr

    watching = Terminal(app, "watch", run)
    watching.until("of about 60 moved")
    watching.interrupt()
    code, shown = watching.ended()
    assert code == 130, shown
    assert "The run continues." in shown

    stopped = in_pipe(app, "stop", pair.dlq.name)
    assert stopped.returncode == 0, stopped.stderr
    assert f"Redrive of {pair.dlq.name}: STOPPED" in stopped.stdout
    assert app.depth(pair.dlq) + app.depth(pair.source) == 60

    ended = in_pipe(app, "watch", run, "--json")
    assert ended.returncode == 5
    assert json.loads(ended.stdout)["report"]["runId"] == run


def test_a_reader_that_stops_reading_the_report_is_no_error(app):
    pair = app.pair("unread")
    app.bury(pair, [{"MessageBody": "{}"}])
    assert without_reader(app, "start", pair.dlq.name, "--yes", "--watch", "--quiet") == (0, "")
    assert app.depth(pair.source) == 1


def test_a_plan_knows_the_contracts_of_the_stack_and_what_its_runs_wrote(app):
    pair = app.store_events
    app.bury(pair, [{"MessageBody": '{"zqxj": 1}'}])
    started = in_pipe(app, "start", pair.dlq.name, "--yes", "--watch")
    assert started.returncode == 0, started.stderr
    assert ["100%", "quarantined:"] in [line.split()[:2] for line in started.stderr.splitlines()]
    assert any(line.split()[:2] == ["1", "quarantined"] for line in started.stdout.splitlines())

    # Only its attribute, which is believed of this stack's mover, says where a message in quarantine came from.
    back = in_pipe(app, "start", app.quarantine.url, "--yes", "--watch", "--max-messages", "1")
    app.take(app.quarantine)
    assert "no-destination" not in back.stderr
    assert any(line.split()[:2] == ["1", "skipped"] for line in back.stdout.splitlines()), back.stdout + back.stderr
