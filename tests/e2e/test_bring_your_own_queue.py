"""A team with queues of its own: the redrive without its examples, and the queue of docs/snippets by it."""

import fnmatch
import io
import itertools
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.app import App, Pair
from tests.support.definitions import ROOT, listed, template
from tests.support.eventually import eventually

STACK = "orders-redrive"
SNIPPET = ROOT / "docs" / "snippets" / "orders.sam.yaml"
PATTERN = "orders*"
CONTRACT = f"/{STACK}/contracts/order"
BROKEN = "def handler(event, context): raise RuntimeError('out of order')"


@pytest.fixture(scope="module")
def without_examples(app: App) -> Iterator[App]:
    """The app, deployed once more as docs/guides/bring-your-own-queue.md says."""
    parameters = {
        "Examples": "false",
        "QueueNamePattern": PATTERN,
        "QueueContracts": f"orders=ssm:{CONTRACT}",
        "SliceSeconds": "5",
        # samconfig.toml lists the one of `make verify`.
        "DestinationFunctionArns": "",
    }
    schema = (SNIPPET.parent / "order.schema.json").read_text()
    app.cloud.client("ssm").put_parameter(Name=CONTRACT, Value=schema, Type="String")
    yield App(app.cloud, app.cloud.deploy(STACK, parameters), prefix="")
    app.cloud.client("cloudformation").delete_stack(StackName=STACK)


@pytest.fixture(scope="module")
def orders(without_examples: App) -> Iterator[Pair]:
    """The queue of the SAM snippet with its consumer, whose messages come back after a second."""
    app = without_examples
    stack = app.cloud.deploy("orders", template=SNIPPET)
    pair = Pair(app.queue_at(stack.resource("OrdersQueue")), app.queue_at(stack.resource("OrdersDLQ")))
    app.sqs.set_queue_attributes(QueueUrl=pair.source.url, Attributes={"VisibilityTimeout": "1"})
    yield pair
    app.cloud.client("cloudformation").delete_stack(StackName="orders")


def order(order_id: str) -> dict[str, str]:
    return {"MessageBody": json.dumps({"order_id": order_id, "quantity": 1})}


def code(source: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", source)
    return packed.getvalue()


def replace_consumer(app: App, source: str) -> str:
    """Give the consumer of the orders other code; return its name."""
    client, name = app.cloud.client("lambda"), app.cloud.stack("orders").resource("OrdersConsumer")
    client.update_function_code(FunctionName=name, ZipFile=code(source))
    return name


def logged(app: App) -> set[str]:
    logs = app.cloud.client("logs")
    group = app.cloud.stack("orders").resource("OrdersConsumerLogs")
    events = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    return {event["message"].strip() for page in events for event in page["events"]}


def test_without_examples_nothing_of_them_is_deployed(without_examples: App):
    conditions = {name: resource.get("Condition") for name, resource in template()["Resources"].items()}
    examples = {name for name, condition in conditions.items() if condition == "WithExamples"}
    always = {name for name, condition in conditions.items() if condition is None}
    deployed = without_examples.stack.resources.keys()
    assert examples
    assert not examples & deployed
    assert always <= deployed
    assert not [name for name in without_examples.stack.outputs if name.startswith("StoreEvents")]


@pytest.mark.parametrize("name", ["billing", "orders-billing"])
def test_a_function_that_the_deployment_does_not_list_is_never_invoked(without_examples: App, name: str):
    app = without_examples
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    context = {"requestId": "r", "functionArn": arn, "condition": "RetriesExhausted"}
    record = {"version": "1.0", "timestamp": "t", "requestContext": context | {"approximateInvokeCount": 3}}
    failures = app.queue("orders-failures")
    app.send(failures, [{"MessageBody": json.dumps(record | {"requestPayload": {"order": 1}})}])
    assert app.redrive(failures).report["skipReasons"] == {"destination-not-allowed": 1}
    assert app.visible(failures) == 1


def test_the_roles_reach_the_queues_of_the_pattern_and_no_others(without_examples: App):
    app = without_examples
    iam = app.cloud.client("iam")
    allowed: set[tuple[str, str]] = set()
    for role in (name for logical, name in app.stack.resources.items() if logical.endswith("Role")):
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document: dict[str, Any] = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            for statement in document["Statement"]:
                if statement["Effect"] == "Allow":
                    allowed |= set(itertools.product(listed(statement["Action"]), listed(statement["Resource"])))
    queues = {resource for action, resource in allowed if action.startswith("sqs:")}
    functions = {resource for action, resource in allowed if action == "lambda:InvokeFunction"}

    def reached(name: str) -> bool:
        return any(fnmatch.fnmatchcase(f"arn:aws:sqs:us-east-1:000000000000:{name}", arn) for arn in queues)

    assert all(reached(name) for name in ("orders", "orders-dlq", f"{STACK}-QuarantineQueue-1"))
    assert not any(reached(name) for name in ("payments", "payments-dlq", "my-orders-dlq"))
    # No parameter lists a function.
    assert {arn.partition(":*")[0] for arn in functions} <= {
        app.cloud.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"]
        for logical, name in app.stack.resources.items()
        if logical.endswith("Function")
    }


def test_dead_letters_of_the_snippets_queue_go_back_once_its_consumer_is_fixed(without_examples: App, orders: Pair):
    app = without_examples
    replace_consumer(app, BROKEN)
    app.send(orders.source, [order(f"order-{n}") for n in range(12)])
    eventually(lambda: app.visible(orders.dlq) == 12)

    looked = app.redrive(orders.dlq, dryRun=True)
    assert (looked.report["status"], looked.report["counts"]["remaining"]) == ("DRY_RUN", 12)
    assert looked.report["destination"] == "orders"

    replace_consumer(app, (SNIPPET.parent / "consumer" / "index.py").read_text())
    first = app.redrive(orders.dlq, maxMessages=5, rate=5)
    assert (first.report["counts"]["redriven"], first.report["counts"]["bounced"]) == (5, 0)
    rest = app.redrive(orders.dlq)
    assert (rest.report["status"], rest.report["counts"]["redriven"]) == ("SUCCEEDED", 7)
    eventually(lambda: {f"processed order-{n}" for n in range(12)} <= logged(app))
    assert app.depth(orders.source) == app.depth(orders.dlq) == 0


def test_one_bad_order_among_good_ones_dies_alone(without_examples: App, orders: Pair):
    app = without_examples
    replace_consumer(app, (SNIPPET.parent / "consumer" / "index.py").read_text())
    app.send(orders.source, [*(order(f"fine-{n}") for n in range(9)), {"MessageBody": "{}"}])
    (dead,) = eventually(lambda: app.take(orders.dlq))
    assert dead["Body"] == "{}"
    eventually(lambda: {f"processed fine-{n}" for n in range(9)} <= logged(app))


def test_an_order_that_breaks_the_schema_of_the_snippets_goes_to_the_quarantine(without_examples: App, orders: Pair):
    app = without_examples
    app.take(orders.dlq)
    broken = {"MessageBody": json.dumps({"order_id": "broken", "quantity": "many"})}
    app.send(orders.dlq, [order("valid"), broken])
    run = app.redrive(orders.dlq)
    assert run.report["counts"]["redriven"] == 1
    assert run.report["quarantineReasons"] == {"invalid-body": 1}
    (kept,) = app.take(app.quarantine)
    assert kept["Body"] == broken["MessageBody"]
