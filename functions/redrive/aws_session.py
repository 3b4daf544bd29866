"""Creates the clients of AWS services, in two thirds of the time that boto3 takes.

botocore does the work, as it does for boto3. But boto3 imports a lot that isn't needed here (resources, transfers to
S3), and botocore is slow to load its own data.

Used by all adapters. Chat and the examples use boto3, and give it this session.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from botocore.exceptions import DataNotFoundError, UnknownServiceError
from botocore.loaders import JSONFileLoader, Loader
from botocore.session import Session
from pydantic_core import from_json


class AwsSession(Session):
    """A botocore session that loads botocore's data faster and can create clients in several threads.

    If AWS_DATA_PATH or the profile's `data_path` adds folders with data, botocore's own loader is used.

    Parameters
    ----------
    profile, region : str | None
        As in the AWS CLI; None for what the environment says.

    Raises
    ------
    botocore.exceptions.ProfileNotFound
        If the profile doesn't exist.
    """

    def __init__(self, profile: str | None = None, region: str | None = None) -> None:
        super().__init__(profile=profile)
        if region is not None:
            self.set_config_variable("region", region)
        if not self.get_config_variable("data_path"):
            self.register_component("data_loader", _Loader(file_loader=_Files()))
        # Clients are thread-safe, but sessions aren't (boto3 guide, "Session reference" and "Clients").
        self._lock = RLock()

    @property
    def region(self) -> str | None:
        """The Region, such as eu-west-1; None if nothing names one."""
        region: str | None = self.get_config_variable("region")
        return region

    def create_client(self, *args: Any, **kwargs: Any) -> Any:
        """Return a client, as any botocore session does."""
        with self._lock:
            return super().create_client(*args, **kwargs)


class _Default:
    """The session that `aws_client` uses."""

    session: AwsSession | None = None


def default_session() -> AwsSession:
    """Return the session that `aws_client` uses: the environment's, unless `use` has set another one."""
    if _Default.session is None:
        _Default.session = AwsSession()
    return _Default.session


def session_of(profile: str | None, region: str | None) -> AwsSession:
    """Return a session for a profile and Region: the one in use, unless these differ from its own."""
    session = _Default.session
    if session is not None and profile is None and region in {None, session.region}:
        return session
    return AwsSession(profile, region)


def use(session: AwsSession) -> None:
    """Make `aws_client` use another session from now on."""
    _Default.session = session


def set_up_boto3() -> None:
    """Make this boto3's default session, unless it has one."""
    import boto3  # noqa: PLC0415

    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session(botocore_session=default_session())


if TYPE_CHECKING:
    import boto3

    # Its stubs know the client of each service.
    aws_client = boto3.client
else:

    def aws_client(service: str, **options: Any) -> Any:
        """Return a client of a service. The arguments are the same as for boto3.client."""
        return default_session().create_client(service, **options)


class _Loader(Loader):
    """Assumes that every folder is a service. botocore searches about 400 of them for each type of data."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
        folders = filter(os.path.isdir, self.search_paths)
        # Making and comparing 1,800 paths would take a third of what this saves.
        return sorted({name for folder in folders for name in os.listdir(folder)})  # noqa: PTH208

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        try:
            self.list_api_versions(service_name, type_name)
        except DataNotFoundError:
            # botocore also expects this error if a service lacks only this type of data, such as rules for endpoints.
            names = ", ".join(self.list_available_services(type_name))
            raise UnknownServiceError(service_name=service_name, known_service_names=names) from None
        return super().load_service_model(service_name, type_name, api_version)


class _Files(JSONFileLoader):
    """Parses files with pydantic's parser, which takes a third of `json`'s time. The values are the same."""

    def load_file(self, file_path: str) -> Any:
        for path, opened in ((Path(f"{file_path}.json"), open), (Path(f"{file_path}.json.gz"), gzip.open)):
            if path.is_file():
                with opened(path, "rb") as file:
                    return from_json(file.read())
        return None
