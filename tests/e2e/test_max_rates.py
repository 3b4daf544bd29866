"""Max rates on the deployed app: over all runs, and for queues first met in mid-run.

When messages arrived is what the emulator's SQS noted as their SentTimestamp.
"""

from typing import Any

from tests.support.app import App, Pair, Queue
from tests.support.eventually import eventually


def limited(app: App, queue: Queue, max_rate: int) -> None:
    app.sqs.tag_queue(QueueUrl=queue.url, Tags={"redrive:max-rate": str(max_rate)})


def numbers(number: int) -> list[dict[str, Any]]:
    return [{"MessageBody": str(n)} for n in range(number)]


def most_in_a_second(messages: list[dict[str, Any]]) -> int:
    arrivals = sorted(int(message["Attributes"]["SentTimestamp"]) for message in messages)
    return max(sum(start <= at < start + 1000 for at in arrivals) for start in arrivals)


def test_two_runs_share_the_max_rate_of_their_destination_and_a_third_learns_who_has_it(app: App):
    target = app.queue("target")
    limited(app, target, 20)
    pairs = [app.pair() for _ in range(3)]
    # More than can arrive before the runs are stopped.
    for pair in pairs[:2]:
        app.send(pair.dlq, numbers(3000))
    app.bury(pairs[2], numbers(1))
    runs: list[str] = []
    for pair, rate in ((pairs[0], 10), (pairs[1], 1000)):
        runs.append(app.start({"dlq": pair.dlq.name, "destination": target.name, "rate": rate}))
        # It has its share once something of its own is gone.
        eventually(lambda pair=pair: app.depth(pair.dlq) < 3000)
    third = app.redrive(pairs[2].dlq, destination=target.name)
    assert third.report["status"] == "REJECTED"
    assert third.report["reason"].startswith(f"{target.name} accepts 20 messages per second in all")
    assert runs[1] in third.report["reason"]
    for pair in pairs[:2]:
        app.invoke("StopFunction", {"dlq": pair.dlq.name})
    ended = [app.ended(run) for run in runs]
    assert [run.report["status"] for run in ended] == ["STOPPED", "STOPPED"]
    assert [run.report["rate"]["ceiling"] for run in ended] == [20, 20]
    arrived = app.take(target)
    assert len(arrived) == sum(run.report["counts"]["redriven"] for run in ended)
    # The max rate, one batch, and one batch per run for what is late on its way.
    assert most_in_a_second(arrived) <= 20 + 4 + 4
    # Both shares are released.
    assert app.redrive(pairs[2].dlq, destination=target.name, rate=1000).report["status"] == "SUCCEEDED"


def test_a_queue_that_only_the_messages_name_keeps_its_max_rate_and_does_not_hold_up_others(app: App):
    dlq, slow, fast = app.queue("dlq"), app.queue("leisurely"), app.queue("fast")
    limited(app, slow, 10)

    def undelivered(target: Queue, number: int) -> list[dict[str, Any]]:
        attributes = {"RULE_ARN": "arn:aws:events:us-east-1:000000000000:rule/r", "TARGET_ARN": target.arn}
        typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        return [{"MessageBody": '{"detail": {}}', "MessageAttributes": typed} for _ in range(number)]

    app.send(dlq, undelivered(slow, 40))
    app.send(dlq, undelivered(fast, 40))
    # Two lanes.
    run = app.redrive(dlq, rate=1000, trustedDestinations=[slow.arn, fast.arn])
    assert run.report["counts"]["redriven"] == 80, run.report["reason"]
    assert (run.report["rate"]["asked"], run.report["rate"]["ceiling"]) == (1000, 10)
    arrived, others = app.take(slow), app.take(fast)
    assert (len(arrived), len(others)) == (40, 40)
    assert most_in_a_second(arrived) <= 10 + 2 + 2
    last = max(int(message["Attributes"]["SentTimestamp"]) for message in arrived)
    assert max(int(message["Attributes"]["SentTimestamp"]) for message in others) < last


def test_a_queue_met_in_mid_run_gets_what_another_run_leaves_of_its_max_rate(app: App):
    pair, dlq, target = app.pair(), app.queue("dlq"), app.queue("shared")
    limited(app, target, 20)
    app.send(pair.dlq, numbers(3000))
    other = app.start({"dlq": pair.dlq.name, "destination": target.name, "rate": 10})
    eventually(lambda: app.depth(pair.dlq) < 3000)
    attributes = {"RULE_ARN": "arn:aws:events:us-east-1:000000000000:rule/r", "TARGET_ARN": target.arn}
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    app.send(dlq, [{"MessageBody": '{"detail": {}}', "MessageAttributes": typed} for _ in range(20)])
    run = app.redrive(dlq, rate=1000, trustedDestinations=[target.arn])
    app.invoke("StopFunction", {"dlq": pair.dlq.name})
    assert app.ended(other).report["status"] == "STOPPED"
    assert run.report["counts"]["redriven"] == 20, run.report["reason"]
    # The max rate, one batch, and one batch for each run of what is late on its way.
    assert most_in_a_second(app.take(target)) <= 20 + 4 + 4


def test_messages_for_a_queue_whose_tag_is_invalid_stay_and_the_others_go(app: App):
    dlq, broken = app.queue("dlq"), app.queue("mistagged")
    app.sqs.tag_queue(QueueUrl=broken.url, Tags={"redrive:max-rate": "slow"})
    attributes = {"RULE_ARN": "arn:aws:events:us-east-1:000000000000:rule/r", "TARGET_ARN": broken.arn}
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    app.send(dlq, [{"MessageBody": '{"detail": {}}', "MessageAttributes": typed}])
    run = app.redrive(dlq, trustedDestinations=[broken.arn])
    assert run.report["skipReasons"] == {"max-rate-invalid": 1}, run.report["reason"]
    assert f"{broken.name}: the tag redrive:max-rate is invalid" in run.report["reason"]
    assert app.depth(dlq) == 1


def test_a_dry_run_reserves_nothing(app: App):
    pair: Pair = app.pair()
    limited(app, pair.source, 20)
    app.bury(pair, numbers(1))
    assert app.redrive(pair.dlq, dryRun=True).report["rate"]["ceiling"] == 20
    assert app.redrive(pair.dlq, rate=1000).report["counts"]["redriven"] == 1
