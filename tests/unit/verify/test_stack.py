"""Whether a stack may touch the queues of a verification, and what to do if not."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verify.errors import VerifyError
from verify.stack import Stack, covers

NAMES = st.text("ab-", min_size=1, max_size=5)
PATTERNS = st.text("ab-*", min_size=1, max_size=6)


@given(PATTERNS, NAMES, st.lists(st.text("abc-.", max_size=4), min_size=1, max_size=8))
def test_a_pattern_that_covers_a_prefix_matches_every_name_that_begins_with_it(pattern, prefix, ends):
    if covers(pattern, prefix):
        assert all(fnmatch.fnmatchcase(prefix + end, pattern) for end in ends)


@given(PATTERNS, NAMES)
def test_a_pattern_that_does_not_cover_a_prefix_misses_a_name_that_begins_with_it(pattern, prefix):
    if not covers(pattern, prefix):
        # c is in no pattern.
        assert not fnmatch.fnmatchcase(prefix + "c", pattern) or not fnmatch.fnmatchcase(prefix, pattern)


def stack(patterns: str) -> Stack:
    return Stack("orders-redrive", {}, {"QueueNamePattern": patterns})


@pytest.mark.parametrize("patterns", ["redrive-verify-*", "orders*,redrive*", "orders*, redrive-*", "*verify-*"])
def test_a_pattern_that_covers_the_prefix_is_enough(patterns: str):
    stack(patterns).require_pattern_for("redrive-verify")


@pytest.mark.parametrize(
    ("patterns", "advice"),
    [
        ("", "found none. Deploy it with QueueNamePattern=redrive-verify-*. "),
        ("orders*", "Deploy it with QueueNamePattern=orders*,redrive-verify-*, or pass --prefix orders-verify. "),
        ("orders-*,*-dlq", "QueueNamePattern=orders-*,*-dlq,redrive-verify-*, or pass --prefix orders-verify. "),
        ("redrive-verify", "found 'redrive-verify', which doesn't cover them"),
        ("redrive-verify-*-dlq", "Nothing was created."),
    ],
)
def test_otherwise_the_error_says_what_to_add(patterns: str, advice: str):
    with pytest.raises(VerifyError) as error:
        stack(patterns).require_pattern_for("redrive-verify")
    assert advice in str(error.value)


@given(st.text("abcdefgh-", min_size=1, max_size=20).filter(lambda text: not text.startswith("-")))
def test_the_prefix_that_is_suggested_is_covered(beginning: str):
    with pytest.raises(VerifyError) as error:
        stack(f"{beginning}*").require_pattern_for("redrive-verify")
    suggested = str(error.value).split("--prefix ")[1].split(". ")[0]
    stack(f"{beginning}*").require_pattern_for(suggested)
