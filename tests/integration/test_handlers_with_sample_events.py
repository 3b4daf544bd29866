"""Every handler processes its sample event and calls only the AWS actions that its role allows."""

import json
import time
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from botocore.exceptions import ClientError, EndpointConnectionError

from chat.webhook import WebhookError
from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.rate_shares import RateShares
from redrive.adapters.run_records import RunRecords
from redrive.adapters.run_table import RunTable
from redrive.adapters.table import dynamodb_client
from redrive.domain.errors import FormatError, RejectedError, UnexpectedError
from redrive.domain.messages.provenance import ATTRIBUTE, Provenance
from redrive.domain.messages.queues import QueueRef
from redrive.domain.moving.results import Counts, SliceResult
from redrive.domain.moving.transitions import HeldRecord
from redrive.domain.page import document
from redrive.domain.plan.request import parse_request
from redrive.domain.plan.run_plan import FORMAT, RunPlan
from redrive.domain.runs.continuation import RunProgress
from redrive.domain.runs.record import RunRecord
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample
from redrive.runtime.task import logger
from redrive.workflow.ports import Checkpoint
from tests.support import factories
from tests.support.definitions import functions
from tests.support.fakes import FakeExecutions
from tests.support.moto_cloud import MotoCloud, moto_cloud
from tests.support.rewards import make_rewards
from tests.support.samples import EVENTS, VALUES, load, sample, samples_of
from tests.support.webhook_server import Webhook, webhook_server

MARK = "zq 7319 <b>"
DEAD_RUN = "arn:aws:states:us-east-1:123456789012:execution:redrive:dead"
BY_SAMPLE = {name: function for function in functions().values() for name in samples_of(function)}


class Home:
    """The account of the sample events."""

    def __init__(self, cloud: MotoCloud, webhook: Webhook) -> None:
        self.cloud = cloud
        self.webhook = webhook
        self.dlq = cloud.queue("store-events-dlq")
        self.queue = cloud.queue("store-events", dlq=self.dlq)
        self.quarantine = cloud.queue("redrive-quarantine")
        name, client = cloud.run_table("redrive-runs"), dynamodb_client()
        self.table, self.checkpoints = RunTable(name, client), Checkpoints(name, client)
        self.records = RunRecords(name, client)
        self.outage("none")
        boto3.client("s3").create_bucket(Bucket="redrive-reports")
        boto3.client("sns").create_topic(Name="store-events-notice")
        self.chat_topic = boto3.client("sns").create_topic(Name="redrive-chat")["TopicArn"]
        self._examples: set[str] = set()

    def handler(self, name: str) -> Callable[[Any], Any]:
        """Return the handler that takes a sample event, when what only its example needs is there."""
        function = BY_SAMPLE[name]
        example = function.module.split(".")[1]
        if example not in self._examples:
            self._examples.add(example)
            match example:
                case "store_events":
                    self.cloud.table("store-events", "event_id")
                case "email_tasks":
                    self.cloud.queue("email-tasks")
                    self.cloud.table("email-tasks", "id")
                    boto3.client("sesv2").create_email_identity(EmailIdentity="no-reply@example.com")
                case "shipment_notices":
                    self.cloud.table("shipments", "shipment_id")
                case "reward_payouts":
                    make_rewards(self.cloud)
        return load(function)

    def outage(self, stores: str) -> None:
        boto3.client("ssm").put_parameter(Name="store-events-outage", Value=stores, Type="String", Overwrite=True)

    def alarm(self, state: str) -> None:
        self.cloud.alarm(sample("automatic")["trigger"]["detail"]["alarmName"], state)

    def fill(self) -> None:
        """Send nine good events and three without a store."""
        good = {"MessageBody": factories.store_event(), "MessageAttributes": factories.store_id()}
        self.cloud.send(self.dlq, [good] * 9 + [factories.store_event()] * 3)

    def messages(self) -> int:
        return self.cloud.queues.facts(self.dlq).messages


@pytest.fixture
def home(tmp_path, monkeypatch) -> Iterator[Home]:
    with moto_cloud() as cloud, webhook_server(tmp_path) as webhook:
        monkeypatch.setenv("SSL_CERT_FILE", str(webhook.certificate))
        secret = boto3.client("secretsmanager").create_secret(Name="slack-webhook", SecretString=webhook.url)
        monkeypatch.setitem(VALUES, "SLACK_WEBHOOK_SECRET", secret["ARN"])
        monkeypatch.setitem(VALUES, "SLACK_WEBHOOK_HOSTS", " ".join(webhook.hosts))
        yield Home(cloud, webhook)


Invoke = Callable[..., Any]


@pytest.fixture
def invoke(home) -> Invoke:
    """Return a callable that invokes a function with its sample event, or with another event."""

    def invoked(name: str, event: Any = None) -> Any:
        function = home.handler(name)
        home.cloud.calls.clear()
        return function(sample(name) if event is None else event)

    return invoked


def plan_in(event: Any) -> RunPlan:
    return RunPlan.model_validate(event["plan"])


def test_every_function_has_a_sample_event_and_vice_versa():
    assert BY_SAMPLE.keys() == {path.stem for path in EVENTS.glob("*.json")}


