"""The mapping of contracts in a document means the same as in the parameter, or is refused with what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from redrive.contracts.registry import ContractMapping, UnknownContractError
from tests.support.model_faults import neighbors

LOCATION = "s3://schemas/mapping.json"
name_patterns = st.text("ab-*", min_size=1, max_size=8)
# Near names, and far from them.
any_names = st.lists(
    st.sampled_from([*"ab-_.*", ".fifo", "*.", "fi", "fo", "f*", " ", "?", ",", ":", "/", "\u200b", "\u00e9", "\u0661"])
    | st.characters(),
    max_size=6,
).map("".join)
locations = st.sampled_from(["ssm:/stack/contracts/order", "s3://schemas/a=b.json", "s3://schemas/other.json"])
mappings = st.dictionaries(name_patterns, locations, max_size=30)
names = st.text("ab-", min_size=1, max_size=8)


def in_parameter(pairs: dict[str, str]) -> str:
    return ",".join(f"{name}={location}" for name, location in pairs.items())


def parsed(setting: str, document: Any) -> ContractMapping:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return ContractMapping.parse(setting, {LOCATION: text}.__getitem__)


@given(mappings, mappings, mappings, st.lists(names, max_size=20))
@neighbors(300)
def test_a_document_means_what_its_pairs_mean_in_its_place(before, inside, after, asked):
    parts = [in_parameter(before), f"@{LOCATION}", in_parameter(after)]
    found = parsed(",".join(parts), inside)
    expected = parsed(",".join([parts[0], in_parameter(inside), parts[2]]), None)
    assert found == expected
    for name in asked:
        exact = [pairs[name] for pairs in (before, inside, after) if name in pairs]
        assert not exact or found.location(name) == exact[0]


def can_be_a_name(pattern: str) -> bool:
    """Return whether some text in place of each wildcard makes it a name that CreateQueue or CreateFunction takes."""
    suffixes = {"", "x"} | {".fifo"[start:end] for start in range(5) for end in range(start, 6)} | {"x.fifo"}
    parts = pattern.split("*")
    candidates = {parts[0]}
    for part in parts[1:]:
        candidates = {before + text + part for before in candidates for text in suffixes}
    return any(is_a_name(candidate) for candidate in candidates)


def is_a_name(name: str) -> bool:
    stem = name.removesuffix(".fifo")
    return (
        len(stem) > 0
        and len(name) <= 80
        and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in stem)
    )


@given(any_names.filter(lambda name: name.count("*") <= 3), st.booleans())
@neighbors(500)
def test_a_name_that_no_queue_or_function_can_have_is_refused_wherever_it_is(name, in_document):
    assume(in_document or not (set(name) & set(",=@") or name != name.strip()))
    place = "ssm:/stack/contracts/order"

    def taken() -> ContractMapping:
        return parsed(f"@{LOCATION}", {name: place}) if in_document else parsed(f"{name}={place}", None)

    if can_be_a_name(name):
        assert taken().pairs == ((name, place),)
    else:
        with pytest.raises(UnknownContractError) as caught:
            taken()
        assert str(caught.value).isascii()
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 600


@given(
    st.sampled_from(["ssm:", "s3://", "s3:", "SSM:", "", "S3://"]),
    st.text("a/:* ", max_size=5),
    st.text("bk/-", max_size=5),
)
@neighbors(300)
def test_a_location_without_a_parameter_or_without_a_bucket_and_a_key_is_refused(scheme, middle, end):
    place = scheme + middle + end
    assume(place == place.strip())
    scheme = scheme if scheme != "s3:" or not place.startswith("s3://") else "s3://"
    rest = place.removeprefix(scheme)
    bucket, _, key = rest.partition("/")
    fits = {
        "ssm:": rest.strip("/:") != "" and rest[-1] not in "/:" and not set(rest) & set("* "),
        "s3://": len(bucket) >= 3 and not set(bucket) & set(":* ") and key != "",
    }.get(scheme, False)
    uses = {
        f"@{LOCATION}": {"orders": place},
        f"orders={place}": None,
        f"@{place}": None,
    }
    for setting, document in uses.items():
        documents = {LOCATION: json.dumps(document).encode(), place: b'{"orders": "ssm:/a"}'}
        if fits:
            assert ContractMapping.parse(setting, documents.__getitem__).location("orders") in {place, "ssm:/a"}
        else:
            with pytest.raises(UnknownContractError, match=r"Expected|isn't ssm:PARAMETER or s3://BUCKET/KEY"):
                ContractMapping.parse(setting, documents.__getitem__)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab:/s3m", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(json_values)
@neighbors(300)
def test_what_is_no_mapping_is_refused_and_nothing_of_it_is_repeated(value):
    fits = isinstance(value, dict) and all(
        name and isinstance(place, str) and place.startswith(("ssm:", "s3://")) for name, place in value.items()
    )
    assume(not fits)
    with pytest.raises(UnknownContractError) as caught:
        parsed(f"@{LOCATION}", value)
    assert str(caught.value).startswith(f"The mapping of contracts at {LOCATION} is invalid: ")
    assert str(caught.value).endswith("Correct the document and start the run again.")


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"", "it isn't a JSON object"),
        (b"orders=ssm:/a", "it isn't a JSON object"),
        (b"\xff\xfe", "it isn't a JSON object"),
        (b"[" * 100_000, "it isn't a JSON object"),
        (b'[["orders", "ssm:/a"]]', "it isn't a JSON object"),
        (b'{"orders": "ssm:/a", "orders": "ssm:/b"}', "the name of its member 2 is there twice"),
        (b'{"": "ssm:/a"}', "the name of its member 1 is empty"),
        (b'{"a": "ssm:/a", " b": "ssm:/a"}', "the name of its member 2 has the character ' ' at place 1"),
        ('{"ab\u200b": "ssm:/a"}'.encode(), r"the name of its member 1 has the character '\\u200b' at place 3"),
        (b'{"arn:aws:sqs:eu-west-1:1:orders": "ssm:/a"}', "the name of its member 1 has the character ':' at place 4"),
        (b'{"' + b"a" * 81 + b'": "ssm:/a"}', "the name of its member 1 has 81 characters"),
        (b'{"orders.fifo.": "ssm:/a"}', "the name of its member 1 has a dot that can't be that of .fifo"),
        (b'{"a": "ssm:/a", "b": "python:os:path"}', "the value of its member 2 isn't ssm:PARAMETER or s3://BUCKET/KEY"),
        (b'{"a": "@s3://schemas/more.json"}', "the value of its member 1 isn't ssm:PARAMETER or s3://BUCKET/KEY"),
    ],
)
def test_what_is_wrong_with_a_document_is_said(document, problem):
    with pytest.raises(UnknownContractError, match=problem):
        parsed(f"@{LOCATION}", document)


@pytest.mark.parametrize(
    "place", ["", "python:examples.store_events.contract:STORE_EVENT", "mapping.json", "https://x/y"]
)
def test_a_document_is_in_ssm_or_s3(place):
    with pytest.raises(UnknownContractError, match=r"Expected @ssm:PARAMETER or @s3://BUCKET/KEY"):
        parsed(f"@{place}", {})
