"""Names, ARNs, and URLs of queues: each documented form is read, and anything else is refused."""

import pytest

from redrive.domain.errors import RejectedError
from redrive.domain.messages.queue_names import Home, QueueId, displayed, is_queue_name, parse_queue

HOME = Home("aws", "us-east-1", "https://sqs.us-east-1.amazonaws.com")
CHINA = Home("aws-cn", "cn-north-1", "https://sqs.cn-north-1.amazonaws.com.cn")
EMULATOR = Home("aws", "us-east-1", "http://127.0.0.1:4566")
ACCOUNT = "123456789012"
ARABIC_DIGITS = "\u0661" * 12


def refusal_of(given: str, home: Home = HOME) -> str:
    with pytest.raises(RejectedError) as caught:
        parse_queue(given, home)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a", "A_b-9", "x" * 80, "orders.fifo", "x" * 75 + ".fifo"])
def test_names_that_sqs_accepts_are_read(name):
    assert parse_queue(name, HOME) == QueueId(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 81,
        "x" * 76 + ".fifo",
        ".fifo",
        "a.b",
        "a b",
        "a\n",
        "ord\u00e9rs",
        "\u043erders",
        "orders/",
        "a:b",
        "a.FIFO",
    ],
)
def test_names_that_no_queue_can_have_are_refused(name):
    assert not is_queue_name(name)
    assert refusal_of(name).startswith("Expected a name (1 to 80 letters, digits, hyphens, and underscores")


@pytest.mark.parametrize(
    "host",
    [
        "sqs.us-east-1.amazonaws.com",
        "SQS.US-EAST-1.amazonaws.com",
        "sqs.us-east-1.api.aws",
        "sqs-fips.us-east-1.amazonaws.com",
        "sqs-fips.us-east-1.api.aws",
        "us-east-1.queue.amazonaws.com",
        "queue.amazonaws.com",
        "vpce-0a1b2c3d-4e5f6a7b.sqs.us-east-1.vpce.amazonaws.com",
        "vpce-0a1b2c3d-4e5f6a7b-us-east-1a.sqs.us-east-1.vpce.amazonaws.com",
        "vpce-0a1b2c3d-4e5f6a7b.sqs-fips.us-east-1.vpce.amazonaws.com",
    ],
)
@pytest.mark.parametrize("scheme", ["https", "http", "HTTPS"])
def test_urls_of_every_endpoint_of_the_region_are_read(scheme, host):
    assert parse_queue(f"{scheme}://{host}/{ACCOUNT}/orders-dlq", HOME) == QueueId("orders-dlq", ACCOUNT)


@pytest.mark.parametrize(
    "host",
    [
        "sqs.eu-west-1.amazonaws.com",
        "sqs.eu-west-1.api.aws",
        "sqs-fips.eu-west-1.amazonaws.com",
        "sqs-fips.eu-west-1.api.aws",
        "eu-west-1.queue.amazonaws.com",
        "vpce-0a1b2c3d-4e5f6a7b.sqs.eu-west-1.vpce.amazonaws.com",
        "vpce-0a1b2c3d-4e5f6a7b-eu-west-1a.sqs.eu-west-1.vpce.amazonaws.com",
    ],
)
def test_urls_of_every_endpoint_of_another_region_are_refused_with_both_regions(host):
    assert refusal_of(f"https://{host}/{ACCOUNT}/orders-dlq") == (
        "Expected a queue in us-east-1, where this app is deployed, found orders-dlq in eu-west-1. Deploy the app in "
        "eu-west-1 to redrive the queue."
    )


def test_the_oldest_endpoint_is_in_us_east_1_only():
    ireland = Home("aws", "eu-west-1", "https://sqs.eu-west-1.amazonaws.com")
    assert "found orders-dlq in us-east-1" in refusal_of(f"https://queue.amazonaws.com/{ACCOUNT}/orders-dlq", ireland)


