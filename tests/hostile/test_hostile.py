"""Hostile messages through the whole chain of a run: more than 20,000 of them.

Nothing that a message holds ends a run, leaves the account's data plane, or alters another message.
"""

import json
import tracemalloc
from collections.abc import Mapping
from itertools import batched
from typing import Any

import pytest

from redrive.contracts.contract import MessageContract
from redrive.domain.rules.repair import Repair
from redrive.domain.sampling.summary import Summary
from tests.hostile.marks import TEXTS, leak
from tests.hostile.messages import everywhere
from tests.hostile.runs import timed
from tests.hostile.suite import (
    CONTRACTS,
    DLQ,
    ORDERS,
    REPAIRS,
    SEEDS,
    SELECTIONS,
    World,
    allowed_bytes,
    allowed_seconds,
    play,
    search,
)
from tests.hostile.wire import LIMIT
from tests.support import factories


@pytest.mark.parametrize("number", SEEDS)
def test_whatever_is_in_a_queue_every_message_has_its_own_fate(number: int) -> None:
    assert search(number) > 800


@pytest.mark.parametrize("value", ["zqxj", "4088172635", "ZqxjError", TEXTS[17]])
def test_a_value_in_any_place_of_a_sample_message_breaks_nothing_and_is_never_shown(value: str) -> None:
    for number, messages in enumerate(batched(everywhere((value,)), 50, strict=False)):
        plan = factories.plan(dlq=DLQ, sources=(ORDERS,), sample_size=50)
        assert play(World(plan, CONTRACTS[number % len(CONTRACTS)], messages, LIMIT, whole_batches=False)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nothing of a message: 4,088 messages", False),
        ("Zqxj", True),
        ("408-81-7263", True),
        (r"\u007a\u0071\u0078\u006a", True),
        (json.dumps({"a": json.dumps({"b": TEXTS[-10]})}), True),
        ("enF4anpxeGo=", True),
        ("IHpxeGp6cXhq", True),
        ("ICB6cXhqenF4ag==", True),
    ],
)
def test_a_marker_is_found_in_every_form(text: str, found: bool) -> None:
    assert (leak(text) is not None) == found


# What a rule can make of many small values.
NUMBERS = ("1e3900,", "1e990,", "7,", "0.1,", "[],", '"x",')
RULES: tuple[dict[str, Any], ...] = (
    {"project": "@[*].sum([@, `0.1`])"},
    {"project": "@[*].avg([@, `3`])"},
    {"project": "@[?@ > `5`]|[?@ > `6`]|[?@ > `7`]"},
    {"project": f"@[*].join('', ['{chr(0x1F600) * 1_800}', to_string(@)])"},
    {"project": f"@[?@ < `0.{'9' * 900}`]"},
    {"project": "map(&to_number(to_string(@)), @)"},
    {"setAttributes": {f"a{number}": {"from": "length(@[?@ > `5`])"} for number in range(10)}},
    {"patch": [{"op": "copy", "from": "", "path": "/0"}, {"op": "copy", "from": "", "path": "/1"}] * 25},
    {"patch": [{"op": "test", "path": "/0", "value": 7}, {"op": "remove", "path": "/0"}] * 25},
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule)[:60])
@pytest.mark.parametrize("part", NUMBERS)
def test_the_work_and_memory_of_a_rule_grow_no_faster_than_a_message(part: str, rule: dict[str, Any]) -> None:
    message = factories.received("[" + part * (100_000 // len(part)) + "0]")
    judge = factories.judge(factories.plan(repair=Repair.model_validate(rule)))
    judge(message)
    # Twice as long on a busy machine.
    assert min(timed(lambda: judge(message))[1] for _ in range(3)) <= 2 * allowed_seconds(100_000)
    tracemalloc.start()
    try:
        judge(message)
        assert tracemalloc.get_traced_memory()[1] <= allowed_bytes(100_000)
    finally:
        tracemalloc.stop()


DENSE = (
    "[],",
    "{},",
    '{"a":1},',
    "1.5,",
    "1234567,",
    '"x",',
    "null,",
    '"\\u00e9",',
    '"zqxj@example.org",',
    '{"a":[1.5]},',
)


@pytest.mark.parametrize("contract", [{}, *CONTRACTS[1:3]], ids=["none", "pydantic", "json-schema"])
@pytest.mark.parametrize("part", DENSE)
def test_work_and_memory_grow_no_faster_than_a_message(part: str, contract: Mapping[str, MessageContract]) -> None:
    body = '{"TopicArn":[' + part * (100_000 // len(part)) + "0]}"
    plan = factories.plan(repair=REPAIRS[-2], select=SELECTIONS[-1])
    message = factories.received(body)

    def judged() -> None:
        Summary(plan).add(factories.judge(plan, contract.get).judge(message))

    judged()
    assert timed(judged)[1] <= allowed_seconds(len(body))
    tracemalloc.start()
    try:
        judged()
        assert tracemalloc.get_traced_memory()[1] <= allowed_bytes(len(body))
    finally:
        tracemalloc.stop()
