"""`redrive plan`: the forecast of a run with the same options, and nothing moves."""

import json

import pytest

from redrive.command.main import run

pytestmark = pytest.mark.usefixtures("operator")


def test_a_plan_says_what_a_run_would_do_and_moves_nothing(cloud, dlq, capsys):
    cloud.send(dlq, [json.dumps({"total": number}) for number in range(30)])
    cloud.calls.clear()
    assert run(["plan", "orders-dlq", "--full-scan", "--rate", "5", "--select-jmespath", "total > `9`"]) == 0
    found = capsys.readouterr()
    rows = [line.split() for line in found.out.splitlines()]
    assert ["20", "redrive"] in rows
    assert ["10", "skip", "not-selected"] in rows
    assert "Takes        about 4 s" in found.out
    assert "--select-jmespath 'total > `9`'" in found.out
    for verb in ("start", "move"):
        assert f"redrive {verb} orders-dlq --rate 5 --full-scan --select-jmespath 'total > `9`'" in found.err
    assert (cloud.visible(dlq), cloud.invisible(dlq)) == (30, 0)
    assert not {"sqs:SendMessage", "sqs:DeleteMessage"} & set(cloud.calls)


def test_the_rate_that_a_queue_declares_and_the_limit_count(cloud, dlq, capsys):
    cloud.sqs.tag_queue(QueueUrl=cloud.queues.find("orders").url, Tags={"redrive:max-rate": "2"})
    cloud.send(dlq, ["1"] * 12)
    assert run(["plan", "orders-dlq", "--rate", "5", "--max-messages", "6", "--full-scan"]) == 0
    shown = capsys.readouterr().out
    assert "2 messages per second (requested 5, but a receiving queue allows no more)" in shown
    assert "Takes        about 3 s" in shown


def test_a_plan_is_there_as_json(cloud, dlq, capsys):
    cloud.send(dlq, ["1"] * 4)
    assert run(["plan", "orders-dlq", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == 1
    assert document["input"] == {"dlq": "orders-dlq"}
    assert document["report"]["forecast"]["messages"] == 4
    assert document["seconds"] == pytest.approx(4 / 50)


@pytest.mark.usefixtures("dlq")
def test_an_empty_queue_is_said(capsys):
    assert run(["plan", "orders-dlq"]) == 0
    assert "It is empty." in capsys.readouterr().out


@pytest.mark.usefixtures("dlq")
@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["order-dlq"], 4, "There is no queue order-dlq in us-east-1. Did you mean orders-dlq"),
        (["orders-dlq", "--destination", "order"], 4, "There is no queue order in us-east-1. Did you mean orders"),
        (["orders"], 4, "redrive look orders-dlq"),
        ([], 2, "Name the dead-letter queue"),
        (["orders-dlq", "--rate", "0"], 2, "rate: expected a number from 0.1 to 10000, found 0"),
    ],
)
def test_what_a_run_would_be_rejected_for_is_said(capsys, arguments, code, expected):
    assert run(["plan", *arguments]) == code
    assert expected in capsys.readouterr().err