@pytest.mark.parametrize(
    "host",
    [
        "sqs.cn-north-1.amazonaws.com.cn",
        "cn-north-1.queue.amazonaws.com.cn",
        "sqs.cn-north-1.api.amazonwebservices.com.cn",
        "vpce-0a1b2c3d-4e5f6a7b.sqs.cn-north-1.vpce.amazonaws.com.cn",
    ],
)
def test_other_partitions_have_endpoints_of_their_own(host):
    url = f"https://{host}/{ACCOUNT}/orders-dlq"
    assert parse_queue(url, CHINA) == QueueId("orders-dlq", ACCOUNT)
    assert "found orders-dlq in cn-north-1" in refusal_of(url)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "example.com",
        "sqs.us-east-1.amazonaws.com.example.com",
        "sqs.us-east-1.amazonaws.com.",
        "sqs.us-east-1.amazonaws.org",
        "sqs.us-east-1.localhost.localstack.cloud",
        "xsqs.us-east-1.amazonaws.com",
        "sqs.us-east-1.vpce.amazonaws.com",
        "vpce-.sqs.us-east-1.vpce.amazonaws.com",
        "vpce-0a1b2c3d-4e5f6a7b.sns.us-east-1.vpce.amazonaws.com",
        "vpce-svc-0a1b2c3d.us-east-1.vpce.amazonaws.com",
        "us-east-1.amazonaws.com",
        "sqs.us-east-1.amazonaws.com.cn",
    ],
)
def test_a_host_that_is_not_known_is_refused(host):
    assert "isn't known as an endpoint of SQS there" in refusal_of(f"https://{host}/{ACCOUNT}/orders-dlq")


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:secret@sqs.us-east-1.amazonaws.com/{ACCOUNT}/orders-dlq",
        f"https://sqs.us-east-1.amazonaws.com@evil.example/{ACCOUNT}/orders-dlq",
        f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/orders-dlq?Action=SendMessage",
        f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/orders-dlq#x",
        f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/orders%2Ddlq",
        f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/orders-dlq//",
        f"https://sqs.us-east-1.amazonaws.com//{ACCOUNT}/orders-dlq",
        f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/../{ACCOUNT}/orders-dlq",
        "https://sqs.us-east-1.amazonaws.com/orders-dlq",
        "https://sqs.us-east-1.amazonaws.com/12345/orders-dlq",
        f"https://sqs.us-east-1.amazonaws.com/{ARABIC_DIGITS}/orders-dlq",
        f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/{'x' * 81}",
        f"https://\u0455qs.us-east-1.amazonaws.com/{ACCOUNT}/orders-dlq",
        f"https://sqs\u3002us-east-1.amazonaws.com/{ACCOUNT}/orders-dlq",
        f"https://sqs.us-east-1.amazonaws.com:x/{ACCOUNT}/orders-dlq",
        f"ftp://sqs.us-east-1.amazonaws.com/{ACCOUNT}/orders-dlq",
        f" https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/orders-dlq",
        f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/orders-dlq\n",
        f"https://sqs.us-\teast-1.amazonaws.com/{ACCOUNT}/orders-dlq",
    ],
)
def test_a_url_that_is_more_or_less_than_a_queue_url_is_refused_without_being_repeated(url):
    refusal = refusal_of(url)
    assert "found a URL that can't be read as one" in refusal
    assert "secret" not in refusal
    assert displayed(url) is None


def test_a_url_may_end_with_a_slash_and_name_its_scheme_s_port():
    for url in (f"https://sqs.us-east-1.amazonaws.com:443/{ACCOUNT}/a", f"http://queue.amazonaws.com:80/{ACCOUNT}/a/"):
        assert parse_queue(url, HOME) == QueueId("a", ACCOUNT)
    refusal = refusal_of(f"https://sqs.us-east-1.amazonaws.com:8443/{ACCOUNT}/a")
    assert "found the port 8443, which isn't one of sqs.us-east-1.amazonaws.com" in refusal


def test_the_endpoint_that_the_apps_own_client_uses_is_known_with_its_scheme_and_port():
    assert parse_queue(f"http://127.0.0.1:4566/{ACCOUNT}/a", EMULATOR) == QueueId("a", ACCOUNT)
    ipv6 = Home("aws", "us-east-1", "http://[::1]:4566/")
    assert parse_queue(f"http://[::1]:4566/{ACCOUNT}/a", ipv6) == QueueId("a", ACCOUNT)
    for other in ("https://127.0.0.1:4566", "http://127.0.0.1", "http://127.0.0.1:4567", "http://localhost:4566"):
        assert "isn't known as an endpoint" in refusal_of(f"{other}/{ACCOUNT}/a", EMULATOR)
    assert "isn't known as an endpoint" in refusal_of(f"http://127.0.0.1:4566/{ACCOUNT}/a")


def test_an_arn_is_read_with_its_account():
    assert parse_queue(f"arn:aws:sqs:us-east-1:{ACCOUNT}:a.fifo", HOME) == QueueId("a.fifo", ACCOUNT)


