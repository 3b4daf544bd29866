"""Reads the name, ARN, or URL of a queue, or refuses it: what can't be read as a whole is never guessed.

Called by `redrive.adapters.sqs`, which looks the queue up, and by the report, which repeats only what can be read.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from redrive.domain.errors import RejectedError

# SQS API reference, CreateQueue: up to 80 characters, the .fifo suffix included (SQS developer guide, "FIFO queues").
_NAME = re.compile(r"(?=.{1,80}\Z)[A-Za-z0-9_-]+(?:\.fifo)?", re.ASCII)
_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2,5}(?:-[a-z]+)+-[0-9]{1,2}")
_PARTITION = re.compile(r"aws(?:-[a-z]+)*")
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"/(?P<account>[^/]+)/(?P<name>[^/]+)/?",
    re.ASCII | re.IGNORECASE,
)
_PORTS = {"http": "80", "https": "443"}
# Suffixes of IPv4 and of dual-stack endpoints in each partition (botocore, partitions.json; AWS General Reference,
# "Amazon SQS endpoints and quotas").
_SUFFIXES = {
    "aws": ("amazonaws.com", "api.aws"),
    "aws-us-gov": ("amazonaws.com", "api.aws"),
    "aws-cn": ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    "aws-eusc": ("amazonaws.eu", "api.amazonwebservices.eu"),
    "aws-iso": ("c2s.ic.gov", "api.aws.ic.gov"),
    "aws-iso-b": ("sc2s.sgov.gov", "api.aws.scloud"),
    "aws-iso-e": ("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    "aws-iso-f": ("csp.hci.ic.gov", "api.aws.hci.ic.gov"),
}
# Where the oldest of the legacy endpoints is, queue.amazonaws.com.
_LEGACY_REGION = "us-east-1"
_FORMATS = (
    "a name (1 to 80 letters, digits, hyphens, and underscores; .fifo at the end of a FIFO queue's), an ARN "
    "(arn:aws:sqs:REGION:ACCOUNT:NAME), or a URL (https://sqs.REGION.amazonaws.com/ACCOUNT/NAME)"
)
_MAX_REPEATED = 100
# An ARN has six parts, the last of which may contain colons (AWS General Reference, "Amazon Resource Names").
_ARN_COLONS = 5
# What gets around a name when it is copied.
_AROUND = " \t\r\n\u00a0\u200b\"'`<>(),;"


class Home(NamedTuple):
    """Where this app is deployed: only queues there can be redriven."""

    partition: str
    region: str
    #: URL that this app's own SQS client sends its requests to: an endpoint of SQS, or of an emulator.
    endpoint: str


class QueueId(NamedTuple):
    """A queue as it was named; whether it exists is yet to be found out."""

    name: str
    #: The account in the ARN or URL; None if only the name was given.
    account: str | None = None


def is_queue_name(text: str) -> bool:
    """Return whether SQS accepts the text as the name of a queue."""
    return _NAME.fullmatch(text) is not None


def parse_queue(given: str, home: Home) -> QueueId:
    """Return the queue that a name, ARN, or URL names.

    Parameters
    ----------
    given : str
        The name, ARN, or URL.
    home : Home
        Where this app is deployed.

    Raises
    ------
    RejectedError
        If it is none of them, or the queue is in another partition or region.
    """
    if is_queue_name(given):
        return QueueId(given)
    if given.startswith("arn:"):
        return _of_arn(given, home)
    if "://" in given:
        return _of_url(given, home)
    raise RejectedError(
        f"Expected {_FORMATS}; found a text of {len(given)} characters that is none of them.{_meant(given)}"
    )


def displayed(given: str) -> str | None:
    """Return a name, ARN, or URL that reports may repeat, or None for any other text.

    A mistaken input can be anything, such as the body of a message or a URL with a password.
    """
    if is_queue_name(given):
        return given
    if given.startswith("arn:") and _arn_problem(given.split(":", _ARN_COLONS)) is None:
        return given
    url = _URL.fullmatch(given)
    readable = url is not None and _ACCOUNT.fullmatch(url["account"]) and is_queue_name(url["name"])
    return given if readable and len(given) <= 4 * _MAX_REPEATED else None


def _meant(given: str) -> str:
    """Return a sentence with the name, ARN, or URL that a text probably stands for; empty if it isn't known."""
    bare = given.strip(_AROUND)
    forms = (bare, f"{bare[:-5]}{bare[-5:].lower()}", f"https://{bare}")
    return next((f" Did you mean {form}?" for form in forms if form != given and displayed(form)), "")


def _of_arn(given: str, home: Home) -> QueueId:
    parts = given.split(":", _ARN_COLONS)
    problem = _arn_problem(parts)
    if problem is not None:
        raise RejectedError(
            f"Expected a queue ARN, arn:{home.partition}:sqs:REGION:ACCOUNT:NAME, found one with {problem}. Copy it "
            f"from the queue's details in the SQS console, or give the queue's name.{_meant(given)}"
        )
    _, partition, _, region, account, name = parts
    if partition != home.partition:
        raise _elsewhere(name, f"the partition {home.partition}", f"the partition {partition}")
    _check_region(name, home, region)
    return QueueId(name, account)


