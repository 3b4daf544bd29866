"""What GitHub and the AWS Serverless Application Repository take: the workflows, and the metadata of the template."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.definitions import ROOT, TEMPLATE, template
from tests.support.rendering import transformed

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
METADATA = template()["Metadata"]["AWS::ServerlessRepo::Application"]
# AWS Serverless Application Repository developer guide, "CreateApplication".
PATTERNS = {
    "Name": r"[a-zA-Z0-9\-]{1,140}",
    "Description": r".{1,256}",
    "Author": r"(?=.{1,127}$)[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?",
    "SemanticVersion": r"\d+\.\d+\.\d+",
}
# The SAM CLI's own publishing of what it writes when it builds, with a client that records the request.
PUBLISH = """
import json, sys
import boto3
from botocore.stub import Stubber
from samcli.vendor.serverlessrepo import publish
from samcli.yamlhelper import yaml_dump, yaml_parse

client = boto3.client("serverlessrepo", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
requests = []
client.meta.events.register("provide-client-params.*.CreateApplication", lambda params, **_: requests.append(params))
with Stubber(client) as stub:
    application = "arn:aws:serverlessrepo:us-east-1:123456789012:applications/a"
    stub.add_response("create_application", {"ApplicationId": application})
    publish.publish_application(yaml_dump(yaml_parse(sys.stdin.read())), client)
json.dump(requests, sys.stdout)
"""
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]


@each_workflow
def test_every_action_is_pinned_to_a_commit(path):
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert not [name for name in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name)]
    # The version is in a comment, for those who update it.
    assert len(re.findall(r"uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", path.read_text(), re.MULTILINE)) == len(used)


@each_workflow
def test_a_workflow_gets_no_more_than_it_needs(path):
    workflow = yaml.safe_load(path.read_text())
    expected = {"contents": "read"} | ({"id-token": "write"} if path.name == "deploy.yml" else {})
    assert workflow["permissions"] == expected
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 60
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@each_workflow
def test_no_input_of_a_workflow_becomes_part_of_a_command(path):
    expressions = [found for step in steps(path) for found in re.findall(r"\$\{\{(.*?)\}\}", step.get("run", ""))]
    assert {found.strip() for found in expressions} <= {"matrix.architecture"}


@each_workflow
def test_workflows_call_targets_that_exist(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {found for step in steps(path) for found in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))}
    assert called
    assert called <= targets


def test_every_check_runs_on_every_change():
    runs = {
        step["run"]
        for path in WORKFLOWS
        if "pull_request" in yaml.safe_load(path.read_text())[True]  # YAML 1.1 reads `on` as true
        for step in steps(path)
        if "run" in step
    }
    assert {"make lint", "make test", "make audit", "make sbom"} <= runs
    assert any(run.startswith("make package ") for run in runs)


def test_the_deployment_is_verified_where_it_was_deployed():
    commands = [step["run"] for step in steps(ROOT / ".github" / "workflows" / "deploy.yml") if "run" in step]
    assert commands[0] == "make package"
    assert "sam deploy" in commands[1]
    assert commands[2:] == ["make verify ARGS=--yes"]


@pytest.mark.parametrize("name", PATTERNS)
def test_the_application_repository_accepts_the_metadata(name):
    assert re.fullmatch(PATTERNS[name], METADATA[name])


def test_the_application_repository_accepts_labels_license_and_readme():
    assert len(METADATA["Labels"]) <= 10
    assert all(re.fullmatch(r"[a-zA-Z0-9+\-_:/@]{1,127}", label) for label in METADATA["Labels"])
    assert METADATA["SpdxLicenseId"] == "Apache-2.0"
    for url in ("LicenseUrl", "ReadmeUrl"):
        assert 0 < (ROOT / METADATA[url]).stat().st_size < 5 * 1024 * 1024


def test_the_template_is_within_the_limits_of_cloudformation():
    # CloudFormation user guide, "Understand CloudFormation quotas".
    assert len(TEMPLATE.read_bytes()) < 1024 * 1024
    assert len(json.dumps(transformed())) < 1024 * 1024
    assert len(transformed()["Resources"]) <= 500
    assert len(template()["Parameters"]) <= 200
    assert len(template()["Outputs"]) <= 200
    assert len(template()["Description"]) <= 1024


@pytest.mark.slow
def test_sam_publish_takes_the_packaged_template():
    packaged = TEMPLATE.read_text()
    for name in ("LICENSE", "README.md"):
        packaged = re.sub(rf"(Url: ){re.escape(name)}$", rf"\1s3://bucket/{name}", packaged, flags=re.MULTILINE)
    done = subprocess.run(
        [ROOT / ".venvs" / "sam" / "bin" / "python", "-c", PUBLISH],
        input=packaged,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [request] = json.loads(done.stdout)
    assert request["Name"] == METADATA["Name"]
    assert request["LicenseUrl"] == "s3://bucket/LICENSE"
    assert "RedriveStateMachine:" in request["TemplateBody"]
