"""Every handler takes its sample event, does its work, and asks AWS for no more than its role allows."""

import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from pydantic import ValidationError

from chat.webhook import WebhookError
from redrive.adapters.run_table import RunTable
from redrive.domain.errors import RejectedError
from redrive.domain.lane import HeldRecord
from redrive.domain.planning import parse_request
from redrive.domain.runs import RunPlan, SliceResult
from redrive.handlers.task import logger
from tests.support import factories
from tests.support.definitions import Function, functions
from tests.support.moto_cloud import MotoCloud, moto_cloud
from tests.support.rewards import make_rewards
from tests.support.samples import EVENTS, VALUES, load, name_of, sample
from tests.support.webhook_server import Webhook, webhook_server

DEAD_RUN = "arn:aws:states:us-east-1:123456789012:execution:redrive:dead"
BY_SAMPLE = {name_of(function): function for function in functions().values()}


class Home:
    """The account that the sample events are at home in: nine good letters and three without a store."""

    def __init__(self, cloud: MotoCloud, webhook: Webhook) -> None:
        self.cloud = cloud
        self.webhook = webhook
        self.dlq = cloud.queue("store-events-dlq")
        self.queue = cloud.queue("store-events", dlq=self.dlq)
        self.quarantine = cloud.queue("redrive-quarantine")
        self.table = RunTable(cloud.run_table("redrive-runs"))
        cloud.table("store-events", "event_id")
        self.outage("none")
        cloud.queue("email-tasks")
        cloud.table("email-tasks", "id")
        boto3.client("sesv2").create_email_identity(EmailIdentity="no-reply@example.com")
        cloud.table("shipments", "shipment_id")
        self.rewards = make_rewards(cloud)
        boto3.client("sns").create_topic(Name="store-events-notice")
        self.chat_topic = boto3.client("sns").create_topic(Name="redrive-chat")["TopicArn"]

    def outage(self, stores: str) -> None:
        boto3.client("ssm").put_parameter(
            Name="store-events-outage", Value=stores, Type="String", Overwrite=True
        )

    def alarm(self, state: str) -> None:
        name = sample("automatic")["trigger"]["detail"]["alarmName"]
        client = boto3.client("cloudwatch")
        client.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SQS",
            MetricName="ApproximateNumberOfMessagesVisible",
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )
        client.set_alarm_state(AlarmName=name, StateValue=state, StateReason="as the test wants it")

    def fill(self) -> None:
        good = {"MessageBody": factories.store_event(), "MessageAttributes": factories.store_id()}
        self.cloud.send(self.dlq, [good] * 9 + [factories.store_event()] * 3)

    def letters(self) -> int:
        return self.cloud.queues.facts(self.dlq).letters


@pytest.fixture
def home(tmp_path, monkeypatch) -> Iterator[Home]:
    with moto_cloud() as cloud, webhook_server(tmp_path) as webhook:
        monkeypatch.setenv("SSL_CERT_FILE", str(webhook.certificate))
        secret = boto3.client("secretsmanager").create_secret(Name="slack-webhook", SecretString=webhook.url)
        monkeypatch.setitem(VALUES, "SLACK_WEBHOOK_SECRET", secret["ARN"])
        yield Home(cloud, webhook)


Invoke = Callable[..., Any]


@pytest.fixture
def invoke(home) -> Invoke:
    """Return what invokes a function with its sample event, or with another one."""

    def invoked(name: str, event: Any = None) -> Any:
        function = load(BY_SAMPLE[name])
        home.cloud.calls.clear()
        return function(sample(name) if event is None else event)

    return invoked


def plan_in(event: Any) -> RunPlan:
    return RunPlan.model_validate(event["plan"])


def test_every_function_has_a_sample_event():
    assert BY_SAMPLE.keys() <= {path.stem for path in EVENTS.glob("*.json")}


