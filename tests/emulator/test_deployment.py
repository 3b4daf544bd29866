"""How the embedded cloud runs ``sam``; a program of that name here only notes how it was called."""

import json
import platform
import re
import zipfile
from pathlib import Path

import pytest

from local import sam_deployment, workspace
from local.embedded_cloud import EmbeddedCloud, EmbeddedCloudError
from local.sam_deployment import ARCHITECTURES, deploy

ENVIRONMENT = EmbeddedCloud(port=1, pid=0).environment

TEMPLATE = """\
Parameters:
  Architecture:
    Type: String
  SliceSeconds:
    Type: Number
Globals:
  Function:
    CodeUri: functions/
"""

SAMCONFIG = """\
version = 0.1
[local.deploy.parameters]
parameter_overrides = "SliceSeconds=10 Queues=*"
"""

SAM = """\
#!/bin/sh
echo "$@" >> "$CALLS"
if [ "$1" = build ]; then
  while [ "$1" != --build-dir ]; do shift; done
  mkdir -p "$2/First" "$2/Second"
  cp "$CALLS" "$2/First/code.py"
  echo 'Resources: {A: {Properties: {CodeUri: First}}, B: {Properties: {CodeUri: Second}}}' > "$2/template.yaml"
  printf '[function_build_definitions.1]\nfunctions = ["First", "Second"]\n' > "$2/../build.toml"
fi
env | grep ^AWS_ | sort >> "$CALLS.environment"
exit "${STATUS:-0}"
"""


class App:
    """A SAM app in a directory of its own, and what ``sam`` was called with."""

    def __init__(self, directory):
        self.directory = directory
        self.template = directory / "template.yaml"
        self.template.write_text(TEMPLATE)
        (directory / "samconfig.toml").write_text(SAMCONFIG)

    def deploy(self, **parameters):
        deploy(ENVIRONMENT, "stack", parameters, self.template)

    @property
    def calls(self):
        return (self.directory.parent / "calls").read_text().splitlines()

    @property
    def environment(self):
        return (self.directory.parent / "calls.environment").read_text()


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A directory with the programs that a deployment needs, and the only one they are looked for in."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("sam", "python3.13"):
        program = directory / name
        program.write_text(SAM)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setattr(workspace, "_SAM_PROGRAMS", tmp_path / "nowhere")
    monkeypatch.setattr(sam_deployment, "STATE_DIRECTORY", tmp_path / "state")
    return directory


@pytest.fixture
def app(tmp_path, programs):
    directory = tmp_path / "app"
    directory.mkdir()
    assert programs.exists()
    return App(directory)


def overrides(call):
    """Return the parameters at the end of a call of ``sam``."""
    return dict(pair.split("=", 1) for pair in call.split(" --parameter-overrides ")[1].split())


def test_parameters_come_from_samconfig_the_machine_and_the_caller_in_that_order(app):
    app.deploy(SliceSeconds="5")

    architecture = ARCHITECTURES[platform.machine().lower()]
    build, _bytecode, deployment = app.calls
    assert build.startswith("build --config-file")
    assert overrides(build) == {"Architecture": architecture}
    assert "--config-env local" in deployment
    assert overrides(deployment) == {"SliceSeconds": "5", "Queues": "*", "Architecture": architecture}


def test_a_parameter_that_holds_json_is_quoted_as_sam_reads_it(app):
    app.deploy(Input='{"rate":10}')

    assert overrides(app.calls[-1])["Input"] == r'"{\"rate\":10}"'


def test_functions_of_the_same_code_are_deployed_with_one_package(app):
    app.deploy()

    built = Path(re.search(r"--template-file (\S+)", app.calls[-1])[1])
    resources = json.loads(built.read_text())["Resources"]
    assert [resource["Properties"]["CodeUri"] for resource in resources.values()] == ["First.zip", "First.zip"]
    assert zipfile.ZipFile(built.parent / "First.zip").namelist() == ["code.py"]


def test_an_app_is_built_again_only_when_one_of_its_files_has_changed(app):
    app.deploy()
    app.deploy()
    (app.directory / "functions").mkdir()
    (app.directory / "functions" / "handler.py").write_text("changed")
    app.deploy()

    bytecode = f"-m tools.bytecode {next(app.directory.parent.glob('state/build/*/output'))}"
    assert [call if "bytecode" in call else call.split()[0] for call in app.calls] == [
        *("build", bytecode, "deploy"),
        "deploy",
        *("build", bytecode, "deploy"),
    ]


def test_sam_gets_the_settings_of_the_embedded_cloud_and_none_of_the_callers(app, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "production")

    app.deploy()

    assert "AWS_ENDPOINT_URL=http://127.0.0.1:1\n" in app.environment
    assert "AWS_PROFILE" not in app.environment


def test_what_sam_says_is_shown_when_it_fails(app, programs):
    (programs / "sam").write_text("#!/bin/sh\necho 'no such property: Polcies' >&2\nexit 1\n")

    with pytest.raises(EmbeddedCloudError, match=r"`sam build` failed with status 1:\nno such property: Polcies"):
        app.deploy()


@pytest.mark.parametrize(("program", "advice"), [("sam", "make setup"), ("python3.13", r"install Python 3\.13")])
def test_a_missing_program_is_named_with_how_to_get_it(app, programs, program, advice, monkeypatch):
    (programs / program).unlink()
    monkeypatch.setenv("PATH", str(programs))

    with pytest.raises(EmbeddedCloudError, match=f"'{program}' was not found on PATH.*{advice}"):
        app.deploy()
