"""What GitHub and the AWS Serverless Application Repository take: the workflows, and the metadata of the template."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import browsers
from tests.support.definitions import ROOT, TEMPLATE, template
from tests.support.rendering import transformed

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEST, DEPLOY = (ROOT / ".github" / "workflows" / name for name in ("test.yml", "deploy.yml"))
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


def test_the_tests_fail_on_a_runner_without_a_browser_instead_of_skipping_the_report_page():
    runs = [step.get("run") for step in yaml.safe_load(TEST.read_text())["jobs"]["test"]["steps"]]
    assert runs[-2:] == [f"{browsers.NAMES[0]} --version", "make test"]


def test_the_deployment_is_verified_where_it_was_deployed():
    package, deploy, verify = [step["run"] for step in steps(DEPLOY) if "run" in step]
    assert package == "make package setup-cloud"
    assert "sam deploy" in deploy
    assert '-m verify "$STACK" --yes' in verify


def played(script: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step of a workflow as GitHub does, with its tools replaced by those in a directory."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
        cwd=directory,
        env={"PATH": f"{directory}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def tool(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (1, 1), (2, 2), (3, 0), (130, 130)])
def test_scenarios_that_were_skipped_are_a_warning_and_no_failure(tmp_path, status, expected):
    [_package, _deploy, verify] = [step["run"] for step in steps(DEPLOY) if "run" in step]
    tool(tmp_path / ".venvs/cloud/bin/python", f"exit {status}")
    done = played(verify, tmp_path, STACK="sqs-redrive")
    assert done.returncode == expected
    assert ("::warning::" in done.stdout) == (status == 3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parameters=st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,10}", fullmatch=True),
        st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126))
        | st.sampled_from(["*", "$(id)", " --x"]),
        min_size=1,
        max_size=4,
    )
)
def test_parameters_reach_sam_as_they_are(tmp_path, parameters):
    [_package, deploy, _verify] = [step["run"] for step in steps(DEPLOY) if "run" in step]
    tool(tmp_path / ".venvs/sam/bin/sam", 'printf "%s\\0" "$@" > arguments')
    tool(tmp_path / "python", f'exec {sys.executable} "$@"')
    done = played(deploy, tmp_path, STACK="a b", ARCHITECTURE="arm64", PARAMETERS=json.dumps(parameters))
    assert done.returncode == 0, done.stderr
    arguments = (tmp_path / "arguments").read_text().split("\0")[:-1]
    place = arguments.index("--parameter-overrides")
    assert arguments[:3] == ["deploy", "--stack-name", "a b"]
    *passed, architecture = arguments[place + 1 :]
    assert architecture == "Architecture=arm64"
    read = dict(override.split("=", 1) for override in passed)
    assert {name: json.loads(value) for name, value in read.items()} == parameters


@pytest.mark.parametrize(
    "text", ["", "Examples=false", "[]", '{"a b": "c"}', '{"--x": "c"}', '{"A": 1}', '{"A": "b\\nc"}']
)
def test_parameters_that_are_none_end_the_deployment_before_it_begins(tmp_path, text):
    [_package, deploy, _verify] = [step["run"] for step in steps(DEPLOY) if "run" in step]
    tool(tmp_path / ".venvs/sam/bin/sam", "touch called")
    tool(tmp_path / "python", f'exec {sys.executable} "$@"')
    done = played(deploy, tmp_path, STACK="s", ARCHITECTURE="arm64", PARAMETERS=text)
    assert done.returncode == 1
    assert "error: Expected" in done.stderr
    assert not (tmp_path / "called").exists()


def test_the_parameters_by_default_are_those_that_verify_needs():
    inputs = yaml.safe_load(DEPLOY.read_text())[True]["workflow_dispatch"]["inputs"]
    assert json.loads(inputs["parameters"]["default"]).keys() <= template()["Parameters"].keys()
    assert inputs["architecture"]["options"] == template()["Parameters"]["Architecture"]["AllowedValues"]


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
