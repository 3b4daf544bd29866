"""The comparison itself: it tells of a call that IAM would deny, and of a permission that nothing needs."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.permissions import exceptions, findings, requests
from tests.permissions.evaluation import Role
from tests.permissions.findings import CHANGES, findings_of, unnoticed
from tests.permissions.records import stacks
from tests.permissions.requests import Request, UnknownCallError, requests_of
from tests.support.definitions import listed

HOME = "us-east-1:000000000000"
ORDERS, PARKED = f"arn:aws:sqs:{HOME}:orders", f"arn:aws:sqs:{HOME}:parked"
RUNS = f"arn:aws:dynamodb:{HOME}:table/runs"
FUNCTION = f"arn:aws:lambda:{HOME}:function:mover"
LEADING = "dynamodb:LeadingKeys"


def allow(*actions: str, on: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": on, **more}


def keys(*patterns: str) -> dict[str, Any]:
    return {"Condition": {"ForAllValues:StringLike": {LEADING: list(patterns)}}}


def asked(action: str, resource: str, *leading: str) -> Request:
    return Request(action, resource, ((LEADING, leading),) if leading else ())


#: A role that needs everything that it may do.
FITTING = Role(
    "Mover",
    [
        allow("sqs:ReceiveMessage", "sqs:DeleteMessage", on=[ORDERS, PARKED]),
        allow("dynamodb:PutItem", on=RUNS, **keys("run#1", "dlq#1")),
        {"Effect": "Deny", "Action": "lambda:InvokeFunction", "Resource": f"{FUNCTION}*"},
    ],
    requests={
        asked("sqs:ReceiveMessage", ORDERS),
        asked("sqs:DeleteMessage", PARKED),
        asked("dynamodb:PutItem", RUNS, "run#1"),
        asked("dynamodb:PutItem", RUNS, "dlq#1"),
    },
    forbidden={Request("lambda:InvokeFunction", FUNCTION), Request("lambda:InvokeFunction", f"{FUNCTION}:1")},
)


def found(role: Role, *, complete: bool = True) -> list[str]:
    return list(findings_of([role], complete=complete))


def test_nothing_is_found_of_a_role_that_needs_what_it_may_do() -> None:
    assert found(FITTING) == []


def test_every_removed_or_widened_statement_is_noticed() -> None:
    assert list(unnoticed([FITTING])) == []
    # Of each kind of change, at least one applies.
    for change in CHANGES.values():
        assert any(change(statement) != statement for statement in FITTING.statements)


def test_it_is_noticed_if_a_change_isnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "UNNEEDED", {"Mover: sqs:TagResource on arn:aws:sqs:orders": "Somebody likes tags."})
    assert [line.rsplit(": ", 1)[1] for line in unnoticed([FITTING])] == ["one action more"]


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (asked("sqs:SendMessage", ORDERS), False),
        (asked("sqs:ReceiveMessage", f"{ORDERS}-2"), False),
        (asked("SQS:receivemessage", ORDERS), True),
        (asked("sqs:ReceiveMessage", ORDERS.upper()), False),
        # IAM user guide, "Single-valued vs. multivalued context keys": every value in the request must match.
        (asked("dynamodb:PutItem", RUNS, "run#1", "dlq#1"), True),
        (asked("dynamodb:PutItem", RUNS, "run#1", "sent#1"), False),
        # "It also returns true if there are no keys in the request."
        (asked("dynamodb:PutItem", RUNS), True),
    ],
)
def test_actions_resources_and_conditions_decide(request_: Request, allowed: bool) -> None:
    assert FITTING.allows(request_) is allowed


def test_a_denied_call_is_found_in_any_run() -> None:
    role = replace(FITTING, requests={*FITTING.requests, asked("sqs:PurgeQueue", ORDERS)})
    assert found(role, complete=False) == found(role)
    assert found(role)[0].startswith("Mover: sqs:PurgeQueue on arn:aws:sqs:orders: IAM would deny this call")


@pytest.mark.parametrize("request_", sorted(FITTING.requests, key=str), ids=str)
def test_what_nothing_needs_is_found_in_a_complete_run_only(request_: Request) -> None:
    role = replace(FITTING, requests=FITTING.requests - {request_})
    assert any("no call needed this" in line for line in found(role))
    assert found(role, complete=False) == []


def test_an_exception_that_means_nothing_any_more_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "UNNEEDED", {"Mover: sqs:SendMessage on orders": "Once upon a time."})
    assert [line.split(": ")[-1] for line in found(FITTING)] == [
        "isn't in template.yaml any more; remove it from tests/permissions/exceptions.py"
    ]


LOGGED, LOG_ACTION = "Mover: * for logs:CreateLogDelivery", "Mover: logs:CreateLogDelivery on *"
#: A role with a statement on any resource, which the exceptions accept.
LOGGING = replace(FITTING, statements=[*FITTING.statements, allow("logs:CreateLogDelivery", on="*")])


@pytest.fixture
def logging_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "OPEN", {LOGGED: "It has no resource."})
    monkeypatch.setattr(findings, "UNNEEDED", dict.fromkeys((LOGGED, LOG_ACTION), "The cloud has no log deliveries."))


@pytest.mark.usefixtures("logging_accepted")
@pytest.mark.parametrize("place", range(2))
@pytest.mark.parametrize("resources", ["*", ["*"], f"arn:aws:sqs:{HOME}:*", "arn:aws:sqs:*"], ids=str)
def test_any_resource_is_accepted_for_the_actions_of_its_entry_only(place: int, resources: Any) -> None:
    assert found(LOGGING) == []
    statements = list(LOGGING.statements)
    statements[place] = {**statements[place], "Resource": resources}
    lines = found(replace(LOGGING, statements=statements), complete=False)
    actions = ", ".join(sorted(statements[place]["Action"]))
    assert [line.split(": allows more than one thing")[0].split(" for ", 1)[1] for line in lines[-1:]] == [actions]


@pytest.mark.usefixtures("logging_accepted")
def test_every_change_beside_an_accepted_statement_is_noticed() -> None:
    assert list(unnoticed([LOGGING])) == []


@pytest.mark.usefixtures("logging_accepted")
def test_an_exception_without_actions_accepts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "OPEN", {"Mover: *": "Anything goes."})
    assert [line.partition("; ")[0] for line in found(LOGGING)] == [
        f"{LOGGED}: allows more than one thing",
        "Mover: *: isn't in template.yaml any more",
    ]


@pytest.mark.parametrize("name", ["UNNEEDED", "OPEN"])
def test_every_exception_about_a_role_names_its_actions(name: str) -> None:
    for entry in getattr(exceptions, name):
        assert re.search(r" for \w+:\w+(, \w+:\w+)*$|: \w+:\w+ on ", entry), entry


@pytest.mark.parametrize("name", ["UNNEEDED", "OPEN", "MANAGED", "NOT_DEPLOYED"])
def test_every_exception_has_a_reason(name: str) -> None:
    entries = getattr(exceptions, name)
    assert entries
    assert all(len(reason) > 10 for reason in entries.values())


# What calls need


def call(service: str, operation: str, **names: Any) -> dict[str, Any]:
    return {"service": service, "operation": operation, "names": names}


QUEUE_URL = "http://127.0.0.1:4566/000000000000/orders"


@pytest.mark.parametrize(
    ("made", "needed"),
    [
        (call("sqs", "SendMessageBatch", QueueUrl=QUEUE_URL), [f"sqs:SendMessage on {ORDERS}"]),
        (call("sqs", "GetQueueUrl", QueueName="orders"), [f"sqs:GetQueueUrl on {ORDERS}"]),
        (
            call("event-source-mapping", "Poll", QueueUrl=QUEUE_URL),
            [f"sqs:{name} on {ORDERS}" for name in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")],
        ),
        (call("lambda", "Invoke", FunctionName=FUNCTION), [f"lambda:InvokeFunction on {FUNCTION}"]),
        (
            call("lambda", "GetFunctionConfiguration", FunctionName="mover", Qualifier="live"),
            [f"lambda:GetFunctionConfiguration on {FUNCTION}:live"],
        ),
        (call("ssm", "GetParameter", Name="/a/b"), [f"ssm:GetParameter on arn:aws:ssm:{HOME}:parameter/a/b"]),
        (
            call("events", "ListTargetsByRule", Rule="r", EventBusName="b"),
            [f"events:ListTargetsByRule on arn:aws:events:{HOME}:rule/b/r"],
        ),
        (
            call("sns", "GetSubscriptionAttributes", SubscriptionArn=f"arn:aws:sns:{HOME}:topic:id"),
            [f"sns:GetSubscriptionAttributes on arn:aws:sns:{HOME}:topic"],
        ),
        (
            call("sesv2", "SendEmail", FromEmailAddress="a@b.c"),
            [
                f"ses:SendEmail on arn:aws:ses:{HOME}:identity/{identity} with ses:FromAddress a@b.c"
                for identity in ("a@b.c", "b.c")
            ],
        ),
        (
            call("states:startExecution.sync", "2", StateMachineArn=f"arn:aws:states:{HOME}:stateMachine:m"),
            [
                f"states:StartExecution on arn:aws:states:{HOME}:stateMachine:m",
                *(
                    f"states:{name} on arn:aws:states:{HOME}:execution:m:any"
                    for name in ("DescribeExecution", "StopExecution")
                ),
                *(
                    f"events:{name} on arn:aws:events:{HOME}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
                    for name in ("PutTargets", "PutRule", "DescribeRule")
                ),
            ],
        ),
    ],
)
def test_a_call_needs(made: dict[str, Any], needed: list[str]) -> None:
    assert [str(request) for request in requests_of(made)] == needed


def test_each_table_and_operation_of_a_call_needs_its_own_permission() -> None:
    items = [
        {"operation": "PutItem", "table": "runs", "key": "run#1"},
        {"operation": "PutItem", "table": "runs", "key": "dlq#1"},
        {"operation": "UpdateItem", "table": "balances", "key": None},
    ]
    assert [str(request) for request in requests_of({**call("dynamodb", "TransactWriteItems"), "items": items})] == [
        f"dynamodb:PutItem on {RUNS} with {LEADING} dlq#1, run#1",
        f"dynamodb:UpdateItem on arn:aws:dynamodb:{HOME}:table/balances",
    ]


def test_a_call_that_nobody_has_looked_up_is_an_error() -> None:
    with pytest.raises(UnknownCallError, match="found sqs2:Fly; add what the Service Authorization Reference says"):
        list(requests_of(call("sqs2", "Fly")))


# From records to roles


def test_calls_become_requests_of_the_role_of_their_function_and_state_machine(tmp_path: Path) -> None:
    queue = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": f"arn:aws:sqs:{HOME}:shop-Queue-1"}
    stack: dict[str, Any] = {
        "name": "shop",
        "parameters": {"QueueNamePattern": "team-*"},
        "resources": {
            "Queue": "http://h/000000000000/shop-Queue-1",
            "Send": "shop-Send-1",
            "SendRole": "r",
            "FlowRole": "f",
        },
        "types": {
            "Queue": "AWS::SQS::Queue",
            "Send": "AWS::Lambda::Function",
            "SendRole": "AWS::IAM::Role",
            "FlowRole": "AWS::IAM::Role",
        },
        "roles": {
            "SendRole": {
                "policies": [{"Statement": [queue]}],
                "managed": ["arn:aws:iam::aws:policy/service-role/Basic"],
            },
            "FlowRole": {"policies": [], "managed": []},
        },
    }
    calls = [
        {"function": "shop-Send-1", **call("sqs", "SendMessage", QueueUrl=stack["resources"]["Queue"])},
        {"role": "arn:aws:iam::000000000000:role/f", **call("sns", "publish", TopicArn="t")},
        {"function": "of-another-stack", **call("sns", "Publish", TopicArn="t")},
    ]
    lines = [{"stack": stack}, *({"call": each} for each in calls)]
    (tmp_path / "cloud.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (read,) = stacks(tmp_path)
    sends, flow = read.roles["SendRole"], read.roles["FlowRole"]
    assert sends.requests == {Request("sqs:SendMessage", queue["Resource"])}
    assert flow.requests == {Request("sns:Publish", "t")}
    assert sends.managed == ["Basic"]
    assert list(sends.denied()) == []
    assert list(flow.denied()) == ["FlowRole: sns:Publish on t"]
    assert sends.in_words(listed(queue["Resource"])[0]) == "SendRole: arn:aws:sqs:${Queue}"
    assert sends.in_words(f"arn:aws:sqs:{HOME}:team-*") == "SendRole: arn:aws:sqs:${QueueNamePattern}"
    assert (
        sends.in_words(f"arn:aws:ssm:{HOME}:parameter/shop/x") == "SendRole: arn:aws:ssm:parameter/${AWS::StackName}/x"
    )


def test_the_home_of_the_requests_is_that_of_the_embedded_cloud() -> None:
    assert f"{requests.REGION}:{requests.ACCOUNT}" == HOME