@pytest.mark.parametrize("path", sorted((EVENTS / "executions").glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_execution_input_is_valid(path):
    assert parse_request(json.loads(path.read_text())).dlq


# The redrive, step by step


def test_plan_returns_the_plan_and_takes_the_lock(home, invoke):
    home.fill()
    event = sample("plan")
    result = invoke("plan", event)
    plan = plan_in(result)
    assert (plan.dlq, plan.sources, plan.waiting, plan.rate) == (home.dlq, (home.queue,), 12, 50)
    assert [lane["rate"] for lane in result["tally"]["lanes"]] == [50]
    assert home.table.wants_stop(plan) is False  # raises an error if the run doesn't hold the lock


def test_plan_rejects_bad_input_with_the_error_that_the_workflow_catches(invoke):
    event = sample("plan") | {"input": {"dlq": "nowhere"}}
    with pytest.raises(RejectedError, match="there is no queue nowhere"):
        invoke("plan", event)


def test_plan_rejects_a_mapping_of_contracts_that_cannot_be_read(home, invoke, monkeypatch):
    monkeypatch.setitem(VALUES, "QUEUE_CONTRACTS", "@ssm:/redrive/contracts/none")
    with pytest.raises(RejectedError, match="can't be read from ssm:/redrive/contracts/none: ParameterNotFound"):
        invoke("plan")
    assert home.table.ask_to_stop(home.dlq.arn) is None


def test_sample_groups_the_messages_and_leaves_them_visible(home, invoke):
    home.fill()
    event = sample("sample")
    event["plan"]["request"]["sampleSize"] = 100
    result = invoke("sample", event)
    groups = {(group["verdict"], group["reason"]): group["messages"] for group in result["groups"]}
    assert groups == {("redrivable", None): 9, ("quarantined", "missing-attribute"): 3}
    assert home.cloud.visible(home.dlq) == 12


def test_a_sample_that_fails_leaves_the_messages_visible(home, invoke):
    home.fill()
    # A message whose origin is in another region has no known destination, which makes the sample fail.
    provenance = {"run": "r", "count": 0, "id": "m", "sent": 0, "source": "arn:aws:sqs:eu-west-1:123456789012:q"}
    attribute = {"DataType": "String", "StringValue": json.dumps(provenance)}
    home.cloud.send(home.dlq, [{"MessageBody": "{}", "MessageAttributes": {"redrive": attribute}}])
    event = sample("sample")
    event["plan"]["sources"] = []
    event["plan"]["request"]["sampleSize"] = 100
    with pytest.raises(RejectedError, match="nothing says where its messages belong"):
        invoke("sample", event)
    assert home.cloud.visible(home.dlq) == 13


def test_move_redrives_valid_messages_and_quarantines_the_rest(home, invoke):
    home.fill()
    event = sample("move")
    home.table.lock(plan_in(event))
    result = invoke("move", event)
    assert (result["counts"]["redriven"], result["counts"]["quarantined"], result["drained"]) == (9, 3, True)
    assert result["quarantineReasons"] == {"missing-attribute": 3}
    assert (home.cloud.visible(home.queue), home.cloud.visible(home.quarantine), home.messages()) == (9, 3, 0)


def test_tally_adds_up_the_counts_and_ends_the_run_when_the_queue_is_empty(invoke):
    result = invoke("tally")
    assert (result["counts"]["redriven"], result["counts"]["quarantined"], result["rounds"], result["next"]) == (
        9,
        3,
        1,
        "clean-up",
    )


def test_clean_up_makes_messages_visible_again_and_releases_the_lock(home, invoke):
    home.cloud.send(home.dlq, ["late"])
    event = sample("clean-up")
    plan = plan_in(event)
    home.table.lock(plan)
    (message,) = home.cloud.take_all(home.dlq)
    record = HeldRecord(message["MessageId"], message["ReceiptHandle"], "came-back", failed=False)
    home.checkpoints.record_held(plan, factories.work(), [record])
    result = invoke("clean-up", event)
    assert (result["counts"]["redriven"], result["skipReasons"]) == (9, {"came-back": 1})
    assert home.cloud.visible(home.dlq) == 1
    assert home.table.ask_to_stop(home.dlq.arn) is None  # no run holds the lock


def test_clean_up_releases_the_lock_even_if_the_queue_was_deleted(home, invoke):
    event = sample("clean-up")
    plan = plan_in(event)
    home.table.lock(plan)
    home.checkpoints.record_held(plan, factories.work(), [HeldRecord("m-1", "handle", "came-back", failed=False)])
    home.cloud.sqs.delete_queue(QueueUrl=home.dlq.url)
    assert invoke("clean-up", event)["skipReasons"] == {"came-back": 1}
    assert home.table.ask_to_stop(plan.dlq.arn) is None


def test_report_returns_the_runs_status_and_a_message_that_sns_accepts(invoke):
    result = invoke("report")
    assert result["report"]["status"] == "SUCCEEDED"
    assert result["report"]["counts"]["redriven"] == 9
    sns = boto3.client("sns")
    topic = sns.create_topic(Name="reports")["TopicArn"]
    notification = result["notification"]
    assert sns.publish(
        TopicArn=topic,
        Subject=notification["subject"],
        Message=notification["message"],
        MessageStructure="json",
        MessageAttributes=notification["messageAttributes"],
    )["MessageId"]


def test_report_writes_the_page_of_the_run_and_links_to_it(invoke):
    result = invoke("report")
    pages = boto3.client("s3").list_objects_v2(Bucket="redrive-reports")["Contents"]
    [key] = [page["Key"] for page in pages]
    assert key.startswith("runs/store-events-dlq/")
    page = boto3.client("s3").get_object(Bucket="redrive-reports", Key=key)["Body"].read().decode()
    assert "Redrive of <bdi>store-events-dlq</bdi>" in page
    assert '"rate": 50' in page
    address = result["report"]["page"]
    assert address.endswith(f"prefix={key}")
    assert address in json.loads(result["notification"]["message"])["email"]


@pytest.mark.parametrize("name", ["report", "report-refused"])
@pytest.mark.parametrize("failing", ["no bucket", "no page"])
def test_a_report_goes_out_without_its_page_if_that_cannot_be_written(invoke, monkeypatch, logged, name, failing):
    if failing == "no bucket":
        boto3.client("s3").delete_bucket(Bucket="redrive-reports")
    else:
        monkeypatch.setattr(document, "page_of", lambda *_, **__: {}[MARK])
    result = invoke(name)
    assert result["report"]["page"] is None
    assert result["report"]["status"] in {"SUCCEEDED", "REJECTED"}
    assert '"message":"page not written"' in logged.getvalue()
    assert MARK not in logged.getvalue()


def test_report_says_why_a_run_without_a_plan_was_rejected(invoke):
    report = invoke("report", sample("report-refused"))["report"]
    assert (report["status"], report["dlq"]) == ("REJECTED", "store-events")
    assert report["reason"].startswith("store-events is a source queue; its dead-letter queue is store-events-dlq")


def test_report_of_a_run_that_failed_before_it_had_a_plan_counts_what_is_in_the_queue(home, invoke):
    home.cloud.send(home.dlq, [{"MessageBody": str(number)} for number in range(3)])
    failed = {"failure": {"Error": "Lambda.TooManyRequestsException", "Cause": ""}, "input": {"dlq": home.dlq.name}}
    report = invoke("report", sample("report-refused") | failed)["report"]
    assert (report["status"], report["counts"]["remaining"]) == ("FAILED", 3)


@pytest.mark.parametrize("given", [{"dlq": "nowhere"}, {"dlq": "not a name"}, {"dlq": 7}, {}, None, "text"])
def test_report_of_such_a_run_works_whatever_its_input_was(invoke, given):
    assert invoke("report", sample("report-refused") | {"input": given})["report"]["counts"]["remaining"] == 0


def test_report_works_even_if_the_queue_was_deleted(home, invoke):
    home.cloud.sqs.delete_queue(QueueUrl=home.dlq.url)
    assert invoke("report")["report"]["counts"]["remaining"] == 0


def running_execution() -> str:
    """Start an execution that moto never ends; return its ARN."""
    client = boto3.client("stepfunctions")
    machine = client.create_state_machine(
        name="redrive",
        definition='{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}',
        roleArn="arn:aws:iam::123456789012:role/redrive",
    )
    return client.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]


def test_stop_asks_the_run_in_progress_to_stop(home, invoke):
    plan = plan_in(sample("move")).model_copy(update={"execution_arn": running_execution()})
    home.table.lock(plan)
    assert invoke("stop") == {"runId": plan.run_id}
    assert home.table.wants_stop(plan) is True


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({"dlq": "store-events-dlq"}, "No run is moving messages of store-events-dlq, so there is nothing to stop."),
        ({"dlq": "nowhere"}, "dlq: there is no queue nowhere in this account and region."),
        ({"dlq": "https://sqs.eu-west-1.api.aws/123456789012/store-events-dlq"}, "found store-events-dlq in eu-west-1"),
        ({"queue": "store-events-dlq"}, "queue: unknown key (expected one of dlq)"),
        ({}, "dlq: expected the name, ARN, or URL of a queue, found nothing"),
        ({"dlq": ["ada@example.com"]}, "dlq: expected the name, ARN, or URL of a queue, found a list"),
        ("store-events-dlq", 'expected a JSON object such as {"dlq": "orders-dlq"}, found a string'),
        ([], "found an empty list"),
    ],
)
@pytest.mark.usefixtures("home")
def test_a_stop_that_can_t_be_carried_out_is_answered_with_one_text_and_no_stack_trace(event, problem, invoke):
    answer = invoke("stop", event)
    assert answer.keys() == {"errorType", "errorMessage"}
    assert answer["errorType"] == "RejectedError"
    assert problem in answer["errorMessage"]
    assert "\n" not in answer["errorMessage"]
    assert "ada" not in answer["errorMessage"]


