"""Starts and stops the embedded cloud, deploys SAM templates to it, and makes clients for it.

``local.cloud`` wraps it for the command line; the integration tests, the demo and the benchmarks use it
directly. Nothing here can reach an AWS account: endpoint, credentials and region are always given explicitly.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import boto3
import botocore.session
from botocore.config import Config

from local import sam_deployment
from local.process_identity import started_at
from local.workspace import ROOT, STATE_DIRECTORY, EmbeddedCloudError, cloud_python

__all__ = [
    "EmbeddedCloud",
    "EmbeddedCloudError",
    "PortInUseError",
    "RunningCloud",
    "log_path",
    "record",
    "record_path",
    "recorded",
]

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
# Enough of the log to see the error and where it came from.
LOG_TAIL_LINES = 25
# Where CPython and pip installations and temporary files are found; nothing else of the caller's environment,
# above all none of its AWS_ variables, gets into the emulator or the functions that run in it.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


class PortInUseError(EmbeddedCloudError):
    """Something else listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is in use by another program; "
            f"stop that program, or use another port: PORT={port + 1} make local-up"
        )


@dataclass(frozen=True)
class RunningCloud:
    """What is recorded about a cloud that outlives the process that started it."""

    port: int
    pid: int
    started_at: str

    @property
    def is_alive(self) -> bool:
        """Whether the recorded process, and not another one with its id, still runs."""
        return started_at(self.pid) == self.started_at


