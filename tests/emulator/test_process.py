"""Start, end, and record of the embedded cloud, and the check that ministack fits its patches."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from local import cloud as command_line
from local import embedded_cloud
from local.embedded_cloud import (
    EmbeddedCloud,
    EmbeddedCloudError,
    PortInUseError,
    RunningCloud,
    Stack,
    log_path,
    record,
    record_path,
    recorded,
)
from local.ministack_compat import fit
from local.process_identity import started_at
from local.workspace import ROOT, STATE_DIRECTORY
from tests.support.cloud_resources import invoke, make_function
from tests.support.eventually import eventually


@pytest.fixture
def busy_port():
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def state_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded_cloud, "STATE_DIRECTORY", tmp_path)
    return tmp_path


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "local.cloud", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# The check that ministack fits ------------------------------------------------------------------------------


def test_another_version_of_ministack_is_refused(monkeypatch):
    monkeypatch.setattr(fit, "installed_version", lambda: "9.9.9")

    with pytest.raises(fit.MinistackMisfitError) as caught:
        fit.check_version()

    assert str(caught.value).startswith("ministack 9.9.9 does not fit: expected version 1.5.33; pin 1.5.33")


def test_a_ministack_without_something_that_is_patched_is_refused():
    with pytest.raises(fit.MinistackMisfitError, match=r"expected json to have _gone"):
        fit.replace(json, _gone=None)


def test_the_pinned_version_is_the_one_that_is_installed():
    pinned = next(
        line for line in (ROOT / "requirements" / "cloud.in").read_text().splitlines() if line.startswith("ministack")
    )

    assert pinned.endswith(f"=={fit.PINNED_VERSION}")


def test_a_start_with_a_ministack_that_does_not_fit_shows_the_message(state_directory):
    broken = state_directory / "sitecustomize.py"
    broken.write_text("import local.ministack_compat.fit as fit\nfit.installed_version = lambda: '9.9.9'\n")
    environment = {"PYTHONPATH": f"{state_directory}:{ROOT}"}

    with pytest.raises(EmbeddedCloudError, match=r"ministack 9\.9\.9 does not fit"):
        EmbeddedCloud.start(environment=environment)


# Starting and stopping --------------------------------------------------------------------------------------


def test_a_busy_port_is_refused_with_what_to_do_about_it(busy_port):
    with pytest.raises(PortInUseError, match=f"PORT={busy_port + 1} make local-up"):
        EmbeddedCloud.start(busy_port)


def test_up_on_a_busy_port_ends_with_status_2_and_says_so(busy_port):
    done = command("up", PORT=str(busy_port))

    assert done.returncode == 2
    assert f"port {busy_port} is in use" in done.stderr


@pytest.mark.usefixtures("state_directory")
def test_a_stopped_cloud_leaves_no_process_and_no_file(state_directory):
    source = """
        import os, signal
        def handle(event, context):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            return os.getcwd(), os.getpid()
    """
    with EmbeddedCloud.start() as cloud:
        code, worker = invoke(cloud, make_function(cloud, source))
        assert Path(code).is_relative_to(state_directory)
        assert started_at(worker)

    assert not cloud.is_answering()
    eventually(lambda: {started_at(cloud.pid), started_at(worker)} == {None})
    assert not list(state_directory.iterdir())


@pytest.mark.parametrize("ending", ["", "os.kill(os.getpid(), 9)"])
def test_a_cloud_ends_with_the_process_that_started_it(ending):
    program = (
        "import os; from local.embedded_cloud import EmbeddedCloud; "
        f"cloud = EmbeddedCloud.start(); print(cloud.pid, cloud.port, flush=True); {ending}"
    )
    started = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    pid, port = map(int, started.stdout.split())

    eventually(lambda: started_at(pid) is None)
    assert {path.suffix for path in STATE_DIRECTORY.glob(f"{port}.*")} <= {".log"}
    log_path(port).unlink(missing_ok=True)


def test_it_listens_on_the_loopback_interface_only(cloud):
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}

    for address in addresses - {"127.0.0.1", "127.0.1.1"}:
        with socket.socket() as probe:
            probe.settimeout(1)
            assert probe.connect_ex((address, cloud.port)) != 0


@pytest.mark.usefixtures("state_directory")
def test_a_reset_deletes_everything():
    with EmbeddedCloud.start() as cloud:
        cloud.client("sqs").create_queue(QueueName="orders")

        cloud.reset()

        assert "QueueUrls" not in cloud.client("sqs").list_queues()


def test_a_resource_that_a_stack_does_not_have_is_refused_with_those_that_it_has():
    stack = Stack("orders", outputs={}, resources={"OrdersQueue": "http://x/orders"})

    assert stack.resource("OrdersQueue") == "http://x/orders"
    with pytest.raises(EmbeddedCloudError, match="found 'Orders'; it has OrdersQueue"):
        stack.resource("Orders")


# Recording --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("state_directory")
def test_a_recorded_cloud_is_found_and_stopped_by_another_process():
    cloud = EmbeddedCloud.start()
    record(cloud)

    running = recorded(cloud.port)
    assert running is not None
    EmbeddedCloud.at(running).stop()

    eventually(lambda: recorded(cloud.port) is None)
    assert not record_path(cloud.port).exists()


@pytest.mark.usefixtures("state_directory")
def test_a_process_id_that_was_handed_out_again_is_not_taken_for_the_cloud():
    innocent = RunningCloud(port=1, pid=os.getpid(), started_at="another time")

    assert not innocent.is_alive


def test_down_without_a_cloud_says_so(busy_port):
    done = command("down", PORT=str(busy_port))

    assert done.returncode == 2
    assert f"no embedded cloud is running on port {busy_port}" in done.stderr


def test_env_prints_everything_that_keeps_tools_away_from_an_account():
    printed = CliRunner().invoke(command_line.app, ["env", "--port", "4599"]).stdout

    assert "export AWS_ENDPOINT_URL=http://127.0.0.1:4599\n" in printed
    assert "export AWS_ACCESS_KEY_ID=test\n" in printed
    assert "export AWS_CONFIG_FILE=/dev/null\n" in printed
    assert "unset AWS_PROFILE" in printed


# Isolation --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("state_directory")
def test_aws_settings_of_the_caller_reach_neither_clients_nor_functions(monkeypatch):
    for name, value in {
        "AWS_PROFILE": "production",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9",
        "AWS_SESSION_TOKEN": "secret",
        "http_proxy": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)

    with EmbeddedCloud.start() as cloud:
        cloud.client("sqs").create_queue(QueueName="orders")
        function = make_function(
            cloud, "import os\ndef handle(event, context): return {k: os.environ.get(k) for k in event}"
        )
        seen = invoke(cloud, function, ["AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"])

    assert seen == {
        "AWS_PROFILE": None,
        "AWS_ENDPOINT_URL": cloud.endpoint_url,
        "AWS_ENDPOINT_URL_SQS": None,
    }


@pytest.mark.usefixtures("state_directory")
def test_the_calls_of_functions_can_be_sent_through_another_address():
    with EmbeddedCloud.start(lambda_endpoint_url="http://127.0.0.1:9") as cloud:
        function = make_function(cloud, "import os\ndef handle(event, context): return os.environ['AWS_ENDPOINT_URL']")

        assert invoke(cloud, function) == "http://127.0.0.1:9"


def test_the_log_of_the_emulator_is_kept(cloud):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(cloud.endpoint_url) as response:
        assert response.status == 200

    assert log_path(cloud.port).exists()


@pytest.mark.usefixtures("state_directory")
def test_a_killed_emulator_is_no_longer_recorded():
    cloud = EmbeddedCloud.start()
    record(cloud)

    os.kill(cloud.pid, signal.SIGKILL)

    eventually(lambda: recorded(cloud.port) is None)