def test_resume_takes_over_the_run_that_continues_in_its_execution(home, invoke, monkeypatch):
    home.fill()
    event = sample("tally")
    event["slices"][0]["drained"] = False
    monkeypatch.setenv("MAX_HISTORY_EVENTS", "1")
    tally = invoke("tally", event)
    assert tally["next"] == "continue"
    resumed = sample("resume")
    with pytest.raises(RejectedError, match=r"^The input is invalid\. continuation: expected a run that continues"):
        invoke("resume", resumed)
    resumed["execution"]["name"] = tally["successor"]
    taken_over = invoke("resume", resumed)
    assert plan_in(taken_over) == plan_in(event)
    assert (taken_over["sample"]["sampled"], taken_over["tally"]) == (event["sample"]["sampled"], tally)


def test_the_handlers_complete_a_whole_run(home, invoke):
    home.fill()
    first = sample("plan")
    planned = invoke("plan", first)
    plan, tally = planned["plan"], planned["tally"]
    # The messages may have been sent in the millisecond in which the run started.
    plan["startedAt"] += 1
    sampled = invoke("sample", {"plan": plan})
    while tally["next"] == "move":
        slices = [invoke("move", {"plan": plan, "work": work}) for work in tally["lanes"]]
        state = {"plan": plan, "sample": sampled, "tally": tally}
        tally = invoke("tally", {"step": "tally", **state, "slices": slices})
    assert tally["next"] == "clean-up"
    tally = invoke("clean-up", {"step": "clean-up", "plan": plan, "tally": tally})
    state = {"plan": plan, "sample": sampled, "tally": tally, "failure": None}
    report = invoke("report", {**first, "step": "report", **state})["report"]
    assert report["status"] == "SUCCEEDED"
    assert report["counts"] == {
        "sampled": 10,
        "redriven": 9,
        "repaired": 0,
        "quarantined": 3,
        "foreign": 0,
        "skipped": 0,
        "bounced": 0,
        "failed": 0,
        "released": 0,
        "seen": 12,
        "remaining": 0,
    }
    assert (home.cloud.visible(home.queue), home.cloud.visible(home.quarantine)) == (9, 3)


