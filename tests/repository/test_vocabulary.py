"""One concept has one name: no identifier has a retired word. docs/reference/glossary.md defines the words in use."""

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.definitions import ROOT

# Names of the standard library.
FOREIGN = {"ROUND_CEILING"}
FOLDERS = ("functions", "bench", "local", "tools", "tests/support")
# Parts of identifiers, and what to write instead.
RETIRED = {
    "letter": "message",
    "mend": "repair",
    "told": "a noun that says what it is",
    "goes": "a noun that says what it is",
    "shown": "masked, or a noun that says what it is",
    "meant_for": "claimed_destination",
    "census": "full_scan",
    "outbox": "send_buffer",
    "pacer": "rate_limiter",
    "ceiling": "max_rate",
    "homeless": "unroutable",
    "obstacle": "blocked_reason",
    "doubtful": "possibly sent",
    "settle": "clean_up",
    "trouble": "error kind",
}
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# A dead letter is AWS's own word, and so is a dead-letter queue.
_DEAD_LETTER = re.compile(r"_dead_letters?(?=_)")
_FORMS = "|".join(f"{word}(?:s|ed|er|ing)?" for word in RETIRED)
_RETIRED = re.compile(f"_({_FORMS})_")


def retired_in(name: str) -> str | None:
    """Return the retired word that an identifier has, or None."""
    snake = "_" + "_".join(part.lower() for part in _PARTS.findall(name)) + "_"
    found = _RETIRED.search(_DEAD_LETTER.sub("", snake))
    return found[1] if found else None


def instead_of(word: str) -> str:
    """Return what to write instead of a retired word in any of its forms."""
    return next(instead for retired, instead in RETIRED.items() if word.startswith(retired))


def identifiers(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the identifiers of a module, each with its line."""
    with tokenize.open(path) as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type == tokenize.NAME:
                yield token.string, token.start[0]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("letters", "letters"),
        ("_MAX_LETTERS", "letters"),
        ("mended", "mended"),
        ("Mender", "mender"),
        ("LetterMender", "letter"),
        ("meant_for", "meant_for"),
        ("settle_run", "settle"),
        ("settings", None),
        ("dead_letter_queue", None),
        ("DeadLetterQueueSourceArn", None),
        ("DEAD_LETTERS", None),
        ("recommend", None),
        ("token", None),
    ],
)
def test_a_retired_word_is_found_in_any_spelling_but_not_inside_another_word(name, word):
    assert retired_in(name) == word


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_identifier_has_a_retired_word(folder):
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name} (write {instead_of(word)})"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name, line in identifiers(path)
        if name not in FOREIGN and (word := retired_in(name))
    ]
    assert not found, "\n".join(found)
