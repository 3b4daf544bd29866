"""Takes the picture of a report page that the docs show: `PYTHONPATH=functions python -m tools.screenshot`.

It needs Chromium (apt-get install chromium). Run it after a change of the page that the picture should show.
"""

from __future__ import annotations

import sys

from docs.generate import example
from redrive.domain.page.document import page_of
from tests.support.browsers import browser, chromium
from tests.support.definitions import ROOT
from tests.support.pages import record_of

PICTURE = ROOT / "docs" / "images" / "report-page.png"
_WIDTH, _HEIGHT = 980, 800


def main() -> int:
    """Write the picture; return an exit status."""
    path = chromium()
    if path is None:
        print("Expected Chromium, found none. Install it: apt-get install chromium", file=sys.stderr)
        return 1
    page = page_of(example(), record_of(example()))
    with browser(path) as chrome:
        tab = chrome.new_page(viewport={"width": _WIDTH, "height": _HEIGHT}, color_scheme="light")
        tab.set_content(page)
        PICTURE.parent.mkdir(exist_ok=True)
        tab.screenshot(path=PICTURE)
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
