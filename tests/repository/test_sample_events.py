"""events/README.md lists every sample with its function; `make invoke` reads it."""

import json
import re

import pytest

from local.invoke import QUEUES, samples
from tests.support.definitions import functions, template
from tests.support.samples import EVENTS, samples_of

README = (EVENTS / "README.md").read_text()


def files(folder: str = ".") -> set[str]:
    return {path.name for path in (EVENTS / folder).glob("*.json")}


def test_every_event_is_listed_with_the_function_that_takes_it():
    takers = {f"{event}.json": name for name, function in functions().items() for event in samples_of(function)}
    assert {name: sample.function for name, sample in samples().items()} == takers
    assert takers.keys() == files()


def test_an_event_of_a_function_that_is_not_always_deployed_says_which_parameters_it_needs():
    resources, parameters = template()["Resources"], template()["Parameters"]
    for sample in samples().values():
        conditional = resources[sample.function].get("Condition") not in {None, "WithExamples"}
        assert bool(sample.needs) is conditional, sample.event
        assert {each.partition("=")[0] for each in sample.needs} <= parameters.keys()


@pytest.mark.parametrize("folder", ["executions", "messages"])
def test_every_execution_and_every_message_is_listed(folder):
    assert set(re.findall(rf"^\| \[.+?\]\({folder}/(.+?)\) \| .+ \|$", README, re.MULTILINE)) == files(folder)


def test_every_message_is_listed_with_its_envelope():
    listed = dict(re.findall(r"^\| \[.+?\]\(messages/(.+?)\) \| `(.+?)` \|$", README, re.MULTILINE))
    found = {name: json.loads((EVENTS / "messages" / name).read_text())["envelope"] for name in files("messages")}
    assert listed == found


def test_every_queue_that_a_sample_names_has_a_logical_id():
    assert set(QUEUES.values()) <= template()["Resources"].keys()
    text = "".join((EVENTS / name).read_text() for name in files())
    named = set(re.findall(r"arn:aws:sqs:us-east-1:123456789012:([\w.-]+)", text))
    assert named <= QUEUES.keys()
