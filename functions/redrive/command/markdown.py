"""Escapes outside text so Markdown shows it literally. Used for the runbook, whose tags and names others chose."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence

from redrive.domain.plain_text import plain

# A backslash makes each of them a plain character (CommonMark 0.31, "Backslash escapes"). Characters that mean
# something only at the beginning of a line, or nothing at all, aren't escaped, so the text stays readable.
_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in string.punctuation if sign not in "-.,;:()'%+=/"})
# GitHub's autolinks and emoji names.
_ON_GITHUB = re.compile(r"(?<=www)\.|:(?=\S)", re.IGNORECASE)


def text(given: str) -> str:
    """Return a text, escaped for a cell or the middle of a paragraph."""
    return _ON_GITHUB.sub(r"\\\g<0>", plain(given).translate(_ESCAPED))


def code(given: str) -> str:
    """Return a text as inline code, for a cell or a paragraph."""
    content = plain(given).strip()
    # A pipe ends a cell even within code (GitHub Flavored Markdown, "Tables").
    if not content or "`" in content or "|" in content or "\\" in content:
        return text(given)
    return f"`{content}`"


def block(lines: Iterable[str]) -> str:
    """Return commands as a code block."""
    return "\n".join(f"    {plain(line)}" for line in lines)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. Its cells are already Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
