"""Messages are posted to a webhook over HTTPS, retried if necessary, and the URL stays secret."""

import traceback
from collections.abc import Iterator

import pytest

from chat.webhook import WebhookError, post
from tests.support.webhook_server import Webhook, webhook_server


@pytest.fixture
def webhook(tmp_path, monkeypatch) -> Iterator[Webhook]:
    with webhook_server(tmp_path) as started:
        monkeypatch.setenv("SSL_CERT_FILE", str(started.certificate))
        yield started


def test_a_message_is_posted_as_json(webhook):
    post(webhook.url, {"text": "über"}, webhook.hosts)
    assert webhook.posted == [{"text": "über"}]


def test_a_rate_limited_post_waits_as_long_as_retry_after_says(webhook):
    waits: list[float] = []
    webhook.answers += [(429, b"rate_limited", {"Retry-After": "7"}), (429, b"rate_limited", {})]
    post(webhook.url, {"text": "x"}, webhook.hosts, waits.append)
    assert (waits, webhook.posted) == ([7.0, 1.0], [{"text": "x"}])


def test_a_long_wait_is_left_to_lambda(webhook):
    webhook.answers.append((429, b"rate_limited", {"Retry-After": "60"}))
    with pytest.raises(WebhookError, match="found 429"):
        post(webhook.url, {"text": "x"}, webhook.hosts, pytest.fail)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, b"no_service", r"404 \(no_service\)"),
        (500, b"<html>", r"500 \(no error code\)"),
        (302, b"", "found 302"),
    ],
)
def test_an_unsuccessful_response_is_an_error(webhook, status, body, expected):
    webhook.answers.append((status, body, {"Location": "https://127.0.0.1:1/elsewhere"}))
    with pytest.raises(WebhookError, match=expected):
        post(webhook.url, {"text": "x"}, webhook.hosts)
    assert webhook.posted == []


def test_nothing_is_posted_to_a_server_with_an_untrusted_certificate(webhook, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(WebhookError, match="SSLCertVerificationError"):
        post(webhook.url, {"text": "x"}, webhook.hosts)
    assert webhook.posted == []


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "hooks.slack.com.example.com",
        "example.com#hooks.slack.com",
        "example.com\\hooks.slack.com",
        "user@hooks.slack.com",
        "hooks.slack.com@example.com",
        "hooks.slack.com:8443",
        "hooks.slack.com.",
        "xhooks.slack.com",
        "",
    ],
)
def test_nothing_is_posted_to_another_host(host, monkeypatch):
    monkeypatch.setattr("chat.webhook.HTTPSConnection", pytest.fail)
    with pytest.raises(WebhookError, match=r"on hooks\.slack-gov\.com or hooks\.slack\.com, found"):
        post(f"https://{host}/services/T0/B0/x", {"text": "x"}, ["hooks.slack.com", "hooks.slack-gov.com"])


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/secret-7319",
        "secret-7319",
        "",
        "https://secret-7319@127.0.0.1/",
        "https://127.0.0.1/secret-7319\r\nX: y",
        "https://127.0.0.1:secret-7319/",
        "https:///secret-7319",
        "https://127.0.0.1:1/secret-7319",
        "https://[secret-7319/",
    ],
)
def test_no_error_contains_the_url(url):
    with pytest.raises(WebhookError) as caught:
        post(url, {"text": "x"}, ["127.0.0.1", "127.0.0.1:1"])
    assert "7319" not in "".join(traceback.format_exception_only(caught.value))
    assert caught.value.__cause__ is None
