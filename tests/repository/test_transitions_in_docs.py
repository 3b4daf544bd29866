"""The page on moving shows the lane's transitions as they are."""

import re
from pathlib import Path

from redrive.domain.moving.transitions import Event, Stage
from tests.support.transitions_table import transitions_table

PAGE = Path("docs/design/moving.md")
SECTION = re.compile(r"<!-- transitions -->\n(.*)\n<!-- /transitions -->", re.DOTALL)


def test_the_page_on_moving_shows_the_table_of_transitions():
    """To update the page, replace the section with what `transitions_table` returns."""
    shown = SECTION.search(PAGE.read_text())
    assert shown is not None, f"{PAGE} has no section between the transitions markers"
    assert shown[1] == transitions_table()


def test_the_table_explains_every_stage_and_event():
    for member in (*Stage, *Event):
        assert f"| {member} |" in transitions_table()
