"""The report page in Chromium: accessible, readable on a phone and on paper, and silent."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from redrive.domain.page.document import MAX_BYTES, page_of
from tests.support.browsers import AXE, browser, chromium
from tests.support.pages import HOSTILE, page_with, record_of, sample_reports

REPORTS = sample_reports()
# What differs in structure; the other statuses differ in a word.
DIFFERENT = ("documented", "DRY_RUN", "REJECTED", "INCOMPLETE", "largest")
PHONE = {"width": 360, "height": 740}
OPEN_ALL = "document.querySelectorAll('details').forEach(each => each.open = true)"
TOO_WIDE = """
[...document.querySelectorAll("body *")].filter(each => each.getBoundingClientRect().right > innerWidth + 1)
  .map(each => each.outerHTML.slice(0, 200))
"""
ELEMENTS = "[...document.querySelectorAll('*')].map(each => [each.localName, ...each.getAttributeNames()].join(' '))"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        reason = "No Chromium here, so nobody has looked at the report page. Install it: apt-get install chromium"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    with browser(path) as started:
        yield started


@cache
def page(name: str) -> str:
    if name == "hostile":
        return page_with("".join(HOSTILE[:6]))
    return page_of(REPORTS[name], record_of(REPORTS[name]))


@contextmanager
def opened(chrome: Browser, content: str, **settings: Any) -> Iterator[tuple[Page, list[str], list[str]]]:
    """Yield a tab that has loaded the page over HTTP, the requests that came, and what the browser complained about."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    context = chrome.new_context(**settings)
    complaints: list[str] = []
    try:
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message))
        tab.goto(f"http://127.0.0.1:{server.server_port}/page")
        yield tab, requests, complaints
    finally:
        context.close()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", DIFFERENT)
def test_axe_finds_nothing(chrome, name):
    with opened(chrome, page(name)) as (tab, _, _):
        tab.evaluate(OPEN_ALL)
        tab.evaluate(AXE.read_text())
        checks = checked(tab, {})
        tab.emulate_media(color_scheme="dark")
        checks += checked(tab, {"runOnly": ["color-contrast"]})
    assert not checks


def checked(tab: Page, options: dict[str, Any]) -> list[str]:
    """Return what axe finds wrong, or can't tell: the element and the rule."""
    found = tab.evaluate("options => axe.run(document, options)", options)
    assert found["passes"]
    return [
        f"{rule['id']}: {node['html']}"
        for rule in [*found["violations"], *found["incomplete"]]
        for node in rule["nodes"]
        # It can't tell the ground of a text in SVG. The captions have the same two colors.
        if not (rule["id"] == "color-contrast" and node["html"].startswith("<text"))
    ]


def test_dark_is_dark_and_light_is_light(chrome):
    shades = []
    for scheme in ("light", "dark"):
        with opened(chrome, page("documented"), color_scheme=scheme) as (tab, _, _):
            color = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            shades.append(sum(map(int, color.removeprefix("rgb(").removesuffix(")").split(","))))
    assert shades[0] > 700
    assert shades[1] < 150


@pytest.mark.parametrize("name", [*REPORTS, "hostile"])
def test_a_phone_scrolls_in_one_direction_only_and_the_page_asks_for_nothing(chrome, name):
    with opened(chrome, page(name), viewport=PHONE) as (tab, requests, complaints):
        tab.evaluate(OPEN_ALL)
        assert not tab.evaluate(TOO_WIDE)
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert len(requests) == 2, requests  # as the browser and as the server see the page's own
        assert not complaints
    assert len(page(name).encode()) < MAX_BYTES


def test_hostile_texts_make_no_elements_in_a_browser(chrome):
    with opened(chrome, page_with("x")) as (tab, _, _):
        harmless = tab.evaluate(ELEMENTS)
    with opened(chrome, page("hostile")) as (tab, requests, complaints):
        assert tab.evaluate(ELEMENTS) == harmless
        assert len(requests) == 2
        assert not complaints


def test_paper_has_what_is_folded_on_a_screen(chrome):
    with opened(chrome, page("documented")) as (tab, _, _):
        caption = tab.get_by_text("How far the run was")
        assert not caption.is_visible()
        tab.emulate_media(media="print", color_scheme="dark")
        assert caption.is_visible()
        assert tab.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
        assert tab.pdf().startswith(b"%PDF")
