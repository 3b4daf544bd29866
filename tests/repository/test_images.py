"""Each picture in the docs is small and on a page, and an SVG is self-contained and does nothing."""

import re
from xml.etree import ElementTree

import pytest

from docs.generate import pages
from tests.support.definitions import ROOT
from tools.recordings import drawn

IMAGES = sorted((ROOT / "docs" / "images").iterdir())
SVG = "{http://www.w3.org/2000/svg}"
#: Elements that draw text and shapes. Others could run, load, or link to something.
ELEMENTS = {"svg", "style", "defs", "clipPath", "rect", "circle", "g", "text"}


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_a_picture_is_small_and_on_a_page(image):
    assert image.stat().st_size < 150_000
    assert [page for page in pages() if f"images/{image.name})" in page.read_text()]


def harmless(svg: str) -> bool:
    root = ElementTree.fromstring(svg)
    names = {element.tag.removeprefix(SVG) for element in root.iter()}
    attributes = {name for element in root.iter() for name in element.attrib}
    outside = re.findall(r"@import|@font-face|url\((?!#)", svg)
    return names <= ELEMENTS and not outside and not [name for name in attributes if re.match("on|.*href", name)]


@pytest.mark.parametrize("image", [each for each in IMAGES if each.suffix == ".svg"], ids=lambda image: image.name)
def test_a_recording_draws_text_and_loads_nothing(image):
    svg = image.read_text()
    assert harmless(svg)
    shown = "\n".join(ElementTree.fromstring(svg).itertext())
    assert f"redrive\N{NO-BREAK SPACE}{image.stem}\N{NO-BREAK SPACE}orders-dlq" in shown
    assert not re.search(r"/home/|/root|/tmp|/work|/Users/|@", shown)


def test_what_a_command_prints_is_drawn_as_text_whatever_it_is():
    svg = drawn(
        "look", ["look", "it's"], ["\x1b[1mbold\x1b[0m <script>alert(1)</script>", "]]> & <image href='http://q'/>"]
    )
    assert harmless(svg)
    assert "<script>" in "".join(ElementTree.fromstring(svg).itertext()).replace("\N{NO-BREAK SPACE}", " ")
