"""Starts and stops the embedded cloud, deploys SAM templates to it, and creates clients for it.

``local.cloud`` is its command line; the tests, the demo, and the benchmarks use it directly. Nothing here can reach an
AWS account, because endpoint, credentials, and Region are always explicit.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import boto3
import botocore.session
from botocore.config import Config

from local import call_recorder, sam_deployment
from local.process_identity import started_at
from local.shared_client import shared
from local.workspace import ROOT, STATE_DIRECTORY, EmbeddedCloudError, cloud_python

__all__ = [
    "EmbeddedCloud",
    "EmbeddedCloudError",
    "PortInUseError",
    "RunningCloud",
    "Stack",
    "log_path",
    "record",
    "record_path",
    "recorded",
]

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
# How long a log with problems is kept after its cloud has stopped.
LOG_SECONDS = 86_400.0
# Enough of the log for a traceback.
LOG_TAIL_LINES = 25
# What Python needs. The emulator and its functions get nothing else of the caller's environment, above all no AWS_
# variables.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


class PortInUseError(EmbeddedCloudError):
    """Something else listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is in use by another program; "
            f"stop that program, or use another port: PORT={port + 1} make local-up"
        )


@dataclass(frozen=True)
class RunningCloud:
    """The record of a cloud that outlives the process that started it."""

    port: int
    pid: int
    started_at: str

    @property
    def is_alive(self) -> bool:
        """Whether the recorded process, and not another with its id, still runs."""
        return started_at(self.pid) == self.started_at


@dataclass(frozen=True)
class Stack:
    """A deployed stack."""

    name: str
    outputs: dict[str, str]
    # Physical ids by logical id: a queue's is its URL, a topic's and a state machine's are their ARNs.
    resources: dict[str, str]

    def resource(self, logical_id: str) -> str:
        """Return the physical id of a resource."""
        if logical_id not in self.resources:
            raise EmbeddedCloudError(
                f"expected a resource of the stack {self.name}, found {logical_id!r}; "
                f"it has {', '.join(sorted(self.resources))}"
            )
        return self.resources[logical_id]