@pytest.mark.parametrize("path", sorted((EVENTS / "executions").glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_of_an_executions_input_can_be_used(path):
    assert parse_request(json.loads(path.read_text())).dlq


# The redrive, step by step


def test_plan_makes_the_plan_and_takes_the_lock(home, invoke):
    home.fill()
    event = sample("plan")
    answer = invoke("plan", event)
    plan = plan_in(answer)
    assert (plan.dlq, plan.sources, plan.waiting, plan.rate) == (home.dlq, (home.queue,), 12, 50)
    assert [lane["rate"] for lane in answer["tally"]["lanes"]] == [50]
    assert home.table.wants_stop(plan) is False  # raises where the run has no lock


def test_plan_refuses_under_the_name_that_the_workflow_catches(invoke):
    event = sample("plan") | {"input": {"dlq": "nowhere"}}
    with pytest.raises(RejectedError, match="there is no queue nowhere"):
        invoke("plan", event)


def test_sample_tells_what_the_letters_are_and_leaves_them_visible(home, invoke):
    home.fill()
    event = sample("sample")
    event["plan"]["sampleSize"] = 100
    answer = invoke("sample", event)
    told = {(group["verdict"], group["reason"]): group["letters"] for group in answer["groups"]}
    assert told == {("redrivable", None): 9, ("quarantined", "missing-attribute"): 3}
    assert home.cloud.visible(home.dlq) == 12


def test_a_sample_that_breaks_off_leaves_the_letters_visible(home, invoke):
    home.fill()
    # A letter that leads to a queue in another region ends the look.
    abroad = {"run": "r", "count": 0, "id": "m", "sent": 0, "source": "arn:aws:sqs:eu-west-1:123456789012:q"}
    attribute = {"DataType": "String", "StringValue": json.dumps(abroad)}
    home.cloud.send(home.dlq, [{"MessageBody": "{}", "MessageAttributes": {"redrive": attribute}}])
    event = sample("sample")
    event["plan"]["sources"] = []
    event["plan"]["sampleSize"] = 100
    with pytest.raises(RejectedError, match="eu-west-1"):
        invoke("sample", event)
    assert home.cloud.visible(home.dlq) == 13


def test_move_returns_what_is_valid_and_quarantines_the_rest(home, invoke):
    home.fill()
    event = sample("move")
    home.table.lock(plan_in(event))
    answer = invoke("move", event)
    assert (answer["redriven"], answer["quarantined"], answer["drained"]) == (9, 3, True)
    assert answer["quarantineReasons"] == {"missing-attribute": 3}
    assert (home.cloud.visible(home.queue), home.cloud.visible(home.quarantine), home.letters()) == (9, 3, 0)


def test_tally_adds_up_and_ends_a_run_whose_queue_is_empty(invoke):
    answer = invoke("tally")
    assert (answer["redriven"], answer["quarantined"], answer["rounds"], answer["next"]) == (
        9,
        3,
        1,
        "settle",
    )


def test_settle_makes_letters_visible_again_and_gives_the_lock_back(home, invoke):
    home.cloud.send(home.dlq, ["late"])
    event = sample("settle")
    plan = plan_in(event)
    home.table.lock(plan)
    (message,) = home.cloud.take_all(home.dlq)
    record = HeldRecord(message["MessageId"], message["ReceiptHandle"], "came-back", failed=False)
    home.table.note_held(plan, factories.work(), [record])
    answer = invoke("settle", event)
    assert (answer["redriven"], answer["skipped"]) == (9, {"came-back": 1})
    assert home.cloud.visible(home.dlq) == 1
    assert home.table.ask_to_stop(home.dlq.arn) is None  # nobody has the queue


def test_settle_gives_the_lock_back_although_the_queue_is_gone(home, invoke):
    event = sample("settle")
    plan = plan_in(event)
    home.table.lock(plan)
    home.table.note_held(plan, factories.work(), [HeldRecord("m-1", "handle", "came-back", failed=False)])
    home.cloud.sqs.delete_queue(QueueUrl=home.dlq.url)
    assert invoke("settle", event)["skipped"] == {"came-back": 1}
    assert home.table.ask_to_stop(plan.dlq.arn) is None


def test_report_tells_how_the_run_ended_in_a_message_that_sns_takes(invoke):
    answer = invoke("report")
    assert answer["report"]["status"] == "SUCCEEDED"
    assert answer["report"]["counts"]["redriven"] == 9
    sns = boto3.client("sns")
    topic = sns.create_topic(Name="reports")["TopicArn"]
    told = answer["notification"]
    assert sns.publish(
        TopicArn=topic,
        Subject=told["subject"],
        Message=told["message"],
        MessageStructure="json",
        MessageAttributes=told["messageAttributes"],
    )["MessageId"]


def test_report_tells_why_a_run_was_refused_before_it_had_a_plan(invoke):
    report = invoke("report", sample("report-refused"))["report"]
    assert (report["status"], report["dlq"]) == ("REJECTED", "store-events")
    assert report["reason"].startswith("store-events is not the dead-letter queue of any queue")


def test_report_goes_out_although_the_queue_is_gone(home, invoke):
    home.cloud.sqs.delete_queue(QueueUrl=home.dlq.url)
    assert invoke("report")["report"]["counts"]["remaining"] == 0


def test_stop_asks_the_run_in_progress_to_end(home, invoke):
    plan = plan_in(sample("move"))
    home.table.lock(plan)
    assert invoke("stop") == {"runId": plan.run_id}
    assert home.table.wants_stop(plan) is True


def test_stop_is_refused_where_no_run_is_in_progress(invoke):
    with pytest.raises(RejectedError, match="No run is moving letters of store-events-dlq"):
        invoke("stop")


def test_a_whole_run_passes_from_handler_to_handler(home, invoke):
    home.fill()
    first = sample("plan")
    planned = invoke("plan", first)
    plan, tally = planned["plan"], planned["tally"]
    # The letters were sent in this very millisecond.
    plan["startedAt"] += 1
    looked = invoke("sample", {"plan": plan})
    while tally["next"] == "move":
        slices = [invoke("move", {"plan": plan, "work": work}) for work in tally["lanes"]]
        tally = invoke("tally", {"plan": plan, "tally": tally, "slices": slices})
    assert tally["next"] == "settle"
    tally = invoke("settle", {"plan": plan, "tally": tally})
    report = invoke("report", {**first, "plan": plan, "sample": looked, "tally": tally, "failure": None})[
        "report"
    ]
    assert report["status"] == "SUCCEEDED"
    assert report["counts"] == {
        "sampled": 10,
        "redriven": 9,
        "repaired": 0,
        "quarantined": 3,
        "skipped": 0,
        "bounced": 0,
        "failed": 0,
        "remaining": 0,
    }
    assert (home.cloud.visible(home.queue), home.cloud.visible(home.quarantine)) == (9, 3)


# Runs that start by themselves


def test_automatic_waits_until_the_alarm_has_lasted_long_enough(invoke):
    event = sample("automatic") | {"progress": {}}
    answer = invoke("automatic", event)
    assert (answer["next"], answer["waitSeconds"]) == ("wait", 300)


def test_automatic_starts_a_run_while_the_alarm_lasts(home, invoke):
    home.alarm("ALARM")
    answer = invoke("automatic")
    assert (answer["next"], answer["run"]["input"]) == ("start", {"rate": 10, "dlq": "store-events-dlq"})


def test_automatic_ends_when_the_alarm_is_over(home, invoke):
    home.alarm("OK")
    assert invoke("automatic")["next"] == "end"


def test_automatic_starts_a_run_by_schedule(home, invoke):
    home.fill()
    answer = invoke("automatic", sample("automatic-schedule"))
    assert (answer["next"], answer["run"]["input"]) == ("start", {"dlq": "store-events-dlq", "rate": 20})


def test_automatic_tells_operators_of_a_schedule_that_names_no_queue(invoke):
    event = sample("automatic-schedule")
    event["trigger"]["input"] = {"rate": 20}
    answer = invoke("automatic", event)
    assert answer["next"] == "tell"
    assert "names no dead-letter queue" in json.loads(answer["notification"]["message"])["email"]


# Chat


def test_webhook_posts_a_report_to_the_url_in_the_secret(home, invoke):
    invoke("webhook")
    assert [posted["text"] for posted in home.webhook.posted] == ["Redrive SUCCEEDED: store-events-dlq"]


def test_webhook_fails_so_that_lambda_tries_again_when_the_message_does_not_get_through(home, invoke):
    home.webhook.answers.append((404, b"no_service", {}))
    with pytest.raises(WebhookError, match="no_service"):
        invoke("webhook")


def test_amazon_q_publishes_a_custom_notification(home, invoke):
    notified = home.cloud.queue("notified")
    boto3.client("sns").subscribe(TopicArn=home.chat_topic, Protocol="sqs", Endpoint=notified.arn)
    invoke("amazon-q")
    (message,) = home.cloud.take_all(notified)
    told = json.loads(json.loads(message["Body"])["Message"])
    assert (told["version"], told["source"]) == ("1.0", "custom")
    assert told["content"]["title"] == "ALARM: redrive-StoreEventsDLQAlarm-1A2B3C4D5E6F"


# Rights and logs


@pytest.mark.parametrize("function", functions().values(), ids=lambda function: function.name)
def test_a_function_asks_for_nothing_that_its_role_does_not_allow(home, invoke, function: Function):
    home.fill()
    home.alarm("ALARM")
    event = sample(name_of(function))
    if "plan" in event and function.module != "redrive.handlers.plan":
        home.table.lock(plan_in(event))
    elif function.module == "redrive.handlers.stop":
        home.table.lock(plan_in(sample("move")))
    else:
        # Somebody else's lock, whose run has ended: Plan asks Step Functions for it.
        home.table.lock(
            plan_in(sample("move")).model_copy(update={"run_id": "dead", "execution_arn": DEAD_RUN})
        )
    invoke(name_of(function), event)
    assert set(home.cloud.calls) <= function.allowed
    assert home.cloud.calls or "tally" in event


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """Return what the redrive's functions log."""
    stream = StringIO()
    handler = logger.registered_handler
    earlier = handler.setStream(stream)
    yield stream
    handler.setStream(earlier)


def test_nothing_of_a_message_is_logged(home, invoke, logged):
    marks = {"ssn_no": "73190001", "name": "73190002"}
    bad = {"MessageBody": factories.store_event(**marks), "MessageAttributes": factories.store_id("73190003")}
    home.cloud.send(home.dlq, [bad])
    event = sample("move")
    home.table.lock(plan_in(event))
    invoke("sample", {"plan": event["plan"]})
    invoke("move", event)
    told = logged.getvalue()
    assert '"message":"slice done"' in told
    assert "7319000" not in told


def test_an_error_that_quotes_an_event_is_logged_by_name_only(invoke, logged):
    with pytest.raises(ValidationError):
        invoke("tally", {"plan": {"secret": "73190001"}, "tally": {}, "slices": []})
    told = logged.getvalue()
    assert '"error":"ValidationError"' in told
    assert "73190001" not in told


# Metrics


def metrics_in(printed: str) -> list[dict[str, Any]]:
    """Return the lines in the embedded metric format, without their times."""
    lines = [json.loads(line) for line in printed.splitlines() if '"_aws"' in line]
    assert all(line["_aws"].pop("Timestamp") for line in lines)
    return lines


def metrics_of(namespace: str, dimensions: dict[str, str], **counts: float) -> dict[str, Any]:
    """Return a line in the embedded metric format."""
    return {
        "_aws": {
            "CloudWatchMetrics": [
                {
                    "Namespace": namespace,
                    "Dimensions": [list(dimensions)],
                    "Metrics": [{"Name": name, "Unit": "Count"} for name in counts],
                }
            ]
        },
        **dimensions,
        **{name: [count] for name, count in counts.items()},
    }


def test_tally_publishes_what_its_round_moved_by_queue(invoke, capsys):
    invoke("tally")
    of_round = metrics_of("Redrive", {"dlq": "store-events-dlq"}, Redriven=9, Quarantined=3)
    assert metrics_in(capsys.readouterr().out) == [of_round]


def test_settle_publishes_what_the_run_left_and_what_no_tally_has_added_up(home, invoke, capsys):
    event = sample("settle")
    plan = plan_in(event)
    records = [
        HeldRecord("m-1", "h-1", "came-back", failed=False),
        HeldRecord("m-2", "h-2", "no-destination", failed=False),
        HeldRecord("m-3", "h-3", "InternalError", failed=True),
    ]
    home.table.note_held(plan, factories.work(), records)
    broken_off = factories.work(round=event["tally"]["rounds"])
    home.table.note_progress(plan, broken_off, SliceResult(redriven=4), in_hand=0)
    invoke("settle", event)
    at_end = {"Redriven": 4, "Quarantined": 0, "Skipped": 2, "Bounced": 1, "Failed": 1}
    assert metrics_in(capsys.readouterr().out) == [
        metrics_of("Redrive", {"dlq": "store-events-dlq"}, **at_end)
    ]


def test_report_publishes_how_the_run_ended(invoke, capsys):
    invoke("report")
    dimensions = {"dlq": "store-events-dlq", "status": "SUCCEEDED"}
    assert metrics_in(capsys.readouterr().out) == [metrics_of("Redrive", dimensions, RunsEnded=1)]


def test_what_was_asked_for_and_refused_does_not_become_a_metric(invoke, capsys):
    invoke("report", sample("report-refused"))
    dimensions = {"dlq": "none", "status": "REJECTED"}
    assert metrics_in(capsys.readouterr().out) == [metrics_of("Redrive", dimensions, RunsEnded=1)]


@pytest.mark.parametrize("step", ["tally", "settle", "report"])
def test_a_step_that_is_tried_again_publishes_nothing_twice(invoke, capsys, step):
    event = sample(step)
    first, again = invoke(step, event), invoke(step, event)
    assert len(metrics_in(capsys.readouterr().out)) == 1
    assert again.keys() == first.keys()


@pytest.mark.parametrize("step", ["tally", "report"])
def test_a_run_goes_on_although_its_metrics_cannot_be_published(invoke, capsys, step):
    boto3.client("dynamodb").delete_table(TableName="redrive-runs")
    assert invoke(step)
    assert metrics_in(capsys.readouterr().out) == []


def test_the_consumer_counts_what_it_processed_and_what_failed_by_queue(invoke, capsys):
    invoke("store-events-consumer")
    counted = metrics_of("QueueConsumers", {"queue": "store-events"}, Processed=1, Failed=1)
    assert metrics_in(capsys.readouterr().out) == [counted]


def test_the_consumer_counts_a_whole_batch_that_failed(home, invoke, capsys):
    home.outage("3,5")
    with pytest.raises(BatchProcessingError):
        invoke("store-events-consumer")
    counted = metrics_of("QueueConsumers", {"queue": "store-events"}, Processed=0, Failed=2)
    assert metrics_in(capsys.readouterr().out) == [counted]


# Store events


def test_the_producer_sends_as_many_events_as_ordered_and_exactly_the_bad_share(home, invoke):
    answer = invoke("store-events-producer")
    assert json.loads(answer["body"]) == {"message": {"status": True, "msg_cnt": 20, "bad_msg": 4}}
    sent = home.cloud.take_all(home.queue)
    assert sum("store_id" not in message["MessageAttributes"] for message in sent) == 4
    assert {json.loads(message["Body"])["event_id"] for message in sent} == {
        f"sample-{n:05}" for n in range(20)
    }


def test_the_consumer_processes_what_is_valid_and_returns_the_rest(invoke):
    answer = invoke("store-events-consumer")
    bad = sample("store-events-consumer")["Records"][1]["messageId"]
    assert answer == {"batchItemFailures": [{"itemIdentifier": bad}]}
    (item,) = boto3.client("dynamodb").scan(TableName="store-events")["Items"]
    assert item == {"event_id": {"S": "sample-00001"}, "store_id": {"N": "3"}}


def test_the_consumer_returns_the_events_of_a_store_whose_back_office_is_down(home, invoke):
    home.outage("3,5")
    with pytest.raises(BatchProcessingError, match="All records failed"):
        invoke("store-events-consumer")
    assert boto3.client("dynamodb").scan(TableName="store-events")["Count"] == 0


def test_what_the_producer_sends_the_consumer_takes(home, invoke):
    invoke("store-events-producer", {"count": 10, "badShare": 0})
    records = [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "eventSource": "aws:sqs",
            "eventSourceARN": home.queue.arn,
            "messageAttributes": {
                name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
                for name, value in message["MessageAttributes"].items()
            },
        }
        for message in home.cloud.take_all(home.queue)
    ]
    assert len(records) == 10
    assert invoke("store-events-consumer", {"Records": records}) == {"batchItemFailures": []}
    assert boto3.client("dynamodb").scan(TableName="store-events")["Count"] == 10


def test_the_notice_tells_by_store_what_a_run_has_quarantined_and_leaves_it_in_the_quarantine(home, invoke):
    notices = home.cloud.queue("notices")
    boto3.client("sns").subscribe(
        TopicArn="arn:aws:sns:us-east-1:123456789012:store-events-notice",
        Protocol="sqs",
        Endpoint=notices.arn,
        Attributes={"FilterPolicy": json.dumps({"stores": ["4"]})},
    )
    personal = {"ssn_no": "73190001", "name": "73190002", "dob": "73190003"}
    invalid = factories.store_event(**personal)
    home.cloud.send(home.dlq, [{"MessageBody": invalid, "MessageAttributes": factories.store_id("4")}] * 2)
    home.cloud.send(home.dlq, [factories.store_event()])
    event = sample("move")
    home.table.lock(plan_in(event))
    assert invoke("move", event)["quarantined"] == 3
    reported = sample("store-events-notice")
    told = json.loads(reported["Records"][0]["Sns"]["Message"])
    reported["Records"][0]["Sns"]["Message"] = json.dumps(told | {"runId": event["plan"]["runId"]})
    assert invoke("store-events-notice", reported) == {"published": True, "found": 3}
    (message,) = home.cloud.take_all(notices)
    assert "7319000" not in message["Body"]
    notice = json.loads(json.loads(message["Body"])["Message"])
    assert {store["store"]: store["letters"] for store in notice["stores"]} == {"4": 2, "unknown": 1}
    assert notice["stores"][0]["problems"]["body.ssn_no: string_pattern_mismatch"] == 2
    assert home.cloud.visible(home.quarantine) == 3


def test_a_run_that_has_quarantined_nothing_gets_no_notice(home, invoke):
    reported = sample("store-events-notice")
    told = json.loads(reported["Records"][0]["Sns"]["Message"])
    told["counts"]["quarantined"] = 0
    reported["Records"][0]["Sns"]["Message"] = json.dumps(told)
    assert invoke("store-events-notice", reported) == {"published": False}
    assert home.cloud.calls == []
