"""What `redrive doctor` finds in an account with and without a stack, and that it changes nothing."""

import json
import shlex
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from redrive import VERSION
from redrive.command.main import run
from redrive.command.output import Output
from redrive.domain.plain_text import plain
from redrive.domain.plan.lease import LEASE_TAG, Lease
from tests.support.consumers import answer_with, deny, mapping
from tests.support.moto_cloud import hook, moto_cloud
from tests.support.moto_stack import MotoStack, denied
from tests.support.shell import words

pytestmark = pytest.mark.usefixtures("operator")

TOPIC = "arn:aws:sns:us-east-1:123456789012:reports"
#: All calls that could change something.
CHANGES = ("Create", "Delete", "Set", "Send", "Put", "Update", "Tag", "Start", "Purge", "Publish")


def findings(capsys, *arguments: str, exit_code: int) -> list[dict[str, str]]:
    assert run(["doctor", "--json", *arguments]) == exit_code
    found: list[dict[str, str]] = json.loads(capsys.readouterr().out)["findings"]
    return found


def of(found, check, *severities):
    return [one for one in found if one["check"] == check and (not severities or one["severity"] in severities)]


def attributes(queue, **values: str) -> None:
    boto3.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes=values)


@pytest.fixture
def orders(cloud, dlq):
    """A pair of queues with no problems, and its consumer."""
    queue = cloud.queues.find("orders")
    policy = json.dumps({"deadLetterTargetArn": dlq.arn, "maxReceiveCount": 5})
    attributes(queue, VisibilityTimeout="180", RedrivePolicy=policy)
    attributes(dlq, MessageRetentionPeriod="1209600")
    answer_with(cloud, [mapping(queue, "worker", FunctionResponseTypes=["ReportBatchItemFailures"])], {"worker": 30})
    return queue


@pytest.fixture
def stack(cloud) -> MotoStack:
    made = MotoStack(cloud, QueueNamePattern="orders*", QueueContracts="")
    subscribe(cloud, confirmed=1)
    return made


def subscribe(cloud, confirmed: int = 0, pending: int = 0, filtered: int = 0) -> None:
    arns = [f"{TOPIC}:{place}" for place in range(confirmed)] + ["PendingConfirmation"] * pending
    arns += [f"{TOPIC}:filtered{place}" for place in range(filtered)]
    cloud.answers["sns.ListSubscriptionsByTopic"] = lambda _: {
        "Subscriptions": [{"SubscriptionArn": arn, "Protocol": "email"} for arn in arns]
    }
    cloud.answers["sns.GetSubscriptionAttributes"] = lambda params: {
        "Attributes": {"FilterPolicy": '{"dlq": ["a"]}'} if "filtered" in params["SubscriptionArn"] else {}
    }


