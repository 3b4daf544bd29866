"""Queue URLs and ARNs of every region and endpoint, mutated ones too; botocore says what each endpoint is.

The oracle is botocore's own endpoint rules: a URL is read if its host is one that botocore, or AWS's documentation of
legacy and VPC endpoints, gives for the region of the app, and refused otherwise.
"""

import itertools
import json
import string
from pathlib import Path
from types import SimpleNamespace

import botocore
import botocore.session
import pytest
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.adapters.sqs import Queues
from redrive.domain.errors import RejectedError
from redrive.domain.judging.verdicts import Redrive
from redrive.domain.messages.queue_names import Home, is_queue_name, parse_queue
from redrive.domain.plan.planning import plan_run
from redrive.domain.plan.request import parse_request
from tests.support import factories, wrapped

CONTEXT = wrapped.invocation()["requestContext"]
ACCOUNT = "210987654321"
NAME = "orders-dlq"
PARTITIONS = {
    partition["id"]: partition
    for partition in json.loads((Path(botocore.__file__).parent / "data" / "partitions.json").read_text())["partitions"]
}
REGIONS = {
    region: partition
    for partition, found in PARTITIONS.items()
    for region in found["regions"]
    if not region.endswith("global")
}


def _provider() -> EndpointProvider:
    loader = botocore.session.get_session().get_component("data_loader")
    return EndpointProvider(loader.load_service_model("sqs", "endpoint-rule-set-1"), loader.load_data("partitions"))


PROVIDER = _provider()


def modeled_hosts(region: str) -> set[str]:
    """Return the hosts that botocore would send requests to."""
    hosts = set()
    for fips, dual_stack in itertools.product((False, True), repeat=2):
        try:
            endpoint = PROVIDER.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual_stack)
        except EndpointProviderError:
            continue
        hosts.add(endpoint.url.removeprefix("https://"))
    return hosts


def legacy_hosts(region: str) -> set[str]:
    """Return the hosts of old SDKs and of VPC endpoints (SQS developer guide, AWS PrivateLink guide)."""
    suffix = PARTITIONS[REGIONS[region]]["outputs"]["dnsSuffix"]
    vpc = f"{region}.vpce.{suffix}"
    hosts = {f"{region}.queue.{suffix}", f"vpce-0f1e-2d3c.sqs.{vpc}", f"vpce-0f1e-2d3c-{region}b.sqs-fips.{vpc}"}
    return hosts | ({f"queue.{suffix}"} if region == "us-east-1" else set())


HOSTS = {region: modeled_hosts(region) | legacy_hosts(region) for region in REGIONS}
URLS = [(region, f"https://{host}/{ACCOUNT}/{NAME}") for region, hosts in HOSTS.items() for host in sorted(hosts)]


def home(region: str) -> Home:
    return Home(REGIONS[region], region, f"https://{sorted(modeled_hosts(region))[-1]}")


def is_read(text: str, region: str) -> bool:
    try:
        found = parse_queue(text, home(region))
    except RejectedError:
        return False
    assert (found.name, found.account) == (NAME, ACCOUNT)
    return True


def test_there_are_as_many_neighbors_as_regions_and_endpoints():
    assert len(URLS) > 200
    assert {REGIONS[region] for region, _ in URLS} == set(PARTITIONS)


@pytest.mark.parametrize("region", REGIONS)
def test_every_url_of_the_region_is_read_and_every_other_is_refused(region):
    for there, url in URLS:
        assert is_read(url, region) == (there == region), url


@pytest.mark.parametrize("region", REGIONS)
def test_every_arn_of_the_region_is_read_and_every_other_is_refused(region):
    for there, partition in REGIONS.items():
        assert is_read(f"arn:{partition}:sqs:{there}:{ACCOUNT}:{NAME}", region) == (there == region)
        for other in PARTITIONS.keys() - {partition}:
            assert not is_read(f"arn:{other}:sqs:{there}:{ACCOUNT}:{NAME}", region)


