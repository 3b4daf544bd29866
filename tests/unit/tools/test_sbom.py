"""Which licenses are allowed: what an SPDX expression offers is compared with truth tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.sbom import ALLOWED, Part, is_allowed, refused_parts

OTHERS = ["GPL-3.0-only", "AGPL-3.0-or-later", "MPL-2.0", "SSPL-1.0", "GPL-2.0-only WITH Classpath-exception-2.0"]
LICENSES = st.sampled_from(sorted(ALLOWED) + OTHERS).map(lambda name: (name, name in ALLOWED))


def joined(parts):
    return st.tuples(parts, st.sampled_from(["AND", "OR"]), parts).map(
        lambda drawn: (
            f"({drawn[0][0]}) {drawn[1]} ({drawn[2][0]})",
            drawn[0][1] and drawn[2][1] if drawn[1] == "AND" else drawn[0][1] or drawn[2][1],
        )
    )


@given(st.recursive(LICENSES, joined, max_leaves=6))
def test_an_expression_is_allowed_if_one_may_choose_allowed_licenses(expression):
    text, allowed = expression
    assert is_allowed(text) == allowed


@pytest.mark.parametrize("text", ["", "unknown", "MIT License", "MIT OR", "MIT/Apache-2.0", "Permission is granted"])
def test_what_is_no_expression_is_refused(text):
    assert not is_allowed(text)


def test_crates_are_checked_too():
    crate = Part("crate", "1", "GPL-3.0-only", None)
    assert refused_parts([Part("wheel", "1", "MIT", None, crates=(crate,))]) == [crate]