@pytest.mark.usefixtures("orders", "stack")
def test_nothing_is_wrong_with_an_account_where_nothing_is(capsys):
    assert run(["doctor"]) == 0
    found = capsys.readouterr()
    assert "No problems found." in found.err
    assert {line.split()[0] for line in found.out.splitlines()} == {"OK"}
    for check in ("credentials", "permissions", "stack", "patterns", "runs", "contracts", "topics", "retention"):
        assert f"OK       {check}: " in found.out
    assert run(["doctor", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("stack")
def test_nothing_is_changed_and_no_message_is_received(cloud, orders, dlq):
    cloud.send(dlq, ["1"] * 3)
    cloud.send(orders, ["1"] * 2)
    cloud.calls.clear()
    run(["doctor"])
    # Empty batches, which SQS rejects.
    tries = {"sqs:SendMessage", "sqs:DeleteMessage", "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility"}
    assert not [call for call in set(cloud.calls) - tries if call.split(":")[1].startswith(CHANGES)]
    assert (cloud.visible(dlq), cloud.visible(orders)) == (3, 2)
    assert {message["Attributes"]["ApproximateReceiveCount"] for message in cloud.peek(dlq)} == {"1"}


# Without a stack


@pytest.mark.usefixtures("orders")
def test_without_a_stack_it_says_what_it_cannot_check(capsys):
    found = findings(capsys, exit_code=0)
    [one] = of(found, "stack")
    assert one["severity"] == "unknown"
    assert "contracts, and topics can't be checked" in one["text"]
    assert "sam deploy" in one["text"]
    assert of(found, "consumers", "ok")
    [one] = of(findings(capsys, "--stack", "other", exit_code=6), "stack")
    assert one["severity"] == "problem"


@pytest.mark.usefixtures("cloud")
def test_an_account_without_dead_letter_queues_is_said(capsys):
    [one] = of(findings(capsys, exit_code=6), "queues")
    assert one["remedy"] == "redrive queues --all"


@pytest.mark.usefixtures("orders")
def test_a_move_that_was_interrupted_is_told_from_one_that_is_on(cloud, dlq, capsys):
    cloud.send(dlq, ["1"])
    for minutes, severity in ((-5, "warning"), (5, "ok")):
        until = datetime.now(UTC) + timedelta(minutes=minutes)
        tag = Lease("move-1", "laptop", until).to_tag()
        boto3.client("sqs").tag_queue(QueueUrl=dlq.url, Tags={LEASE_TAG: tag})
        [one] = of(findings(capsys, exit_code=6 if minutes < 0 else 0), "runs")
        assert (one["severity"], "move-1" in one["text"], "laptop" in one["text"]) == (severity, True, True)
        assert one["remedy"] == ("redrive move orders-dlq --resume" if minutes < 0 else None)
    deny(cloud, "sqs.ListQueueTags")
    assert of(findings(capsys, exit_code=0), "runs", "unknown")


# Permissions


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(
    ("operation", "permission", "needs"),
    [
        ("sqs.ReceiveMessage", "sqs:ReceiveMessage", "look"),
        ("sqs.ChangeMessageVisibilityBatch", "sqs:ChangeMessageVisibility", "look"),
        ("sqs.ListDeadLetterSourceQueues", "sqs:ListDeadLetterSourceQueues", "look"),
        ("sqs.DeleteMessageBatch", "sqs:DeleteMessage", "move"),
        ("sqs.SendMessageBatch", "sqs:SendMessage", "move"),
        ("sqs.GetQueueAttributes", "sqs:GetQueueAttributes", "every command"),
        ("cloudwatch.GetMetricData", "cloudwatch:GetMetricData", "queues"),
    ],
)
def test_a_missing_permission_is_named_with_what_needs_it(cloud, capsys, operation, permission, needs):
    deny(cloud, operation)
    one, *_ = of(findings(capsys, exit_code=6), "permissions", "warning")
    assert permission in one["text"]
    assert needs in one["text"]
    assert permission in one["remedy"]


@pytest.mark.usefixtures("orders", "stack")
def test_without_the_permission_to_list_queues_the_rest_is_checked(cloud, capsys):
    cloud.answers["sqs.ListQueues"] = denied("ListQueues")
    found = findings(capsys, exit_code=6)
    [listing] = [finding for finding in found if "sqs:ListQueues" in finding["text"]]
    assert (listing["severity"], listing["check"]) == ("warning", "permissions")
    assert "sqs:ListQueues" in listing["remedy"]
    assert "only quarantine can be checked" in listing["text"]
    # Nothing is said about queues that nobody has seen.
    assert {finding["check"] for finding in found} == {"credentials", "permissions", "stack", "contracts", "topics"}


def test_without_the_permission_to_list_queues_those_that_the_stack_names_are_checked(cloud, orders, dlq, capsys):
    stack = MotoStack(cloud, QueueNamePattern="orders,orders-dlq", QueueContracts="")
    subscribe(cloud)
    boto3.client("ssm").put_parameter(Name="/bad", Value='{"type": 1}', Type="String")
    stack.environment = {"QUEUE_CONTRACTS": "orders=ssm:/bad,ordres=ssm:/bad"}
    answer_with(cloud, [mapping(orders, "worker", State="Disabled")], {"worker": 60})
    attributes(dlq, MessageRetentionPeriod="60")
    for place, queue in enumerate([orders, dlq, stack.quarantine]):
        attributes(queue, KmsMasterKeyId=f"alias/{place}")
    cloud.answers["kms.DescribeKey"] = lambda _: {"KeyMetadata": {"KeyId": "1234", "KeyState": "Disabled"}}
    every = findings(capsys, exit_code=6)
    cloud.answers["sqs.ListQueues"] = denied("ListQueues")
    [listing, *others] = [finding for finding in findings(capsys, exit_code=6) if finding not in every]
    assert ("orders-dlq" in listing["text"], others) == (True, [])
    missing = [finding for finding in every if finding not in findings(capsys, exit_code=6)]
    assert sorted(finding["check"] for finding in missing) == ["contracts", "patterns"]
    assert len(of(every, "keys", "problem")) == 3
    assert all("ordres" in finding["text"] for finding in of(missing, "contracts"))


def test_without_a_stack_and_the_permission_to_list_queues_no_queue_is_checked(cloud, capsys):
    cloud.answers["sqs.ListQueues"] = denied("ListQueues")
    found = findings(capsys, exit_code=6)
    assert {finding["check"] for finding in found} == {"credentials", "permissions", "stack"}


@pytest.mark.usefixtures("orders", "stack")
@pytest.mark.parametrize(
    ("operation", "permission"),
    [
        ("stepfunctions.ListExecutions", "states:ListExecutions"),
        ("stepfunctions.DescribeExecution", "states:DescribeExecution"),
        ("dynamodb.Query", "dynamodb:Query"),
        ("dynamodb.GetItem", "dynamodb:GetItem"),
        ("lambda.Invoke", "lambda:InvokeFunction"),
    ],
)
def test_a_missing_permission_on_the_stack_is_named(cloud, capsys, operation, permission):
    deny(cloud, operation)
    assert permission in of(findings(capsys, exit_code=6), "permissions", "warning")[0]["text"]


@pytest.mark.usefixtures("orders", "stack")
@pytest.mark.parametrize(
    ("operation", "check"),
    [
        ("lambda.ListEventSourceMappings", "consumers"),
        ("sns.ListSubscriptionsByTopic", "topics"),
        ("cloudformation.DescribeStacks", "stack"),
    ],
)
def test_what_may_not_be_read_is_unknown_and_nothing_else_suffers(cloud, capsys, operation, check):
    deny(cloud, operation)
    found = findings(capsys, exit_code=0)
    assert operation.split(".")[1] in of(found, check, "unknown")[0]["text"]
    assert of(found, "retention", "ok")


# The stack


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(("version", "expected"), [("0.1.0", "is older"), ("99.0.0", "is newer"), (None, "is older")])
def test_another_version_is_a_problem(cloud, capsys, version, expected):
    outputs = {"RedriveStateMachineArn": "arn:aws:states:us-east-1:1:stateMachine:a"}
    cloud.stack("sqs-redrive", outputs | ({"Version": version} if version else {}))
    [one] = of(findings(capsys, exit_code=6), "stack")
    assert one["severity"] == "problem"
    assert expected in one["text"]


@pytest.mark.usefixtures("orders", "stack")
@pytest.mark.parametrize(
    ("status", "severity", "remedy"),
    [
        ("CREATE_COMPLETE", "ok", None),
        ("UPDATE_COMPLETE", "ok", None),
        ("UPDATE_ROLLBACK_COMPLETE", "warning", "describe-stack-events"),
        ("UPDATE_ROLLBACK_FAILED", "problem", "continue-update-rollback"),
        ("UPDATE_FAILED", "problem", "describe-stack-events"),
        ("UPDATE_IN_PROGRESS", "warning", "wait stack-update-complete"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "warning", "wait stack-update-complete"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "warning", "wait stack-rollback-complete"),
        ("IMPORT_IN_PROGRESS", "warning", "wait stack-import-complete"),
        ("DELETE_IN_PROGRESS", "warning", "wait stack-delete-complete"),
        ("DELETE_FAILED", "problem", "delete-stack"),
    ],
)
def test_the_state_of_the_stack_is_judged(cloud, capsys, status, severity, remedy):
    cloud.describe("sqs-redrive")["StackStatus"] = status
    [one] = of(findings(capsys, exit_code=0 if severity == "ok" else 6), "stack")
    assert one["severity"] == severity
    assert status in one["text"]
    assert (one["remedy"] is None) if remedy is None else (remedy in one["remedy"])


@pytest.mark.usefixtures("orders", "stack")
def test_a_stack_that_was_deleted_is_none(cloud, capsys):
    cloud.describe("sqs-redrive")["StackStatus"] = "DELETE_COMPLETE"
    [one] = of(findings(capsys, exit_code=6), "stack")
    assert (one["severity"], "isn't deployed: its status is DELETE_COMPLETE" in one["text"]) == ("problem", True)


@pytest.mark.usefixtures("orders")
def test_a_run_and_a_lock_left_over_are_told_apart(dlq, stack, capsys):
    stack.begin("one", dlq="orders-dlq")
    stack.plan("one", dlq)
    [one] = of(findings(capsys, exit_code=0), "runs")
    assert one["remedy"] == "redrive watch one"
    stack.end("one", None, status="ABORTED")
    [one] = of(findings(capsys, exit_code=6), "runs")
    assert (one["severity"], one["remedy"]) == ("warning", "redrive report one")
    assert "still holds orders-dlq" in one["text"]


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(
    ("pattern", "severity", "found"),
    [
        ("orders-dlq", "problem", "orders"),
        ("payments*", "warning", "orders-dlq"),
        ("orders*", "ok", "1 of 1"),
    ],
)
def test_patterns_are_compared_with_the_queues(cloud, dlq, capsys, pattern, severity, found):
    cloud.send(dlq, ["1"])
    MotoStack(cloud, QueueNamePattern=pattern)
    subscribe(cloud, confirmed=1)
    one = of(findings(capsys, exit_code=0 if severity == "ok" else 6), "patterns")[0]
    assert one["severity"] == severity
    assert found in one["text"]
    if severity != "ok":
        pattern_now = words(one["remedy"])[-1]
        assert set(pattern_now.removeprefix('QueueNamePattern="').removesuffix('"').split(",")) >= {pattern, found}


@pytest.mark.usefixtures("orders", "stack")
def test_topics_without_confirmed_subscribers_are_found(cloud, capsys):
    subscribe(cloud, pending=2, filtered=1)
    cloud.describe("sqs-redrive")["Outputs"].append({"OutputKey": "AlarmTopicArn", "OutputValue": f"{TOPIC}-alarms"})
    reports, alarms = of(findings(capsys, exit_code=6), "topics", "warning")
    assert "Nobody gets all reports" in reports["text"]
    assert "Not confirmed yet: 2;" in reports["text"]
    assert f"--topic-arn {TOPIC}-alarms " in alarms["remedy"]


@pytest.mark.usefixtures("orders")
def test_every_contract_is_loaded_and_unused_names_are_found(stack, capsys):
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name="/good", Value='{"type": "object"}', Type="String")
    ssm.put_parameter(Name="/bad", Value='{"type": 1}', Type="String")
    stack.environment = {
        "QUEUE_CONTRACTS": "orders=ssm:/good,orders-*=ssm:/bad,ordres=ssm:/missing,f=python:my.module:ORDER",
        "DESTINATION_ARNS": "arn:aws:lambda:us-east-1:123456789012:function:f",
    }
    found = findings(capsys, exit_code=6)
    bad, missing = of(found, "contracts", "problem")
    assert ("/bad is invalid" in bad["text"], bad["remedy"]) == (True, "aws ssm get-parameter --name /bad")
    assert "ParameterNotFound" in missing["text"]
    [unused] = of(found, "contracts", "warning")
    assert "names ordres," in unused["text"]
    [python] = of(found, "contracts", "unknown")
    assert "python:my.module:ORDER" in python["text"]
    stack.environment = {"QUEUE_CONTRACTS": "nonsense"}
    assert of(findings(capsys, exit_code=6), "contracts", "problem")


@pytest.mark.usefixtures("orders")
def test_a_location_that_somebody_else_wrote_is_one_word_of_the_remedy(stack, capsys):
    hostile = "s3://contracts/it's $(touch /tmp/x) `id` \u202e.json"
    boto3.client("ssm").put_parameter(Name="/all", Value=json.dumps({"orders": hostile}), Type="String")
    stack.environment = {"QUEUE_CONTRACTS": "@ssm:/all"}
    [one] = [one for one in of(findings(capsys, exit_code=6), "contracts") if one["remedy"]]
    assert words(one["remedy"]) == ["aws", "s3", "cp", hostile, "-"]
    assert plain(one["remedy"]) == one["remedy"]


# The remedies


@pytest.mark.parametrize("width", [40, 80])
def test_a_shell_takes_every_remedy_as_the_terminal_shows_it(cloud, orders, dlq, stack, monkeypatch, width):
    answer_with(cloud, [mapping(orders, "worker", State="Disabled")], {"worker": 60})
    attributes(dlq, MessageRetentionPeriod="60")
    cloud.send(dlq, ["1"])
    cloud.describe("sqs-redrive")["Parameters"] = [
        {"ParameterKey": "QueueNamePattern", "ParameterValue": ",".join(f"other-{place}-*" for place in range(8))}
    ]
    cloud.describe("sqs-redrive")["StackStatus"] = "UPDATE_FAILED"
    subscribe(cloud)
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    monkeypatch.setattr(Output, "console", console)
    with console.capture() as capture:
        assert run(["doctor", "--region", "us-east-1"]) == 6
    lines = [line.strip() for line in capture.get().splitlines()]
    commands = [words(line) for line in lines if line.startswith(("aws ", "sam ", "redrive "))]
    assert {tuple(command[:2]) for command in commands} >= {
        *(("aws", "sqs"), ("aws", "lambda"), ("aws", "sns"), ("aws", "cloudformation"), ("sam", "deploy"))
    }
    assert all(command[-2:] == ["--region", "us-east-1"] for command in commands)
    assert stack.executions() == []


# The queues


@pytest.mark.parametrize(
    ("state", "remedies"),
    [
        ("Enabled", []),
        ("Disabled", ["enable-key"]),
        ("PendingDeletion", ["cancel-key-deletion", "enable-key"]),
        ("PendingImport", ["describe-key"]),
    ],
)
def test_a_key_that_cannot_be_used_is_a_problem(cloud, orders, dlq, capsys, state, remedies):
    attributes(dlq, KmsMasterKeyId="alias/orders")
    attributes(orders, KmsMasterKeyId="alias/orders")
    attributes(cloud.queue("unrelated"), KmsMasterKeyId="alias/unrelated")
    date = {"DeletionDate": datetime(2026, 12, 24, tzinfo=UTC)} if state == "PendingDeletion" else {}
    asked = []

    def describe(params):
        asked.append(json.loads(params["body"])["KeyId"] if "body" in params else params["KeyId"])
        return {"KeyMetadata": {"KeyId": "1234", "KeyState": state, **date}}

    cloud.answers["kms.DescribeKey"] = describe
    found = of(findings(capsys, exit_code=6 if remedies else 0), "keys", "problem")
    assert asked == ["alias/orders"]
    assert [f"aws kms {verb} --key-id 1234" for one in found for verb in remedies] == [
        part for one in found for part in one["remedy"].split(" && ")
    ]
    assert all("orders-dlq" in one["text"] for one in found)
    assert bool(found) == bool(remedies)


@pytest.mark.usefixtures("orders")
def test_keys_of_aws_are_not_asked_for(cloud, dlq, capsys):
    attributes(dlq, KmsMasterKeyId="alias/aws/sqs")
    cloud.calls.clear()
    findings(capsys, exit_code=0)
    assert "kms:DescribeKey" not in cloud.calls


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kept=st.integers(60, 1_209_600),
    of_sources=st.lists(st.integers(60, 1_209_600), min_size=1, max_size=3),
    fifo=st.booleans(),
)
@example(kept=1_209_600, of_sources=[60, 1_209_600], fifo=False)
@example(kept=60, of_sources=[1_209_600], fifo=False)
@example(kept=1_000, of_sources=[60, 2_000, 60], fifo=False)
@example(kept=1_000, of_sources=[60, 2_000], fifo=True)
@example(kept=2_000, of_sources=[60, 1_000], fifo=False)
def test_a_dead_letter_queue_that_keeps_messages_no_longer_than_a_source_is_found(capsys, kept, of_sources, fifo):
    end = ".fifo" if fifo else ""
    with moto_cloud() as cloud:
        answer_with(cloud, [], {})
        dlq = cloud.queue(f"a-dlq{end}")
        attributes(dlq, MessageRetentionPeriod=str(kept))
        for place, seconds in enumerate(of_sources):
            attributes(cloud.queue(f"a-{place}{end}", dlq=dlq), MessageRetentionPeriod=str(seconds))
        wrong = not fifo and max(of_sources) >= kept
        found = of(findings(capsys, exit_code=6 if wrong else 0), "retention", "warning")
        assert bool(found) == wrong
        for one in found:
            remedy = shlex.split(one["remedy"])
            name, _, seconds = remedy[-1].partition("=")
            boto3.client("sqs").set_queue_attributes(QueueUrl=remedy[4], Attributes={name: seconds})
        # The remedy raises the queue's retention to the maximum. If a source has that too, another remedy lowers it.
        remains = wrong and kept < max(of_sources) == 1_209_600
        again = of(findings(capsys, exit_code=6 if remains else 0), "retention", "warning")
        assert len(again) == remains