# Automatic starts


def test_automatic_waits_until_the_alarm_has_lasted_long_enough(invoke):
    event = sample("automatic") | {"progress": {}}
    step = invoke("automatic", event)
    assert (step["next"], step["waitSeconds"]) == ("wait", 300)


def test_automatic_starts_a_run_while_the_alarm_is_raised(home, invoke):
    home.alarm("ALARM")
    step = invoke("automatic")
    assert step["next"] == "start"
    assert step["run"]["input"].items() >= {"rate": 10, "dlq": "store-events-dlq"}.items()
    assert step["run"]["input"]["because"].startswith("The alarm redrive-StoreEventsDLQAlarm-1A2B3C4D5E6F has been on")


def test_automatic_ends_when_the_alarm_is_ok_again(home, invoke):
    home.alarm("OK")
    assert invoke("automatic")["next"] == "end"


def test_automatic_starts_a_scheduled_run(home, invoke):
    home.fill()
    step = invoke("automatic", sample("automatic-schedule"))
    assert step["next"] == "start"
    assert step["run"]["input"].items() >= {"dlq": "store-events-dlq", "rate": 20}.items()
    assert step["run"]["input"]["startedBy"].startswith("automatic start ")


def test_automatic_notifies_operators_of_a_schedule_that_names_no_queue(invoke):
    event = sample("automatic-schedule")
    event["trigger"]["input"] = {"rate": 20}
    step = invoke("automatic", event)
    assert step["next"] == "notify"
    email = json.loads(step["notification"]["message"])["email"]
    assert "Expected the schedule's input to name a dead-letter queue, found none" in email


# Chat


def test_webhook_posts_a_report_to_the_url_in_the_secret(home, invoke):
    invoke("webhook")
    assert [posted["text"] for posted in home.webhook.posted] == ["Redrive SUCCEEDED: store-events-dlq"]


def test_webhook_raises_an_error_if_slack_rejects_the_message_so_lambda_retries(home, invoke):
    home.webhook.answers.append((404, b"no_service", {}))
    with pytest.raises(WebhookError, match="no_service"):
        invoke("webhook")


def test_amazon_q_publishes_a_custom_notification(home, invoke):
    notified = home.cloud.queue("notified")
    boto3.client("sns").subscribe(TopicArn=home.chat_topic, Protocol="sqs", Endpoint=notified.arn)
    invoke("amazon-q")
    (message,) = home.cloud.take_all(notified)
    notification = json.loads(json.loads(message["Body"])["Message"])
    assert (notification["version"], notification["source"]) == ("1.0", "custom")
    assert notification["content"]["title"] == "ALARM: redrive-StoreEventsDLQAlarm-1A2B3C4D5E6F"


# Permissions and logs


