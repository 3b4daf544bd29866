"""Every `--parameter-overrides` in the documentation gives SAM what it looks like, read with SAM's own parser."""

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.support.definitions import ROOT, template

PARAMETERS: dict[str, dict[str, Any]] = template()["Parameters"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# The SAM CLI has an environment of its own.
PARSE = """
import json, sys
from samcli.cli.types import CfnParameterOverridesType

def parsed(words):
    try:
        return CfnParameterOverridesType().convert(tuple(words), None, None)
    except Exception as error:
        return str(error)

json.dump([parsed(words) for words in json.load(sys.stdin)], sys.stdout)
"""
EMPTY = [["RedriveSchedule="], ["RedriveSchedule= Examples=false"], ['RedriveSchedule=""', "Examples=false"]]


def commands() -> Iterator[list[str]]:
    """Yield the words after each `--parameter-overrides`, as the shell passes them on."""
    for page in PAGES:
        blocks = re.sub(r"\\\n *", "", page.read_text())
        for command in re.split(r"\n| && ", blocks):
            words = shlex.split(command) if re.match(r" *sam .*--parameter-overrides ", command) else []
            if words:
                given = words[words.index("--parameter-overrides") + 1 :]
                ends = next((place for place, word in enumerate(given) if word.startswith("--")), len(given))
                yield given[:ends]


COMMANDS = list(commands())


@cache
def parsed(*given: tuple[str, ...]) -> list[Any]:
    python = ROOT / ".venvs" / "sam" / "bin" / "python"
    done = subprocess.run([python, "-c", PARSE], input=json.dumps(given), capture_output=True, text=True, check=True)
    answers: list[Any] = json.loads(done.stdout)
    return answers


def looks_like(words: list[str]) -> dict[str, str]:
    """Return the parameters that a reader sees in the words."""
    pairs = [pair for word in words for pair in re.split(r" (?=[A-Z][A-Za-z]+=)", word)]
    found = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        unquoted = value[1:-1] if value[:1] in {"'", '"'} and value[-1:] == value[:1] else value
        found[name] = unquoted.replace('\\\\"', '"')
    return found


def test_there_are_commands_also_some_that_turn_something_off():
    assert len(COMMANDS) >= 10
    assert sum('=""' in word for words in COMMANDS for word in words) >= 5


def test_sam_reads_what_a_reader_reads():
    assert parsed(*map(tuple, COMMANDS)) == [looks_like(words) for words in COMMANDS]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_template_takes_the_values(words):
    for name, value in looks_like(words).items():
        assert name in PARAMETERS
        assert accepts(PARAMETERS[name], value.replace("...", "us-east-1:123456789012")), (name, value)


@pytest.mark.parametrize("name", [name for name, found in PARAMETERS.items() if found.get("Default") == ""])
def test_what_is_off_by_default_can_be_turned_off_again(name):
    assert accepts(PARAMETERS[name], "")


def accepts(parameter: dict[str, Any], value: str) -> bool:
    if parameter["Type"] == "Number":
        return parameter.get("MinValue", 0) <= float(value) <= parameter.get("MaxValue", float("inf"))
    values = value.split(",") if parameter["Type"] == "CommaDelimitedList" else [value]
    allowed = parameter.get("AllowedValues", values)
    return all(each in allowed and re.search(parameter.get("AllowedPattern", ""), each) for each in values)


def test_an_empty_value_needs_quotation_marks_as_the_guide_says():
    alone, skipped, turned_off = parsed(*map(tuple, EMPTY))
    assert "RedriveSchedule= is not a valid format" in alone
    assert skipped == {"Examples": "false"}
    assert turned_off == {"RedriveSchedule": "", "Examples": "false"}
    guide = (ROOT / "docs" / "guides" / "deploy.md").read_text()
    (line,) = re.findall(r"`(parameter_overrides = .+)`", guide)
    assert parsed((tomllib.loads(line)["parameter_overrides"],)) == [{"RedriveSchedule": ""}]
