"""The scenarios of `make verify`, which also prove a deployment in an account, on the deployed app.

What they show isn't tested again elsewhere: queues and their dead-letter queues, FIFO, attributes, dry runs, stops,
refusals, a function's failures, the quarantine.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.cloud import STACK_NAME
from tests.e2e.conftest import VERIFY_PREFIX
from tests.support.app import App
from verify import cost
from verify.aws import Aws
from verify.function_failures import function_name
from verify.owned import leftovers
from verify.runner import Outcome, Result, Verification
from verify.scenarios import SCENARIOS, Scenario
from verify.stack import find_stack


@dataclass(frozen=True)
class Verified:
    """A verification that has ended."""

    aws: Aws
    run_id: str
    outcomes: dict[str, Outcome]
    #: Requests to SQS by operation.
    requests: Counter[str]


@pytest.fixture(scope="module")
def verified(app: App) -> Iterator[Verified]:
    """All scenarios, played at the same time, as the command does."""
    app.take(app.quarantine)
    requests: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in app.cloud.environment.items():
            environment.setenv(name, value)
        aws = Aws()
        stack = find_stack(aws.cloudformation, STACK_NAME)
        stack.require_pattern_for(VERIFY_PREFIX)
        verification = Verification(aws, stack, VERIFY_PREFIX, SCENARIOS)

        def count(model: Any, **_: Any) -> None:
            requests[model.name] += 1

        aws.sqs.meta.events.register("before-call.sqs", count)
        outcomes = verification.play(lambda _: None)
        yield Verified(aws, verification.run_id, {outcome.scenario: outcome for outcome in outcomes}, requests)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(verified: Verified, scenario: Scenario):
    outcome = verified.outcomes[scenario.name]
    assert (outcome.result, outcome.left) == (Result.PASSED, {}), outcome.detail


def test_nothing_is_left_in_the_account_or_the_quarantine(verified: Verified, app: App):
    assert leftovers(verified.aws, VERIFY_PREFIX, function_name(VERIFY_PREFIX)) == []
    assert app.depth(app.quarantine) == 0


def test_it_costs_no_more_than_it_says(verified: Verified, app: App):
    amounts = cost.total(scenario.amounts for scenario in SCENARIOS)
    # The redrive makes about as many requests as the verification itself.
    assert verified.requests.total() * 2 < cost.requests(amounts)
    machine = app.resource("RedriveStateMachine")
    executions = app.workflow.list_executions(stateMachineArn=machine)["executions"]
    arns = [one["executionArn"] for one in executions]
    inputs = {arn: app.workflow.describe_execution(executionArn=arn)["input"] for arn in arns}
    own = [arn for arn in arns if verified.run_id in inputs[arn]]
    # All but those on the quarantine name a queue of the verification.
    assert amounts.runs - 2 <= len(own) <= amounts.runs
    entered = 0
    for arn in own:
        pages = app.workflow.get_paginator("get_execution_history").paginate(executionArn=arn)
        entered += sum("Entered" in event["type"] for page in pages for event in page["events"])
    assert entered < cost.transitions(amounts)