@pytest.mark.parametrize("name", sorted(BY_SAMPLE))
def test_a_function_calls_nothing_that_its_role_does_not_allow(home, invoke, name, monkeypatch):
    # Before it releases what a dead run held, the plan step waits for lanes that may still be running.
    monkeypatch.setattr(time, "sleep", lambda _: None)
    home.fill()
    home.alarm("ALARM")
    event = sample(name)
    if event.get("plan"):
        home.table.lock(plan_in(event))
    elif name == "resume":
        continuing = Tally(successor=event["execution"]["name"])
        home.table.record(RunProgress(plan=plan_in(sample("tally")), sample=Sample(), tally=continuing))
    elif name == "stop":
        home.table.lock(plan_in(sample("move")))
    else:
        # Another run that has ended still holds the lock, so the plan step asks Step Functions about it.
        home.table.lock(plan_in(sample("move")).model_copy(update={"run_id": "dead", "execution_arn": DEAD_RUN}))
    invoke(name, event)
    assert home.cloud.calls
    assert set(home.cloud.calls) <= BY_SAMPLE[name].allowed


def test_only_the_mover_may_send_or_delete_messages():
    for name, allowed in ((function.name, function.allowed) for function in functions().values()):
        if name in {"CoordinatorFunction", "SamplerFunction", "StopFunction", "AutomaticFunction"}:
            assert not {"sqs:DeleteMessage", "sqs:SendMessage", "sqs:PurgeQueue"} & allowed, name
    assert "sqs:ReceiveMessage" not in functions()["CoordinatorFunction"].allowed


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """Capture the logs of the redrive's functions."""
    stream = StringIO()
    handler = logger.registered_handler
    earlier = handler.setStream(stream)
    yield stream
    handler.setStream(earlier)


def test_clean_up_logs_how_many_messages_it_released_and_how_many_not(home, invoke, logged):
    home.cloud.send(home.dlq, ["late"])
    event = sample("clean-up")
    (message,) = home.cloud.take_all(home.dlq)
    records = [
        HeldRecord("m-1", message["ReceiptHandle"], "came-back", failed=False),
        HeldRecord("m-2", "no handle", "came-back", failed=False),
    ]
    home.checkpoints.record_held(plan_in(event), factories.work(), records)
    invoke("clean-up", event)
    assert '"released":1,"notReleased":1' in logged.getvalue()


def test_a_queue_that_a_report_could_not_read_is_logged(home, invoke, logged):
    home.cloud.sqs.delete_queue(QueueUrl=home.dlq.url)
    invoke("report")
    assert '"message":"the queue can\'t be read"' in logged.getvalue()


def test_no_part_of_a_message_is_logged(home, invoke, logged):
    marks = {"ssn_no": "73190001", "name": "73190002"}
    bad = {"MessageBody": factories.store_event(**marks), "MessageAttributes": factories.store_id("73190003")}
    home.cloud.send(home.dlq, [bad])
    event = sample("move")
    home.table.lock(plan_in(event))
    invoke("sample", {"plan": event["plan"]})
    invoke("move", event)
    logs = logged.getvalue()
    assert '"message":"slice done"' in logs
    assert "7319000" not in logs


def test_only_the_type_of_an_error_that_quotes_an_event_leaves_the_function(invoke, logged):
    with pytest.raises(UnexpectedError, match="found ValidationError at") as caught:
        invoke("tally", {"step": "tally", "plan": {"format": FORMAT, "secret": "73190001"}, "tally": {}, "slices": []})
    logs = logged.getvalue()
    assert '"error":"UnexpectedError"' in logs
    assert "73190001" not in logs + str(caught.value)


def test_only_the_code_and_the_request_of_an_error_of_aws_leave_the_function(invoke):
    boto3.client("dynamodb").delete_table(TableName="redrive-runs")
    with pytest.raises(UnexpectedError, match=r"code ResourceNotFoundException, request \S+ at ") as caught:
        invoke("plan")
    assert "redrive-runs" not in str(caught.value)


def broken(event: Any, depth: int = 3) -> Iterator[Any]:
    """Yield the event with one of its members replaced, another one each time, and with one too many."""
    if depth and isinstance(event, dict):
        yield event | {MARK: MARK}
        for name, value in event.items():
            yield from (event | {name: other} for other in broken(value, depth - 1))
    elif depth and isinstance(event, list) and event:
        yield from ([other, *event[1:]] for other in broken(event[0], depth - 1))
    yield MARK
    yield None


