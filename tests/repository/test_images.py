"""The pictures of the docs are small, and each is on a page."""

import pytest

from docs.generate import pages
from tests.support.definitions import ROOT

IMAGES = sorted((ROOT / "docs" / "images").iterdir())


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_a_picture_is_small_and_on_a_page(image):
    assert image.stat().st_size < 150_000
    assert [page for page in pages() if f"images/{image.name})" in page.read_text()]