@pytest.mark.parametrize(
    ("arn", "problem"),
    [
        (f"arn:aws:sqs:us-east-1:{ACCOUNT}", "fewer than six parts"),
        (f"arn:aws:sqs:us-east-1:{ACCOUNT}:a:b", "a name that no queue can have"),
        (f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:orders:live", "another service than sqs"),
        (f"arn:aws:sns:us-east-1:{ACCOUNT}:orders:4f5a", "another service than sqs"),
        ("arn:aws:s3:::orders", "another service than sqs"),
        (f"arn::sqs:us-east-1:{ACCOUNT}:a", "no partition such as aws"),
        (f"arn:AWS:sqs:us-east-1:{ACCOUNT}:a", "no partition such as aws"),
        (f"arn:aws:sns:us-east-1:{ACCOUNT}:a", "another service than sqs"),
        (f"arn:aws:sqs::{ACCOUNT}:a", "no region such as us-east-1"),
        (f"arn:aws:sqs:*:{ACCOUNT}:a", "no region such as us-east-1"),
        ("arn:aws:sqs:us-east-1::a", "an account that isn't 12 digits"),
        ("arn:aws:sqs:us-east-1:1234567890123:a", "an account that isn't 12 digits"),
        (
            f"arn:aws:sqs:us-east-1:{ARABIC_DIGITS}:a",
            "an account that isn't 12 digits",
        ),
        (f"arn:aws:sqs:us-east-1:{ACCOUNT}:", "a name that no queue can have"),
        (f"arn:aws:sqs:us-east-1:{ACCOUNT}:orders-*", "a name that no queue can have"),
        (f"arn:aws:sqs:us-east-1:{ACCOUNT}:a\n", "a name that no queue can have"),
    ],
)
def test_an_arn_that_is_not_a_queue_s_is_refused_with_the_part_that_is_wrong(arn, problem):
    assert f"Expected a queue ARN, arn:aws:sqs:REGION:ACCOUNT:NAME, found one with {problem}." in refusal_of(arn)
    assert displayed(arn) is None


def test_an_arn_of_another_partition_or_region_is_refused_with_both():
    china = refusal_of(f"arn:aws-cn:sqs:cn-north-1:{ACCOUNT}:a")
    assert china.startswith(
        "Expected a queue in the partition aws, where this app is deployed, found a in the partition"
    )
    assert "found a in eu-west-1" in refusal_of(f"arn:aws:sqs:eu-west-1:{ACCOUNT}:a")


@pytest.mark.parametrize("given", ["a.fifo", f"arn:aws:sqs:eu-west-1:{ACCOUNT}:a", f"https://example.com/{ACCOUNT}/a"])
def test_what_can_be_read_may_be_repeated_wherever_the_queue_is(given):
    assert displayed(given) == given


@pytest.mark.parametrize("given", ["ada@example.com", '{"card": "4111"}', "x" * 81, f"https://{'x' * 400}/{ACCOUNT}/a"])
def test_any_other_text_is_not_repeated(given):
    assert displayed(given) is None


@pytest.mark.parametrize("around", [" ", "\t", "\n", "\u00a0", '"', "'", "`", ",", ";"])
@pytest.mark.parametrize(
    "meant",
    [
        "orders-dlq",
        "orders.fifo",
        f"arn:aws:sqs:us-east-1:{ACCOUNT}:orders",
        f"https://queue.amazonaws.com/{ACCOUNT}/q",
    ],
)
def test_what_was_copied_with_something_around_it_is_refused_with_what_was_probably_meant(meant, around):
    for given in (f"{meant}{around}", f"{around}{meant}", f"{around}{meant}{around * 3}"):
        assert refusal_of(given).endswith(f" Did you mean {meant}?")


def test_a_url_without_its_scheme_and_a_suffix_in_capitals_are_recognized():
    bare = f"sqs.us-east-1.amazonaws.com/{ACCOUNT}/orders-dlq"
    assert refusal_of(bare).endswith(f" Did you mean https://{bare}?")
    assert refusal_of("orders.FIFO").endswith(" Did you mean orders.fifo?")


@pytest.mark.parametrize(
    "given", ["ada lovelace", "ada@example.com", '{"name": "ada"}', "arn:aws:sqs:ada", "ada://x/y"]
)
def test_what_is_no_queue_is_not_repeated_as_what_was_meant(given):
    assert "ada" not in refusal_of(given)