@pytest.mark.parametrize("name", sorted(BY_SAMPLE))
def test_no_error_that_leaves_a_function_says_what_was_in_its_event(home, name, logged, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    home.alarm("ALARM")
    handler, said = home.handler(name), []
    for event in broken(sample(name)):
        try:
            answer = handler(event)
        except Exception as error:  # noqa: BLE001
            assert error.__suppress_context__ or error.__context__ is None
            said.append(str(error))
        else:
            # It answers with its errors.
            said += [json.dumps(answer)] if name == "stop" else []
    assert said
    assert not [text for text in said if MARK in text]
    assert MARK not in logged.getvalue()


# Metrics


def metrics_in(printed: str) -> list[dict[str, Any]]:
    """Return the lines in the embedded metric format, without their timestamps."""
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


def test_tally_publishes_the_counts_of_its_round_by_queue(invoke, capsys):
    invoke("tally")
    expected = metrics_of("Redrive", {"dlq": "store-events-dlq"}, Redriven=9, Quarantined=3)
    assert metrics_in(capsys.readouterr().out) == [expected]


def test_clean_up_publishes_the_final_counts_and_those_of_an_untallied_round(home, invoke, capsys):
    event = sample("clean-up")
    plan = plan_in(event)
    records = [
        HeldRecord("m-1", "h-1", "came-back", failed=False),
        HeldRecord("m-2", "h-2", "no-destination", failed=False),
        HeldRecord("m-3", "h-3", "InternalError", failed=True),
    ]
    home.checkpoints.record_held(plan, factories.work(), records)
    interrupted = factories.work(round=event["tally"]["rounds"])
    home.checkpoints.take(plan, interrupted, "killed")
    reached = Checkpoint(SliceResult(counts=Counts(redriven=4)), in_hand=0, granted=4, finished=True)
    home.checkpoints.checkpoint(plan, interrupted, "killed", reached)
    invoke("clean-up", event)
    expected = {"Redriven": 4, "Quarantined": 0, "Skipped": 2, "Bounced": 1, "Failed": 1}
    assert metrics_in(capsys.readouterr().out) == [metrics_of("Redrive", {"dlq": "store-events-dlq"}, **expected)]


def test_report_publishes_the_runs_status(invoke, capsys):
    invoke("report")
    dimensions = {"dlq": "store-events-dlq", "status": "SUCCEEDED"}
    assert metrics_in(capsys.readouterr().out) == [metrics_of("Redrive", dimensions, RunsEnded=1)]


def test_a_rejected_request_does_not_become_a_metric_dimension(invoke, capsys):
    invoke("report", sample("report-refused"))
    dimensions = {"dlq": "none", "status": "REJECTED"}
    assert metrics_in(capsys.readouterr().out) == [metrics_of("Redrive", dimensions, RunsEnded=1)]


@pytest.mark.parametrize("step", ["tally", "clean-up", "report"])
def test_a_retried_step_publishes_its_counts_only_once(invoke, capsys, step):
    event = sample(step)
    first, retried = invoke(step, event), invoke(step, event)
    assert len(metrics_in(capsys.readouterr().out)) == 1
    assert retried.keys() == first.keys()


def test_a_run_is_reported_even_if_its_metrics_cannot_be_published(invoke, capsys):
    boto3.client("dynamodb").delete_table(TableName="redrive-runs")
    assert invoke("report")
    assert metrics_in(capsys.readouterr().out) == []


def test_the_consumer_counts_processed_and_failed_records_by_queue(invoke, capsys):
    invoke("store-events-consumer")
    expected = metrics_of("QueueConsumers", {"queue": "store-events"}, Processed=1, Failed=1)
    assert metrics_in(capsys.readouterr().out) == [expected]


def test_the_consumer_counts_a_batch_that_failed_as_a_whole(home, invoke, capsys):
    home.outage("3,5")
    with pytest.raises(BatchProcessingError):
        invoke("store-events-consumer")
    expected = metrics_of("QueueConsumers", {"queue": "store-events"}, Processed=0, Failed=2)
    assert metrics_in(capsys.readouterr().out) == [expected]


# Store events


def test_the_producer_sends_the_ordered_number_of_events_and_the_exact_share_of_bad_ones(home, invoke):
    response = invoke("store-events-producer")
    assert json.loads(response["body"]) == {"message": {"status": True, "msg_cnt": 20, "bad_msg": 4}}
    sent = home.cloud.take_all(home.queue)
    assert sum("store_id" not in message["MessageAttributes"] for message in sent) == 4
    assert {json.loads(message["Body"])["event_id"] for message in sent} == {f"sample-{n:05}" for n in range(20)}


def test_the_consumer_processes_valid_events_and_returns_the_rest(invoke):
    response = invoke("store-events-consumer")
    bad = sample("store-events-consumer")["Records"][1]["messageId"]
    assert response == {"batchItemFailures": [{"itemIdentifier": bad}]}
    (item,) = boto3.client("dynamodb").scan(TableName="store-events")["Items"]
    assert item == {"event_id": {"S": "sample-00001"}, "store_id": {"N": "3"}}


def test_the_consumer_returns_the_events_of_a_store_whose_back_office_is_down(home, invoke):
    home.outage("3,5")
    with pytest.raises(BatchProcessingError, match="All records failed"):
        invoke("store-events-consumer")
    assert boto3.client("dynamodb").scan(TableName="store-events")["Count"] == 0


def test_the_consumer_processes_everything_that_the_producer_sends(home, invoke):
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


def test_the_notice_lists_quarantined_events_by_store_and_leaves_them_in_the_quarantine(home, invoke):
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
    assert invoke("move", event)["counts"]["quarantined"] == 3
    sns_event = sample("store-events-notice")
    report = json.loads(sns_event["Records"][0]["Sns"]["Message"])
    sns_event["Records"][0]["Sns"]["Message"] = json.dumps(report | {"runId": event["plan"]["runId"]})
    assert invoke("store-events-notice", sns_event) == {"published": True, "found": 3}
    (message,) = home.cloud.take_all(notices)
    assert "7319000" not in message["Body"]
    notice = json.loads(json.loads(message["Body"])["Message"])
    assert {store["store"]: store["messages"] for store in notice["stores"]} == {"4": 2, "unknown": 1}
    assert notice["stores"][0]["problems"]["body.ssn_no: string_pattern_mismatch"] == 2
    assert home.cloud.visible(home.quarantine) == 3


def test_no_notice_is_published_for_a_run_that_quarantined_nothing(home, invoke):
    sns_event = sample("store-events-notice")
    report = json.loads(sns_event["Records"][0]["Sns"]["Message"])
    report["counts"]["quarantined"] = 0
    sns_event["Records"][0]["Sns"]["Message"] = json.dumps(report)
    assert invoke("store-events-notice", sns_event) == {"published": False}
    assert home.cloud.calls == []


def limited(home: Home, max_rate: str, queue: QueueRef | None = None) -> None:
    home.cloud.sqs.tag_queue(QueueUrl=(queue or home.queue).url, Tags={"redrive:max-rate": max_rate})


def test_plan_reserves_what_the_run_may_send_and_clean_up_releases_it(home, invoke):
    home.fill()
    limited(home, "20")
    plan = plan_in(invoke("plan"))
    assert (plan.rate, [limit.share for limit in plan.max_rates]) == (20, [20])
    # An attempt at the same step gets the same share.
    assert plan_in(invoke("plan")).max_rates == plan.max_rates
    shares = RateShares("redrive-runs", FakeExecutions({plan.execution_arn}))
    with pytest.raises(RejectedError, match=plan.execution_arn):
        shares.reserve("run-2", "arn:run-2", home.queue, 1, 20)
    event = sample("clean-up")
    event["plan"]["runId"] = plan.run_id
    invoke("clean-up", event)
    assert shares.reserve("run-2", "arn:run-2", home.queue, 20, 20).share == 20


def test_a_plan_that_gets_no_share_holds_neither_the_lock_nor_another_share(home, invoke):
    home.fill()
    other = home.cloud.queue("store-events-too", dlq=home.dlq)
    limited(home, "20")
    limited(home, "5", other)
    holder = running_execution()
    shares = RateShares("redrive-runs", FakeExecutions({holder}))
    shares.reserve("run-2", holder, other, 5, 5)
    with pytest.raises(RejectedError, match=f"store-events-too accepts 5 messages per second in all.*{holder}"):
        invoke("plan")
    assert home.table.ask_to_stop(home.dlq.arn) is None
    assert shares.reserve("run-3", "arn:run-3", home.queue, 20, 20).share == 20


def test_a_plan_for_a_dry_run_reserves_nothing(home, invoke):
    home.fill()
    limited(home, "20")
    event = sample("plan")
    event["input"]["dryRun"] = True
    assert plan_in(invoke("plan", event)).rate == 20
    shares = RateShares("redrive-runs", FakeExecutions())
    assert shares.reserve("run-2", "arn:run-2", home.queue, 20, 20).share == 20


def test_move_keeps_to_the_max_rate_of_a_queue_that_the_plan_does_not_know(home, invoke):
    elsewhere = home.cloud.queue("elsewhere")
    limited(home, "1000", elsewhere)
    note = Provenance("run-0", 1, "m", 1, elsewhere.arn).to_json()
    attributes = {ATTRIBUTE: factories.string(note)}
    home.cloud.send(home.dlq, [{"MessageBody": "{}", "MessageAttributes": attributes}])
    event = sample("move")
    home.table.lock(plan_in(event))
    # A share that a dead run has left.
    RateShares("redrive-runs", FakeExecutions()).reserve("run-2", DEAD_RUN, elsewhere, 990, 1000)
    result = invoke("move", event)
    assert (result["counts"]["redriven"], result["maxRate"]) == (1, 1000)
    assert {"sqs:ListQueueTags", "states:DescribeExecution"} <= set(home.cloud.calls)


# Events of other versions


def of_another_version(name: str, change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Return a sample event with what another version may have passed on."""
    event = sample(name)
    change(event["plan"])
    event["plan"] |= {"ofAnotherVersion": {"x": 1}}
    for part in ("tally", "sample"):
        event[part] = event.get(part, {}) | {"ofAnotherVersion": 1, "explanations": "not a list"}
    if name in {"move", "sample"}:
        event = {key: event[key] for key in sample(name)}
    return event


OTHERS = pytest.mark.parametrize(
    "change",
    [lambda plan: plan.pop("format"), lambda plan: plan.update(format=99), lambda plan: plan["request"].update(new=1)],
    ids=["0.2", "later", "same format"],
)


@OTHERS
@pytest.mark.parametrize("name", ["move", "sample", "tally"])
def test_no_step_works_on_a_run_of_another_version(home, invoke, name, change):
    event = of_another_version(name, change)
    home.fill()
    with pytest.raises((FormatError, UnexpectedError)) as caught:
        invoke(name, event)
    assert (caught.type is FormatError) == (event["plan"].get("format") != FORMAT)
    assert home.messages() == home.cloud.visible(home.dlq) == 12


@pytest.mark.parametrize("found", [None, FORMAT, 99])
def test_what_another_version_has_begun_is_cleaned_up_and_reported(home, invoke, found):
    def change(plan: dict[str, Any]) -> None:
        plan["format"] = found
        if found is None:
            del plan["format"]

    event = of_another_version("clean-up", change)
    plan = plan_in(sample("clean-up"))
    home.table.lock(plan)
    tally = invoke("clean-up", event)
    assert tally["counts"]["redriven"] == sample("clean-up")["tally"]["counts"]["redriven"] > 0
    assert home.table.ask_to_stop(home.dlq.arn) is None
    failure = {"Error": "FormatError", "Cause": json.dumps({"errorMessage": "Another version."})}
    event = of_another_version("report", change) | {
        "input": {"continuation": {"run": plan.run_id}},
        "failure": failure,
        "tally": tally,
    }
    report = invoke("report", event)["report"]
    assert (report["status"], report["reason"]) == ("FAILED", "Another version.")
    assert (report["runId"], report["dlq"], report["counts"]["redriven"]) == (plan.run_id, plan.dlq.name, 9)


def test_a_run_that_another_version_has_begun_is_passed_on_to_be_ended(home, invoke):
    name = sample("resume")["execution"]["name"]
    plan, tally = sample("tally")["plan"], sample("tally")["tally"] | {"successor": name, "ofAnotherVersion": 1}
    plan["format"] = 99
    progress = {"plan": plan | {"ofAnotherVersion": 1}, "sample": {"ofAnotherVersion": 1}, "tally": tally}
    row = {"rounds": {"N": "1"}, "progress": {"S": json.dumps(progress)}}
    home.table._client.put_item(
        TableName="redrive-runs", Item=home.table._item(f"run#{plan['runId']}", "progress", **row)
    )
    passed_on = invoke("resume")
    assert (passed_on["plan"]["runId"], passed_on["tally"]["successor"]) == (plan["runId"], name)
    with pytest.raises(FormatError):
        invoke("tally", sample("tally") | {"plan": passed_on["plan"], "tally": passed_on["tally"]})


# Records


def record_of(home: Home, plan: RunPlan) -> RunRecord:
    found = home.records.find(plan.run_id)
    assert found is not None
    return found


def test_each_step_of_a_run_adds_to_its_record(home, invoke):
    home.fill()
    given = {"dlq": "store-events-dlq", "because": "INC-42", "startedBy": "ann", "rate": 100}
    event = sample("plan") | {"input": given}
    planned = invoke("plan", event)
    plan = plan_in(planned)
    assert (record_of(home, plan).input, record_of(home, plan).status) == (given, None)

    moved = invoke("move", {"plan": planned["plan"], "work": planned["tally"]["lanes"][0]})
    step = {"step": "tally", "plan": planned["plan"], "sample": {}, "tally": planned["tally"], "slices": [moved]}
    after = invoke("tally", step)
    during = record_of(home, plan)
    assert (during.rounds, during.counts.redriven, during.status) == (1, 9, None)
    assert during.rate_over_time[-1].redriven == 9

    cleaned = invoke("clean-up", {"step": "clean-up", "plan": planned["plan"], "tally": after})
    end = {"step": "report", "input": given, "execution": event["execution"], "plan": planned["plan"], "tally": cleaned}
    reported = invoke("report", end)
    final = record_of(home, plan)
    assert final.report == reported["report"]
    assert (final.because, final.started_by, final.input, final.status) == ("INC-42", "ann", given, "SUCCEEDED")
    assert final.rate_over_time == during.rate_over_time
    assert final.counts == plan_counts(reported)


def plan_counts(reported: Any) -> Counts:
    return Counts.model_validate(reported["report"]["counts"])


def test_a_rejected_run_has_a_record(home, invoke):
    event = sample("report-refused")
    reported = invoke("report-refused", event)
    found = home.records.find(reported["report"]["runId"])
    assert found is not None
    assert (found.status, found.input, found.plan) == ("REJECTED", event["input"], None)
    assert found.report == reported["report"]


def test_a_run_that_must_say_why_is_rejected_if_it_does_not(home, invoke, monkeypatch):
    monkeypatch.setitem(VALUES, "REQUIRE_REASON", "true")
    event = sample("plan")
    with pytest.raises(RejectedError, match="because: expected the reason for this run"):
        invoke("plan", event)
    assert home.table.ask_to_stop(home.dlq.arn) is None
    assert invoke("plan", event | {"input": event["input"] | {"dryRun": True}})["plan"]["request"]["dryRun"]
    assert invoke("plan", event | {"input": event["input"] | {"because": "INC-42"}})["plan"]["request"]["because"]


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": MARK}}, "UpdateItem"),
        EndpointConnectionError(endpoint_url=MARK),
        RuntimeError(MARK),
    ],
)
def test_a_record_that_cannot_be_written_is_logged_and_changes_nothing_else(home, invoke, monkeypatch, logged, error):
    home.fill()
    expected = invoke("report")

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(RunRecords, "keep", fail)
    planned = invoke("plan")
    assert invoke("report")["report"]["counts"] == expected["report"]["counts"]
    step = {"step": "tally", "plan": planned["plan"], "sample": {}, "tally": planned["tally"], "slices": []}
    assert invoke("tally", step)["rounds"] == 1
    assert logged.getvalue().count("record not kept") == 3
    assert type(error).__name__ in logged.getvalue()
    assert MARK not in logged.getvalue()