def _arn_problem(parts: list[str]) -> str | None:
    if len(parts) <= _ARN_COLONS:
        return "fewer than six parts"
    _, partition, service, region, account, name = parts
    checks = (
        (service == "sqs", "another service than sqs"),
        (_PARTITION.fullmatch(partition), "no partition such as aws"),
        (_REGION.fullmatch(region), "no region such as us-east-1"),
        (_ACCOUNT.fullmatch(account), "an account that isn't 12 digits"),
        (is_queue_name(name), "a name that no queue can have"),
    )
    return next((problem for valid, problem in checks if not valid), None)


def _of_url(given: str, home: Home) -> QueueId:
    url = _URL.fullmatch(given)
    if url is None or not _ACCOUNT.fullmatch(url["account"]) or not is_queue_name(url["name"]):
        raise RejectedError(
            f"Expected a queue URL, https://{_hosts(home)[0]}/ACCOUNT/NAME, and nothing before or after it; found a "
            "URL that can't be read as one. Copy it from the queue's details in the SQS console, or give the queue's "
            f"name.{_meant(given)}"
        )
    scheme, host, port = url["scheme"].lower(), url["host"].lower(), url["port"]
    place = (scheme, host, port or _PORTS[scheme])
    if place != _place(home.endpoint):
        _check_host(url["name"], host, home)
        if place[2] != _PORTS[scheme]:
            raise RejectedError(
                f"Expected a queue URL without a port, found the port {port}, which isn't one of {host}. Give the "
                "queue's name, ARN, or URL."
            )
    return QueueId(url["name"], url["account"])


def _place(endpoint: str) -> tuple[str, str, str] | None:
    """Return scheme, host, and port of the client's own endpoint."""
    url = _URL.fullmatch(endpoint.rstrip("/") + "/0/0")
    if url is None:
        return None
    scheme = url["scheme"].lower()
    return scheme, url["host"].lower(), url["port"] or _PORTS[scheme]


def _check_host(name: str, host: str, home: Home) -> None:
    if host in _hosts(home) or _is_vpc_endpoint(host, home):
        return
    region = _region_of(host)
    if region is not None:
        _check_region(name, home, region)
    raise RejectedError(
        f"Expected a queue URL of SQS in {home.region}, such as https://{_hosts(home)[0]}/ACCOUNT/NAME; found one "
        f"whose host {host[:_MAX_REPEATED]} isn't known as an endpoint of SQS there. Give the queue's name or ARN."
    )


def _hosts(home: Home) -> tuple[str, ...]:
    """Return the hosts of SQS in a region, the standard endpoint first."""
    region = home.region
    suffix, dual_stack = _SUFFIXES.get(home.partition, _SUFFIXES["aws"])
    # Legacy endpoints, which some SDKs still return: SQS developer guide, "Internetwork traffic privacy".
    legacy = (f"{region}.queue.{suffix}", *((f"queue.{suffix}",) if region == _LEGACY_REGION else ()))
    return (
        f"sqs.{region}.{suffix}",
        f"sqs.{region}.{dual_stack}",
        f"sqs-fips.{region}.{suffix}",
        f"sqs-fips.{region}.{dual_stack}",
        *legacy,
    )


def _is_vpc_endpoint(host: str, home: Home) -> bool:
    """Return whether a host is an interface endpoint for SQS: vpce-ID.sqs.REGION.vpce.amazonaws.com.

    A zonal name has the Availability Zone after the ID, and sqs-fips is a service of its own (AWS PrivateLink guide,
    "Access an AWS service using an interface VPC endpoint"; SQS developer guide, "Internetwork traffic privacy").
    """
    endpoint, _, service = host.partition(".")
    suffix, _ = _SUFFIXES.get(home.partition, _SUFFIXES["aws"])
    services = {f"{name}.{home.region}.vpce.{suffix}" for name in ("sqs", "sqs-fips")}
    return service in services and re.fullmatch(r"vpce-[0-9a-z]+(?:-[0-9a-z]+)+", endpoint) is not None


def _region_of(host: str) -> str | None:
    """Return the region that an endpoint of SQS is in, for a text that says what is wrong with it."""
    for suffix in sorted({f".{suffix}" for pair in _SUFFIXES.values() for suffix in pair}, key=len, reverse=True):
        if not host.endswith(suffix):
            continue
        parts = host.removesuffix(suffix).split(".")
        if parts == ["queue"]:
            return _LEGACY_REGION
        ours = not {"sqs", "sqs-fips", "queue"}.isdisjoint(parts)
        return next((part for part in parts if ours and _REGION.fullmatch(part)), None)
    return None


def _check_region(name: str, home: Home, region: str) -> None:
    if region != home.region:
        raise _elsewhere(name, home.region, region)


def other_account(name: str, here: str, account: str) -> RejectedError:
    """Return the error for a queue of another account than the one that this app is deployed in."""
    return _elsewhere(name, f"the account {here}", f"the account {account}")


def _elsewhere(name: str, here: str, there: str) -> RejectedError:
    return RejectedError(
        f"Expected a queue in {here}, where this app is deployed, found {name} in {there}. Deploy the app in {there} "
        "to redrive the queue."
    )
