"""A deployed stack in moto's account, whose runs a test plays: it holds locks, records progress, and ends executions.

The integration tests of the commands that start, watch, and stop runs use it.
"""

from __future__ import annotations

import io
import json
from typing import Any

import boto3
from botocore.exceptions import ClientError
from moto.stepfunctions.models import stepfunctions_backends

from redrive import VERSION
from redrive.adapters.checkpoints import Checkpoints
from redrive.adapters.executions import Executions
from redrive.adapters.run_table import RunTable
from redrive.domain.errors import RejectedError
from redrive.domain.messages.queues import QueueRef
from redrive.domain.plan.request import RedriveRequest
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.continuation import RunProgress
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.sample import Sample
from redrive.workflow.ports import Checkpoint
from redrive.workflow.stop import stop
from tests.support import factories
from tests.support.moto_cloud import MotoCloud

STACK = "sqs-redrive"
ACCOUNT = "123456789012"
_DEFINITION = '{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}'
_STEP = "arn:aws:states:us-east-1:123456789012:"


class MotoStack:
    """The stack `sqs-redrive`."""

    def __init__(self, cloud: MotoCloud, **parameters: str) -> None:
        self.cloud = cloud
        self.table = RunTable(cloud.run_table("runs"))
        self.checkpoints = Checkpoints("runs")
        self.states = boto3.client("stepfunctions")
        machine = self.states.create_state_machine(
            name="redrive", definition=_DEFINITION, roleArn=f"arn:aws:iam::{ACCOUNT}:role/redrive"
        )["stateMachineArn"]
        self.machine = machine
        self.quarantine = cloud.queue("quarantine")
        #: The environment of the sampler.
        self.environment: dict[str, str] = {}
        outputs = {
            "Version": VERSION,
            "RedriveStateMachineArn": machine,
            "RunTableName": "runs",
            "StopFunctionName": "stop",
            "QuarantineQueueUrl": self.quarantine.url,
            "ReportTopicArn": f"arn:aws:sns:us-east-1:{ACCOUNT}:reports",
        }
        cloud.stack(STACK, outputs, **parameters)
        resource = {"StackResourceDetail": {"PhysicalResourceId": "sampler"}}
        cloud.answers["cloudformation.DescribeStackResource"] = lambda _: resource
        cloud.answers["lambda.GetFunctionConfiguration"] = lambda _: {"Environment": {"Variables": self.environment}}
        cloud.answers["lambda.Invoke"] = self._invoke

    # Executions

    def executions(self) -> list[str]:
        """Return the names of all executions."""
        found = self.states.list_executions(stateMachineArn=self.machine)["executions"]
        return [execution["name"] for execution in found]

    def input_of(self, name: str) -> Any:
        """Return the input of an execution."""
        return json.loads(self.states.describe_execution(executionArn=self.arn(name))["input"])

    def arn(self, name: str) -> str:
        """Return the ARN of an execution."""
        return f"{_STEP}execution:redrive:{name}"

    def begin(self, name: str, **given: Any) -> str:
        """Start an execution, as an operator without this command does; return its ARN."""
        arn: str = self.states.start_execution(stateMachineArn=self.machine, name=name, input=json.dumps(given))[
            "executionArn"
        ]
        return arn

    def end(self, name: str, report: Report | None, status: str = "SUCCEEDED", error: str | None = None) -> None:
        """End an execution with a report, as the workflow does, or without one."""
        [execution] = [
            execution
            for machine in stepfunctions_backends[ACCOUNT]["us-east-1"].state_machines
            for execution in machine.executions
            if execution.name == name
        ]
        text = None if report is None else report.model_dump_json()
        execution.status = status
        execution.stop_date = execution.start_date
        execution.error = error
        if status == "SUCCEEDED":
            execution.output = text
        else:
            execution.cause = text

    # What the steps of a run record

    def plan(self, name: str, dlq: QueueRef, **changes: Any) -> RunPlan:
        """Return the plan of a run, which holds its queue's lock from now on."""
        request = RedriveRequest(dlq=dlq.name)
        values = {"run_id": name, "execution_arn": self.arn(name), "dlq": dlq, "request": request}
        plan = factories.plan(**(values | changes))
        assert self.table.lock(plan) is None
        return plan

    def moves(self, plan: RunPlan, lane: int = 0, round_: int = 0, **values: Any) -> None:
        """Record a lane's checkpoint."""
        work = factories.work(lane=lane, round=round_)
        self.checkpoints.take(plan, work, "attempt")
        reached = Checkpoint(factories.slice_result(**values), in_hand=0, granted=0, finished=False)
        self.checkpoints.checkpoint(plan, work, "attempt", reached)

    def tallies(self, plan: RunPlan, **values: Any) -> Tally:
        """Record how far a run is after a round."""
        made = factories.tally(**values)
        self.table.record(RunProgress(plan=plan, sample=Sample(sampled=10), tally=made))
        return made

    # The function that stops runs

    def _invoke(self, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("headers", {}).get("X-Amz-Invocation-Type") == "DryRun":
            return {}
        dlq = json.loads(params["body"] if "body" in params else json.dumps(params))["dlq"]
        try:
            found = stop(dlq, queues=self.cloud.queues, store=self.table, executions=Executions())
            answer = found.model_dump(mode="json")
        except RejectedError as error:
            answer = {"errorType": "RejectedError", "errorMessage": str(error)}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


def denied(operation: str) -> Any:
    """Return an answer that denies an operation."""

    def deny(_params: dict[str, Any]) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, operation)

    return deny