@pytest.fixture
def allow_policies():
    """Return redrive allow policies by ARN, which moto 5.2.5 doesn't."""
    policies: dict[str, str] = {}

    def add(parsed, **_):
        if found := policies.get(parsed["Attributes"].get("QueueArn", "")):
            parsed["Attributes"]["RedriveAllowPolicy"] = found

    with hook("after-call.sqs.GetQueueAttributes", add):
        yield policies


@pytest.mark.parametrize("permission", ["denyAll", "byQueue", "allowAll"])
def test_a_redrive_allow_policy_that_leaves_out_a_source_is_found(orders, dlq, allow_policies, capsys, permission):
    others = ["arn:aws:sqs:us-east-1:123456789012:other"] if permission == "byQueue" else []
    allow_policies[dlq.arn] = json.dumps({"redrivePermission": permission, "sourceQueueArns": others})
    refused = permission != "allowAll"
    found = of(findings(capsys, exit_code=6 if refused else 0), "retention", "warning")
    assert bool(found) == refused
    for one in found:
        values = json.loads(shlex.split(one["remedy"])[-1])
        assert json.loads(values["RedriveAllowPolicy"])["sourceQueueArns"] == [orders.arn, *others]
        allow_policies[dlq.arn] = values["RedriveAllowPolicy"]
        findings(capsys, exit_code=0)


