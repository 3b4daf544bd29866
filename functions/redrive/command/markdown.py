"""Text from outside as Markdown shows it: as it is, whatever is in it.

Used for the runbook, whose tags and names somebody else chose.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence

from redrive.domain.plain_text import plain

# A backslash before any of them makes it a plain character (CommonMark 0.31, "Backslash escapes"). Those that mean
# something only at the beginning of a line, or nothing at all, stay readable.
_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in string.punctuation if sign not in "-.,;:()'%+=/"})
# Links of GitHub, and its names of emoji.
_ON_GITHUB = re.compile(r"(?<=www)\.|:(?=\S)", re.IGNORECASE)


def text(given: str) -> str:
    """Return a text for a cell or the middle of a paragraph."""
    return _ON_GITHUB.sub(r"\\\g<0>", plain(given).translate(_ESCAPED))


def code(given: str) -> str:
    """Return a text as code, for a cell or a paragraph."""
    content = plain(given).strip()
    # A pipe ends a cell even within code (GitHub Flavored Markdown, "Tables").
    if not content or "`" in content or "|" in content or "\\" in content:
        return text(given)
    return f"`{content}`"


def block(lines: Iterable[str]) -> str:
    """Return commands as a block of code."""
    return "\n".join(f"    {plain(line)}" for line in lines)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