LOOK_ALIKES = (
    "\u0430\u0435\u043e\u0441\u0455\u04bb\u3002\uff0e\uff0f\uff1a\uff20\u0661\u0662\u0663\u200b\u00ad\u2024\u017fK"
)
EXTRA = st.sampled_from([*string.printable, *LOOK_ALIKES, "%2f", "%00", "..", "//", "user@", "?x", "#x", ":8080"])


@settings(deadline=None, derandomize=True, max_examples=1_000)
@given(url=st.sampled_from(URLS), at=st.floats(0, 1), extra=EXTRA, keep=st.integers(0, 1))
def test_a_url_with_anything_added_or_replaced_never_names_another_place(url, at, extra, keep):
    region, whole = url
    place = int(at * len(whole))
    mutant = whole[:place] + extra + whole[place + keep :]
    try:
        found = parse_queue(mutant, home(region))
    except RejectedError as error:
        assert len(str(error)) < 600
        return
    # What is still read is the same endpoint: only a name or an account may differ, or letter case of the host.
    host, _, path = mutant.partition("://")[2].partition("/")
    assert mutant.isascii()
    assert host.lower().removesuffix(":443") in HOSTS[region] or host.startswith("vpce-")
    assert path.rstrip("/") == f"{found.account}/{found.name}"
    assert len(found.account or "") == 12


@settings(deadline=None, derandomize=True, max_examples=500)
@given(name=st.text(st.sampled_from(string.ascii_letters + string.digits + "-_. é\n/%*"), max_size=90))
def test_a_name_is_read_if_it_has_the_characters_and_length_that_sqs_documents(name):
    stem = name.removesuffix(".fifo")
    allowed = set(string.ascii_letters + string.digits + "-_")
    valid = 1 <= len(name) <= 80 and bool(stem) and set(stem) <= allowed
    for text in (name, f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}", f"https://queue.amazonaws.com/{ACCOUNT}/{name}"):
        try:
            found = parse_queue(text, home("us-east-1")).name
        except RejectedError:
            found = None
        # A URL may end with one slash.
        assert found == (name if valid else None) or found == name.removesuffix("/")


class NoRequests:
    """A client of SQS that makes no requests."""

    meta = SimpleNamespace(partition="aws", region_name="us-east-1", endpoint_url="https://sqs.us-east-1.amazonaws.com")

    def __getattr__(self, operation):
        raise AssertionError(f"{operation} was requested")


MALFORMED = st.one_of(
    st.text(max_size=40),
    st.text("ab.", min_size=1, max_size=12).map(lambda name: f"{name}.fifo.{name}"),
    st.integers(81, 400).map("x".__mul__),
    st.sampled_from(["\n", "\r\n", " ", "\x00", "?Action=DeleteQueue", "#x", "/", "/../b"]).map(NAME.__add__),
    st.sampled_from(["lambda", "sns", "s3", "states", "SQS", "sqs "]).map(
        lambda service: f"arn:aws:{service}:us-east-1:{ACCOUNT}:{NAME}"
    ),
    st.sampled_from(["\u0661" * 12, "1" * 11, "", "*", ACCOUNT + "\n"]).map(
        lambda account: f"arn:aws:sqs:us-east-1:{account}:{NAME}"
    ),
).filter(lambda text: not is_queue_name(text))


@settings(deadline=None, derandomize=True, max_examples=500)
@given(text=MALFORMED, key=st.sampled_from(["dlq", "destination"]))
def test_what_names_no_queue_is_rejected_before_anything_is_requested(text, key):
    queues = Queues(NoRequests())
    with pytest.raises(RejectedError) as caught:
        # Of the two, the dead-letter queue is looked up first.
        if key == "destination":
            queues.find(text)
        plan_run(parse_request({"dlq": text}), factories.execution(), queues, f"arn:aws:sqs:us-east-1:{ACCOUNT}:q")
    assert len(str(caught.value)) < 600
    # Named in a message, it is no place that the message can go to.
    plan = factories.plan(sources=(), dlq=factories.queue("replay"))
    claim = json.dumps(wrapped.lambda_record({}) | {"requestContext": {**CONTEXT, "functionArn": text}})
    assert not isinstance(factories.judge(plan)(factories.received(claim, source=None)), Redrive)
