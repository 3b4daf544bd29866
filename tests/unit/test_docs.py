"""The documents that follow from the code: they fail here as soon as they do not say what the code does."""

import json
import re

import pytest

from contracts.contract import Violation
from redrive.domain.envelopes import NotRedrivable
from redrive.domain.runs import RedriveRequest, Tally
from redrive.domain.tallying import left_behind, moved_since
from redrive.domain.verdicts import Reason
from tests.support.definitions import ROOT, resources

SCHEMA = ROOT / "docs" / "execution-input.schema.json"
REFRESH = "PYTHONPATH=functions .venvs/dev/bin/python -m tests.support.schema"


def rows() -> dict[str, list[str]]:
    """Return the rows of the tables in docs/reasons.md by their code."""
    found = re.findall(r"^\| `([a-z-]+)` \|(.*)\|$", (ROOT / "docs" / "reasons.md").read_text(), re.MULTILINE)
    return {code: [cell.strip() for cell in rest.split("|")] for code, rest in found}


MONITORING = (ROOT / "docs" / "monitoring.md").read_text()


def test_the_schema_of_an_executions_input_is_the_codes():
    assert json.loads(SCHEMA.read_text()) == RedriveRequest.model_json_schema(by_alias=True), (
        f"docs/execution-input.schema.json is stale. Refresh it with: {REFRESH}"
    )


def test_every_key_of_an_executions_input_is_described():
    properties = RedriveRequest.model_json_schema(by_alias=True)["properties"]
    assert not [name for name, told in properties.items() if not told.get("description")]


@pytest.mark.parametrize("code", [*Violation, *NotRedrivable, *Reason])
def test_every_reason_has_its_meaning_its_consequence_and_what_to_do(code):
    assert len(rows()[code]) == 3
    assert all(len(cell) > 10 for cell in rows()[code])


def test_no_reason_is_explained_that_does_not_exist():
    assert rows().keys() == {*Violation, *NotRedrivable, *Reason}


@pytest.mark.parametrize("kind", ["AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"])
def test_every_alarm_is_explained_with_what_to_do(kind):
    explained = re.findall(r"^\| `([\w<>]+Alarm)` \|[^|]+\|[^|]{10,}\|$", MONITORING, re.MULTILINE)
    patterns = [name.replace("<Pair>", r"\w+") for name in explained]
    alarms = resources(kind)
    assert alarms
    assert not [name for name in alarms if not any(re.fullmatch(pattern, name) for pattern in patterns)]


def test_every_metric_is_explained():
    counted = {*moved_since(Tally(), Tally()), *left_behind(Tally()), "RunsEnded", "Processed"}
    assert not [name for name in counted if f"`{name}`" not in MONITORING]
