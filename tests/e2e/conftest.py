"""The app, deployed with `sam build` and `sam deploy` on one embedded cloud for all end-to-end tests."""

from collections.abc import Iterator

import pytest

from local.cloud import STACK_NAME
from local.embedded_cloud import EmbeddedCloud
from tests.support.app import TEAM, TEAM_QUEUES, App
from verify.function_failures import function_name

# Contracts by the names of queues; a test stores the contract that it needs.
CONTRACTS = ",".join(
    (
        f"{TEAM}by-parameter-*=ssm:/{STACK_NAME}/contracts/order",
        f"{TEAM}by-object-*=s3://schemas/order.json",
        f"{TEAM}raw-*=ssm:/{STACK_NAME}/contracts/raw",
        f"{TEAM}slow-*=ssm:/{STACK_NAME}/contracts/slow",
        f"{TEAM}broken-*=ssm:/{STACK_NAME}/contracts/broken",
    )
)
VERIFY_PREFIX = f"{TEAM}verify"
# What may be delivered to besides queues: a test creates the one that it needs.
HOME = "us-east-1:000000000000"
DESTINATIONS = {
    "DestinationFunctionArns": ",".join(
        f"arn:aws:lambda:{HOME}:function:{name}"
        for name in ("on-order-lost", "on-order-shipped", function_name(VERIFY_PREFIX))
    ),
    "DestinationStateMachineArns": f"arn:aws:states:{HOME}:stateMachine:orders-flow",
}
PARAMETERS = {
    "SliceSeconds": "5",
    "QueueContracts": CONTRACTS,
    "ContractsBucket": "schemas",
    **DESTINATIONS,
    **TEAM_QUEUES,
}


@pytest.fixture(scope="session")
def shared_app() -> Iterator[App]:
    with EmbeddedCloud.start() as cloud:
        yield App(cloud, cloud.deploy(STACK_NAME, PARAMETERS))


@pytest.fixture(scope="module")
def app(shared_app: App) -> App:
    """The app, without what the tests of another file left in the quarantine."""
    shared_app.sqs.purge_queue(QueueUrl=shared_app.quarantine.url)
    return shared_app
