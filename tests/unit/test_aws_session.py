"""The session that creates clients: they are those of any botocore session, for every service that the project uses."""

import gzip
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import boto3
import botocore.loaders
import botocore.session
import pytest
from botocore.exceptions import DataNotFoundError, ProfileNotFound, UnknownServiceError
from botocore.loaders import JSONFileLoader

from redrive.aws_session import AwsSession, default_session, session_of, set_up_boto3, use

FUNCTIONS = Path(__file__).parents[2] / "functions"
SERVICES = [
    *("cloudformation", "cloudwatch", "dynamodb", "events", "lambda", "logs", "s3", "scheduler"),
    *("secretsmanager", "sesv2", "sns", "sqs", "ssm", "stepfunctions", "sts"),
]
KINDS = ("service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2")


@pytest.fixture(autouse=True)
def no_files(monkeypatch, tmp_path):
    """Whoever runs the tests may have profiles and models of their own."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.delenv("AWS_DATA_PATH", raising=False)


class Json(JSONFileLoader):
    """Reads files as they are. Tests in the same process keep what botocore's has read, and moto changes that."""

    def load_file(self, file_path: str) -> Any:
        for path, opened in ((Path(f"{file_path}.json"), open), (Path(f"{file_path}.json.gz"), gzip.open)):
            if path.is_file():
                with opened(path, "rb") as file:
                    return json.load(file)
        return None


def sessions() -> tuple[Any, Any]:
    """Return our session and botocore's."""
    theirs = botocore.session.Session()
    theirs.get_component("data_loader").file_loader = Json()
    return AwsSession(), theirs


def loaders() -> list[Any]:
    return [session.get_component("data_loader") for session in sessions()]


def read(loader: Any, service: str, kind: str) -> str:
    """Return what a loader finds, with the order of its members, or the error."""
    try:
        return json.dumps(loader.load_service_model(service, kind))
    except DataNotFoundError as error:
        return type(error).__name__


@pytest.mark.parametrize("service", SERVICES)
def test_it_reads_the_same_data(service):
    ours, theirs = loaders()
    for kind in KINDS:
        assert read(ours, service, kind) == read(theirs, service, kind)


@pytest.mark.parametrize("name", ["endpoints", "partitions", "sdk-default-configuration", "_retry"])
def test_it_reads_the_same_data_about_all_services(name):
    ours, theirs = loaders()
    assert json.dumps(ours.load_data(name)) == json.dumps(theirs.load_data(name))


def test_it_knows_all_services():
    ours, theirs = loaders()
    assert set(theirs.list_available_services("service-2")) <= set(ours.list_available_services("service-2"))
    with pytest.raises(UnknownServiceError):
        AwsSession().create_client("no-such-service", region_name="us-east-1")


def test_a_model_of_the_user_s_own_is_found(monkeypatch, tmp_path):
    folder = tmp_path / "mine" / "2026-11-29"
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text('{"metadata": {"serviceId": "\\u00fc"}}')
    monkeypatch.setattr(botocore.loaders.Loader, "CUSTOMER_DATA_PATH", str(tmp_path))
    ours, theirs = loaders()
    for kind in KINDS:
        assert read(ours, "mine", kind) == read(theirs, "mine", kind)
    assert json.loads(read(ours, "mine", "service-2")) == {"metadata": {"serviceId": "ü"}}


def test_other_folders_with_data_are_left_to_botocore(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_DATA_PATH", f"{tmp_path}{os.pathsep}~/models")
    ours, theirs = loaders()
    assert type(ours) is type(theirs)
    assert ours.search_paths == theirs.search_paths


@pytest.mark.parametrize("service", SERVICES)
def test_its_clients_are_the_same(service):
    ours, theirs = (session.create_client(service, region_name="eu-central-1") for session in sessions())
    assert ours.meta.endpoint_url == theirs.meta.endpoint_url
    assert ours.meta.method_to_api_mapping == theirs.meta.method_to_api_mapping
    assert ours.waiter_names == theirs.waiter_names
    assert ours.meta.config.user_agent == theirs.meta.config.user_agent


def test_profile_and_region_are_those_asked_for(monkeypatch, tmp_path):
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").write_text("[default]\nregion = us-east-2\n[profile corp]\nregion = eu-west-1\n")
    assert [AwsSession().region, AwsSession("corp").region, AwsSession("corp", "sa-east-1").region] == [
        "us-east-2",
        "eu-west-1",
        "sa-east-1",
    ]
    assert AwsSession("corp", "sa-east-1").create_client("sqs").meta.region_name == "sa-east-1"
    with pytest.raises(ProfileNotFound):
        AwsSession("none")


def test_the_session_in_use_serves_who_asks_for_nothing_else(monkeypatch):
    monkeypatch.setattr("redrive.aws_session._Default.session", None)
    assert session_of(None, None) is not session_of(None, None)
    session = AwsSession(region="eu-west-1")
    use(session)
    assert session_of(None, None) is session_of(None, "eu-west-1") is session
    assert session_of(None, "eu-west-2").region == "eu-west-2"


def test_threads_create_clients_at_once():
    session, together = AwsSession(), Barrier(8)

    def create(service: str) -> str:
        together.wait(10)
        client = session.create_client(service, region_name="us-east-1")
        name: str = client.meta.service_model.service_name
        return name

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(create, SERVICES[:8])) == SERVICES[:8]


def test_a_thread_waits_while_another_one_creates_a_client(monkeypatch):
    session, second = AwsSession(), Event()

    def create_client(_session: Any, service: str) -> str:
        if service == "second":
            second.set()
            return service
        threads.submit(session.create_client, "second")
        # Without the lock, the other thread would be here at once.
        assert not second.wait(0.3)
        return service

    monkeypatch.setattr(botocore.session.Session, "create_client", create_client)
    with ThreadPoolExecutor(1) as threads:
        assert session.create_client("first") == "first"
        assert second.wait(10)


def test_a_client_is_created_without_a_look_into_the_folders_of_all_services(monkeypatch):
    looked: list[Any] = []
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: looked.append(folder) or listed(folder))
    AwsSession().create_client("sqs", region_name="us-east-1")
    assert 0 < len(looked) < 20


def test_boto3_gets_the_session_unless_it_has_one(monkeypatch):
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    set_up_boto3()
    session: Any = boto3.DEFAULT_SESSION
    assert session._session is default_session()
    own = boto3.Session()
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", own)
    set_up_boto3()
    assert boto3.DEFAULT_SESSION is own


@pytest.mark.parametrize("handler", ["automatic", "coordinator", "mover", "sampler", "stop"])
def test_handlers_start_without_boto3(handler):
    variables = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONPATH": str(FUNCTIONS),
        "RUN_TABLE": "runs",
        "SLICE_SECONDS": "60",
        "QUARANTINE_QUEUE_ARN": "arn:aws:sqs:us-east-1:000000000000:quarantine",
        "QUARANTINE_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/quarantine",
    }
    program = f"import sys, redrive.handlers.{handler}; print(sorted({{'boto3', 's3transfer'}} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=False, timeout=60
    )
    assert (found.stdout, found.stderr) == ("[]\n", "")
