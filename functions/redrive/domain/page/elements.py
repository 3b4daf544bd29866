"""Builds HTML from values: what is data can only become a text, never an element or an attribute.

Used by the other modules of the page. An element tree of the standard library needs a tenth of the import time of a
template engine, and its serializer escapes everything (docs/design/decisions.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree as ET

from redrive.domain.plain_text import plain

# Longer texts are cut. No name is longer.
_MAX_TEXT = 256

type Content = ET.Element | str | None
type Cell = ET.Element | str | int


def element(tag: str, *content: Content | Iterable[Content], **attributes: str) -> ET.Element:
    """Return an element with texts and elements in it; None is left out.

    Parameters
    ----------
    tag : str
        Its name.
    content : Content | Iterable[Content]
        What is in it.
    attributes : str
        Its attributes, with underscores for hyphens: `aria_label`, and `class_` for `class`. They never come from data.
    """
    made = ET.Element(tag, {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()})
    for part in content:
        for each in [part] if part is None or isinstance(part, str | ET.Element) else part:
            _append(made, each)
    return made


def isolated(text: str, *, limit: int = _MAX_TEXT) -> ET.Element:
    """Return a text that comes from outside, with a direction of its own, cut if it is too long."""
    return element("bdi", text if len(text) <= limit else text[:limit] + " ...")


def pre(text: str, limit: int) -> ET.Element:
    """Return a text with line breaks, such as JSON or a command."""
    return element("pre", element("code", text if len(text) <= limit else text[:limit] + " ...", dir="ltr"))


def as_json(value: Any) -> str:
    """Return a value as JSON that people read."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def facts(rows: Iterable[tuple[str, Content]]) -> ET.Element:
    """Return names and values; those without a value are left out."""
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in rows if value is not None]
    return element("dl", pairs, class_="facts")


def table(caption: str, heads: Iterable[str], rows: Iterable[Iterable[Cell]]) -> ET.Element:
    """Return a table whose first column names its rows. Numbers are aligned to the right."""
    head = element("tr", (element("th", title, scope="col") for title in heads))
    body = [element("tr", (_cell(place, value) for place, value in enumerate(row))) for row in rows]
    return element("table", element("caption", caption), element("thead", head), element("tbody", body))


def section(name: str, title: str, *content: Content | Iterable[Content]) -> ET.Element:
    """Return a part of the page with its heading; the name is unique on the page."""
    heading = element("h2", title, id=name)
    return element("section", heading, *content, aria_labelledby=name)


def html(root: ET.Element) -> str:
    """Return a document as text."""
    text: str = ET.tostring(root, encoding="unicode", method="html")
    return f"<!doctype html>\n{text}\n"


def _cell(place: int, value: Cell) -> ET.Element:
    if place == 0:
        return element("th", f"{value:,}" if isinstance(value, int) else value, scope="row")
    return element("td", f"{value:,}", class_="number") if isinstance(value, int) else element("td", value)


def _append(parent: ET.Element, part: Content) -> None:
    if part is None:
        return
    if isinstance(part, ET.Element):
        parent.append(part)
        return
    # A style sheet isn't data, and a line break is needed in what is preformatted.
    text = part if parent.tag == "style" else plain(part, keep="\n")
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text