def test_consumers_are_judged_as_look_does(cloud, orders, capsys):
    answer_with(cloud, [mapping(orders, "worker", State="Disabled")], {"worker": 60})
    found = of(findings(capsys, "--region", "us-east-1", exit_code=6), "consumers", "warning")
    assert len(found) == 3
    assert all(one["remedy"].endswith(" --region us-east-1") for one in found)


def test_many_queues_cost_no_request_each_for_their_mappings(cloud, capsys):
    pairs = []
    for place in range(8):
        dlq = cloud.queue(f"q{place}-dlq")
        attributes(dlq, MessageRetentionPeriod="1209600")
        pairs.append(cloud.queue(f"q{place}", dlq=dlq))
    answer_with(cloud, [mapping(pairs[3], "worker")], {"worker": 60})
    cloud.calls.clear()
    found = of(findings(capsys, exit_code=6), "consumers", "warning")
    # One request for the names, and one for the settings.
    assert cloud.calls.count("lambda:ListEventSourceMappings") == 2
    assert cloud.calls.count("lambda:GetFunctionConfiguration") == 1
    assert all("q3" in one["text"] for one in found)


def test_credentials_that_have_expired_are_one_sentence(cloud, capsys):
    def expired(_):
        raise ClientError({"Error": {"Code": "ExpiredToken", "Message": ""}}, "GetCallerIdentity")

    cloud.answers["sts.GetCallerIdentity"] = expired
    assert run(["doctor"]) == 1
    assert "expired" in capsys.readouterr().err


@pytest.mark.usefixtures("orders", "stack")
def test_the_version_of_the_stack_is_in_the_json(capsys):
    run(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["stack"] == {"name": "sqs-redrive", "version": VERSION}
    assert document["account"] == "123456789012"
    assert set(document["findings"][0]) == {"severity", "check", "text", "remedy"}