class EmbeddedCloud:
    """One emulator process on 127.0.0.1.

    Examples
    --------
    >>> with EmbeddedCloud.start() as cloud:
    ...     cloud.client("sqs").create_queue(QueueName="orders")

    Attributes
    ----------
    port
        The TCP port it listens on.
    pid
        The process id of the emulator.
    """

    def __init__(self, port: int, pid: int, process: subprocess.Popen[bytes] | None = None) -> None:
        self.port = port
        self.pid = pid
        self._process = process
        self._clients: dict[tuple[str, str | None], Any] = {}

    @classmethod
    def start(
        cls,
        port: int | None = None,
        *,
        detached: bool = False,
        lambda_endpoint_url: str | None = None,
        wait_scale: float = 1.0,
        alarm_scale: float = 1.0,
        environment: dict[str, str] | None = None,
    ) -> Self:
        """Start the emulator and wait until it answers.

        Parameters
        ----------
        port
            The port to listen on; None lets the system choose a free one.
        detached
            Whether it goes on running when this process ends; otherwise it ends within a second of it.
        lambda_endpoint_url
            What functions get as AWS_ENDPOINT_URL instead of the emulator's own address, such as a proxy in
            front of it.
        wait_scale
            What the seconds of Wait states and of Retry intervals are multiplied by; 0 skips them.
        alarm_scale
            What the periods of alarms are multiplied by. Metrics of queues come every second: periods of a
            minute bear 0.05.
        environment
            Further variables for the emulator, and so for every function it runs.

        Raises
        ------
        PortInUseError
            Something else listens on the port.
        EmbeddedCloudError
            The environment for the emulator is missing, or the emulator does not come up.
        """
        python = cloud_python()
        if port is None:
            port = _free_port()
        elif _is_listening(port):
            raise PortInUseError(port)
        variables = {name: os.environ[name] for name in INHERITED if name in os.environ}
        variables |= {
            "GATEWAY_PORT": str(port),
            "LOG_LEVEL": "WARNING",
            "SFN_WAIT_SCALE": str(wait_scale),
            "ALARM_PERIOD_SCALE": str(alarm_scale),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            **(environment or {}),
        }
        if lambda_endpoint_url:
            variables["AWS_ENDPOINT_URL"] = lambda_endpoint_url
        if not detached:
            variables["EMBEDDED_CLOUD_OWNER"] = str(os.getpid())
        STATE_DIRECTORY.mkdir(exist_ok=True)
        with log_path(port).open("wb") as log:
            process = subprocess.Popen(
                [python, "-m", "local.launch"],
                cwd=ROOT,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        cloud = cls(port, process.pid, process)
        cloud._wait_until_ready(process)
        return cloud

    @classmethod
    def at(cls, running: RunningCloud) -> Self:
        """Return the cloud that another process has started and recorded."""
        return cls(running.port, running.pid)

    @property
    def endpoint_url(self) -> str:
        """The address of every service."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point AWS SDKs and tools at this cloud, and nowhere else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            # Some calls of Step Functions go to a host like sync-127.0.0.1 otherwise.
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        }

    def client(
        self, service_name: str, *, endpoint_url: str | None = None, config: Config | None = None
    ) -> Any:
        """Return a boto3 client for this cloud, whatever AWS settings the caller's environment has.

        Parameters
        ----------
        service_name
            As boto3 names it, such as ``sqs`` or ``stepfunctions``.
        endpoint_url
            Another address, such as a proxy in front of this cloud.
        config
            Settings that are added to the defaults: no proxy, two attempts.
        """
        if config is None:
            # Making a client takes longer than most calls; clients are safe to share between threads.
            key = (service_name, endpoint_url)
            if key not in self._clients:
                self._clients[key] = self._new_client(service_name, endpoint_url, Config())
            return self._clients[key]
        return self._new_client(service_name, endpoint_url, config)

    def _new_client(self, service_name: str, endpoint_url: str | None, config: Config) -> Any:
        defaults = Config(
            proxies={}, retries={"total_max_attempts": 2}, read_timeout=70, inject_host_prefix=False
        )
        # boto3-stubs overloads this method for literal names only.
        session: Any = _session()
        return session.client(
            service_name,
            endpoint_url=endpoint_url or self.endpoint_url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=defaults.merge(config),
        )

    def deploy(
        self, stack_name: str, parameters: dict[str, str] | None = None, *, template: Path | None = None
    ) -> dict[str, str]:
        """Build a SAM template and deploy it with ``sam``, and return the stack's outputs.

        See :func:`local.sam_deployment.deploy`.
        """
        template = template or ROOT / "template.yaml"
        sam_deployment.deploy(self.environment, stack_name, parameters or {}, template)
        return self.outputs(stack_name)

    def outputs(self, stack_name: str) -> dict[str, str]:
        """Return the outputs of a deployed stack."""
        stack = self.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def reset(self) -> None:
        """Delete everything in this cloud."""
        request = urllib.request.Request(f"{self.endpoint_url}/_ministack/reset", method="POST")
        with _direct_opener().open(request, timeout=START_SECONDS):
            pass

    def stop(self) -> None:
        """Stop the emulator, and with it the functions that it runs."""
        identity = started_at(self.pid)
        if identity is None:
            return
        os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self._is_still(identity) and time.monotonic() < deadline:
            time.sleep(0.02)
        if self._is_still(identity):
            os.kill(self.pid, signal.SIGKILL)
        log = log_path(self.port)
        if log.exists() and not log.stat().st_size:
            log.unlink()

    def _is_still(self, identity: str) -> bool:
        if self._process is not None and self._process.poll() is not None:
            return False
        return started_at(self.pid) == identity

    def is_answering(self) -> bool:
        """Whether the emulator answers requests."""
        try:
            with _direct_opener().open(f"{self.endpoint_url}/_ministack/health", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise EmbeddedCloudError(
                    f"the embedded cloud ended with status {process.returncode} while starting; "
                    f"the end of {log_path(self.port)}:\n{_tail(self.port)}"
                )
            if self.is_answering():
                return
            time.sleep(0.05)
        self.stop()
        raise EmbeddedCloudError(
            f"the embedded cloud did not answer on port {self.port} within {START_SECONDS:.0f} seconds; "
            f"the end of {log_path(self.port)}:\n{_tail(self.port)}"
        )


def log_path(port: int) -> Path:
    """Return where the emulator on a port writes its log."""
    return STATE_DIRECTORY / f"{port}.log"


def record_path(port: int) -> Path:
    """Return where a detached cloud on a port is recorded."""
    return STATE_DIRECTORY / f"{port}.json"


def record(cloud: EmbeddedCloud) -> None:
    """Record a detached cloud, so that another process can stop exactly this one."""
    identity = started_at(cloud.pid)
    if identity is None:
        raise EmbeddedCloudError(f"the embedded cloud on port {cloud.port} ended before it could be recorded")
    record_path(cloud.port).write_text(json.dumps(asdict(RunningCloud(cloud.port, cloud.pid, identity))))


def recorded(port: int) -> RunningCloud | None:
    """Return the cloud recorded for a port if it still runs; a record of one that does not is removed."""
    path = record_path(port)
    if not path.exists():
        return None
    running = RunningCloud(**json.loads(path.read_text()))
    if not running.is_alive:
        path.unlink(missing_ok=True)
        return None
    return running


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _tail(port: int) -> str:
    lines = log_path(port).read_text(errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])


def _direct_opener() -> urllib.request.OpenerDirector:
    # http_proxy must not apply to 127.0.0.1.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _session() -> boto3.Session:
    # A profile or a file of the caller's is not even looked at: it could name a role to assume, or not exist.
    session = botocore.session.Session(
        session_vars={
            "profile": (None, [], None, None),
            "config_file": (None, [], os.devnull, None),
            "credentials_file": (None, [], os.devnull, None),
        }
    )
    return boto3.Session(botocore_session=session)