class EmbeddedCloud:
    """One emulator process on 127.0.0.1.

    Examples
    --------
    >>> with EmbeddedCloud.start() as cloud:
    ...     cloud.client("sqs").create_queue(QueueName="orders")
    """

    def __init__(self, port: int, pid: int, process: subprocess.Popen[bytes] | None = None) -> None:
        self.port = port
        self.pid = pid
        self._process = process
        #: The file that calls are recorded in, if they are.
        self.call_records: str | None = None
        self._clients: dict[tuple[str, str | None], Any] = {}

    @classmethod
    def start(
        cls,
        port: int | None = None,
        *,
        lambda_endpoint_url: str | None = None,
        wait_scale: float = 1.0,
        alarm_scale: float = 1.0,
        environment: dict[str, str] | None = None,
    ) -> Self:
        """Start the emulator and wait until it answers.

        It ends within a second of this process, unless :func:`record` has recorded it.

        Parameters
        ----------
        port
            The port to listen on; None for a free one.
        lambda_endpoint_url
            AWS_ENDPOINT_URL of the functions if it isn't the emulator, such as a proxy before it.
        wait_scale
            Factor for the seconds of Wait states and Retry intervals; 0 skips them.
        alarm_scale
            Factor for the periods of alarms. Queues publish metrics every second, so a minute can shrink to 0.05.
        environment
            More variables for the emulator and every function.

        Raises
        ------
        PortInUseError
            Something else listens on the port.
        EmbeddedCloudError
            The emulator isn't installed, or doesn't start.
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
            "TMPDIR": str(_files_path(port)),
            "EMBEDDED_CLOUD_OWNER": str(os.getpid()),
            "EMBEDDED_CLOUD_RECORD": str(record_path(port)),
        }
        variables |= call_recorder.variables()
        if lambda_endpoint_url:
            variables["AWS_ENDPOINT_URL"] = lambda_endpoint_url
        shutil.rmtree(_files_path(port), ignore_errors=True)
        _files_path(port).mkdir(parents=True)
        for old in STATE_DIRECTORY.glob("*.log"):
            if time.time() - old.stat().st_mtime > LOG_SECONDS:
                old.unlink(missing_ok=True)
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
        cloud.call_records = variables.get(call_recorder.VARIABLE)
        try:
            cloud._wait_until_ready(process)
        except BaseException:
            cloud.stop()
            raise
        return cloud

    @classmethod
    def at(cls, running: RunningCloud) -> Self:
        """Return a cloud that another process started and recorded."""
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
            # Without it, some calls of Step Functions are sent to a host such as sync-127.0.0.1.
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        }

    def client(self, service_name: str, *, endpoint_url: str | None = None, config: Config | None = None) -> Any:
        """Return a boto3 client for this cloud that ignores the AWS settings of the caller.

        Parameters
        ----------
        service_name
            The name in boto3, such as ``sqs`` or ``stepfunctions``.
        endpoint_url
            Another address, such as a proxy before this cloud.
        config
            Settings to add to the defaults: no proxy, two attempts.
        """
        if config is None:
            # Creating a client takes longer than most calls. Threads can share one.
            key = (service_name, endpoint_url)
            if key not in self._clients:
                self._clients[key] = shared(self._new_client(service_name, endpoint_url, Config()))
            return self._clients[key]
        return self._new_client(service_name, endpoint_url, config)

    def _new_client(self, service_name: str, endpoint_url: str | None, config: Config) -> Any:
        defaults = Config(proxies={}, retries={"total_max_attempts": 2}, read_timeout=70, inject_host_prefix=False)
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
    ) -> Stack:
        """Build a SAM template and deploy it with ``sam``; see :func:`local.sam_deployment.deploy`."""
        sam_deployment.deploy(self.environment, stack_name, parameters or {}, template or ROOT / "template.yaml")
        stack = self.stack(stack_name)
        if self.call_records and template is None:
            call_recorder.record_permissions(Path(self.call_records), self.client, stack_name)
        return stack

    def stack(self, stack_name: str) -> Stack:
        """Return a deployed stack."""
        client = self.client("cloudformation")
        (found,) = client.describe_stacks(StackName=stack_name)["Stacks"]
        pages = client.get_paginator("list_stack_resources").paginate(StackName=stack_name)
        return Stack(
            stack_name,
            {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])},
            {
                resource["LogicalResourceId"]: resource["PhysicalResourceId"]
                for page in pages
                for resource in page["StackResourceSummaries"]
            },
        )

    def reset(self) -> None:
        """Delete everything in this cloud."""
        request = urllib.request.Request(f"{self.endpoint_url}/_ministack/reset", method="POST")
        with _direct_opener().open(request, timeout=START_SECONDS):
            pass

    def stop(self) -> None:
        """Stop the emulator with the functions that it runs, and delete its files, except for a log of problems."""
        identity = started_at(self.pid)
        if identity is not None:
            os.kill(self.pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while self._is_still(identity) and time.monotonic() < deadline:
                time.sleep(0.02)
            # The emulator is the leader of a group, which functions that ignore SIGTERM still belong to.
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            while self._is_still(identity):
                time.sleep(0.02)
        shutil.rmtree(_files_path(self.port), ignore_errors=True)
        record_path(self.port).unlink(missing_ok=True)
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
        raise EmbeddedCloudError(
            f"the embedded cloud did not respond on port {self.port} within {START_SECONDS:.0f} seconds; "
            f"the end of {log_path(self.port)}:\n{_tail(self.port)}"
        )


def log_path(port: int) -> Path:
    """Return the path of the log of the emulator on a port."""
    return STATE_DIRECTORY / f"{port}.log"


def _files_path(port: int) -> Path:
    return STATE_DIRECTORY / f"{port}.files"


def record_path(port: int) -> Path:
    """Return the path of the record of a cloud that outlives its owner."""
    return STATE_DIRECTORY / f"{port}.json"


def record(cloud: EmbeddedCloud) -> None:
    """Record a cloud, so it outlives this process and another process can stop exactly this one."""
    identity = started_at(cloud.pid)
    if identity is None:
        raise EmbeddedCloudError(f"the embedded cloud on port {cloud.port} ended before it could be recorded")
    record_path(cloud.port).write_text(json.dumps(asdict(RunningCloud(cloud.port, cloud.pid, identity))))


def recorded(port: int) -> RunningCloud | None:
    """Return the cloud recorded for a port, or None; delete the record if that cloud no longer runs."""
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
    # The caller's profile and files are ignored: they could name a role to assume, or not exist.
    session = botocore.session.Session(
        session_vars={
            "profile": (None, [], None, None),
            "config_file": (None, [], os.devnull, None),
            "credentials_file": (None, [], os.devnull, None),
        }
    )
    return boto3.Session(botocore_session=session)
