"""The documentation says what the code does, its links lead somewhere, and its commands work with both AWS CLIs."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from botocore import xform_name
from botocore.session import Session

from docs import generate
from redrive import VERSION
from redrive.contracts.contract import Violation
from redrive.domain.judging.verdicts import Reason, Redrive
from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.messages.opened import BlockedReason
from redrive.domain.plan.request import RedriveRequest
from redrive.domain.rules.repair import Repair
from redrive.domain.rules.selection import Selection
from redrive.domain.runs.ending import STATUSES, Status
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Tally, moved_since, stayed_behind
from redrive.domain.sampling.masking import is_sensitive
from tests.support import factories
from tests.support.definitions import ROOT, resources, template

REFRESH = "Refresh it with: PYTHONPATH=functions .venvs/dev/bin/python -m docs.generate"
PAGES = sorted({*generate.pages(), *ROOT.glob("*.md")})
GENERATED = [page for page in generate.pages() if "<!-- generated:" in page.read_text()]


def page(path: str) -> str:
    return (ROOT / path).read_text()


def rows(text: str) -> dict[str, list[str]]:
    """Return the rows of a page's tables whose first cell is one name in code, by that name."""
    found = re.findall(r"^\| `([^`|]+)` \|(.*)\|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in found}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


# Generated parts


@pytest.mark.parametrize("path", GENERATED, ids=named)
def test_generated_parts_follow_from_models_and_template(path):
    text = path.read_text()
    assert text == generate.generated(text), f"{named(path)} is stale. {REFRESH}"


def test_every_generated_part_is_shown_somewhere():
    shown = {name for path in GENERATED for name in re.findall(r"<!-- generated: ([a-z-]+) -->", path.read_text())}
    assert shown == generate.SECTIONS.keys()


def test_the_schema_of_an_executions_input_is_that_of_the_model():
    assert generate.SCHEMA.read_text() == generate.input_schema(), f"The JSON Schema is stale. {REFRESH}"


@pytest.mark.parametrize("model", [RedriveRequest, Selection, Repair])
def test_every_input_key_has_a_description(model):
    assert not [name for name, field in model.model_fields.items() if not field.description]


def test_a_field_without_a_description_is_an_error_rather_than_an_empty_cell():
    class Undescribed(RedriveRequest):
        extra: int = 0

    with pytest.raises(generate.MissingDescriptionError, match=r"Undescribed\.extra"):
        generate._model(Undescribed, defaults=True)


def test_the_example_report_is_a_whole_report_that_adds_up():
    given = json.loads(generate.EXAMPLE.read_text())
    report = Report.model_validate(given)
    assert report.model_dump(mode="json").keys() == given.keys()
    assert sum(report.quarantine_reasons.values()) == report.counts.quarantined
    assert sum(report.skip_reasons.values()) == report.counts.skipped
    assert report.counts.seen == report.counts.all_seen
    assert report.sample is not None
    assert sum(group.messages for group in report.sample.groups) == report.sample.sampled
    seconds = (report.finished_at - report.started_at).total_seconds()
    assert report.counts.redriven / (report.rate.measured or 0) <= seconds


# Reasons, statuses, envelopes


@pytest.mark.parametrize("code", [*Violation, *BlockedReason, *Reason])
def test_every_reason_has_its_meaning_its_consequence_and_what_to_do(code):
    cells = rows(page("docs/reference/reasons.md"))[code]
    assert len(cells) == 3
    assert all(len(cell) > 7 for cell in cells)


def test_no_reason_is_explained_that_does_not_exist():
    assert rows(page("docs/reference/reasons.md")).keys() == {*Violation, *BlockedReason, *Reason}


def test_every_status_is_explained_and_no_other():
    text = page("docs/reference/report.md").partition("## Status")[2].partition("\n## ")[0]
    assert rows(text).keys() == set(Status)


def test_a_status_is_called_reserved_if_nothing_produces_it():
    produced = {status for _, status in STATUSES}
    reserved = {name for name, cells in rows(page("docs/reference/report.md")).items() if "Reserved" in cells[0]}
    assert reserved == set(Status) - produced


def test_every_envelope_is_explained_and_no_other():
    assert rows(page("docs/reference/envelopes.md")).keys() == set(Envelope)


# Destinations, in the order that the guide gives


ORDERS, ELSEWHERE, BEFORE = factories.queue("orders"), factories.queue("elsewhere"), factories.queue("before")
TARGET = {
    "RULE_ARN": factories.string("arn:aws:events:us-east-1:123456789012:rule/nightly"),
    "TARGET_ARN": factories.string(factories.queue("claimed").arn),
}


def destination(*, run: bool, origin: bool, claim: bool, sources: int) -> str | None:
    """Return the name of the queue that a message goes to, by what is known of it."""
    plan = factories.plan(
        destination=ELSEWHERE if run else None,
        sources=(ORDERS, factories.queue("others"))[:sources],
    )
    attributes = TARGET if claim else {}
    if origin:
        note = {"run": "r", "count": 1, "id": "i", "sent": 1, "source": BEFORE.arn}
        attributes = attributes | {"redrive": factories.string(json.dumps(note))}
    find_queue = {queue.arn: queue for queue in (BEFORE, factories.queue("claimed"))}.get
    message = factories.received(attributes=attributes, source=None, sender=factories.MOVER)
    verdict = factories.judge(plan, where=factories.authority(plan, find_queue))(message)
    return verdict.outbound.destination.name if isinstance(verdict, Redrive) else None


def test_destinations_apply_in_the_order_of_the_guide():
    text = page("docs/guides/redrive.md").partition("<!-- destination order -->")[2].partition("<!-- /")[0]
    steps = re.findall(r"^\d\. (.*(?:\n   .*)*)", text, re.MULTILINE)
    words = ("run's `destination`", "SQS says", "earlier run", "only one", "envelope")
    assert not [word for word, step in zip(words, steps, strict=True) if word not in step]
    assert destination(run=True, origin=True, claim=True, sources=1) == "elsewhere"
    assert destination(run=False, origin=True, claim=True, sources=1) == "before"
    assert destination(run=False, origin=False, claim=False, sources=1) == "orders"
    assert destination(run=False, origin=False, claim=True, sources=1) is None
    assert destination(run=False, origin=False, claim=True, sources=0) == "claimed"
    assert destination(run=False, origin=False, claim=False, sources=2) is None


# Figures


def test_the_rates_that_the_design_quotes_are_those_of_the_benchmarks():
    prose = " ".join(page("docs/design/moving.md").split())
    quoted = re.findall(r"(\d+) (?:of|of the) (\d+)(?: messages allowed)? at (\d+)/s", prose)
    measured = page("docs/design/benchmarks.md").partition("<!-- measured: begin")[2]
    assert len(quoted) == 3
    assert not [(most, of, rate) for most, of, rate in quoted if f"{rate}/s: {most} of {of}" not in measured]


def test_no_page_promises_a_rate_that_the_benchmarks_contradict():
    promising = re.compile(r"every single second|never above (?!one)", re.IGNORECASE)
    assert not [named(path) for path in PAGES if promising.search(path.read_text())]


def test_a_lane_moves_more_than_twice_what_it_is_given_as_the_benchmarks_say():
    measured = re.search(r"^\| ours \| (\d+) \|", page("docs/design/benchmarks.md"), re.MULTILINE)
    assert measured is not None
    assert "is meant for 500 messages a second, less than half of what it moved here" in page(
        "docs/design/benchmarks.md"
    ).replace("\n", " ")
    assert int(measured[1]) > 2 * 500


def test_what_contracts_call_sensitive_is():
    [names] = re.findall(r"often have, such as (.*)\.$", page("docs/guides/contracts.md"), re.MULTILINE)
    assert not [name for name in re.findall(r"`(\w+)`", names) if not is_sensitive(name)]


# Monitoring


@pytest.mark.parametrize("kind", ["AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"])
def test_every_alarm_is_explained_with_what_to_do(kind):
    explained = [name for name in rows(page("docs/guides/monitoring.md")) if name.endswith("Alarm")]
    patterns = [name.replace("<Pair>", r"\w+") for name in explained]
    alarms = resources(kind)
    assert alarms
    assert not [name for name in alarms if not any(re.fullmatch(pattern, name) for pattern in patterns)]


def test_no_alarm_is_explained_that_does_not_exist():
    alarms = [*resources("AWS::CloudWatch::Alarm"), *resources("AWS::CloudWatch::CompositeAlarm")]
    explained = [name for name in rows(page("docs/guides/monitoring.md")) if name.endswith("Alarm")]
    patterns = [name.replace("<Pair>", r"\w+") for name in explained]
    assert not [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in alarms)]


def test_every_metric_is_listed():
    counted = {*moved_since(Tally(), Tally()), *stayed_behind(Tally()), "RunsEnded", "Processed"}
    assert not [name for name in counted if f"`{name}`" not in page("docs/reference/metrics.md")]


# What the pages mention


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_parameters_outputs_and_functions_that_a_page_mentions_exist(path):
    text = path.read_text()
    known = template()["Parameters"].keys() | template()["Outputs"].keys()
    mentioned = set(re.findall(r"\$\(out (\w+)\)|\bout ([A-Z]\w+)", text))
    assert not [name for pair in mentioned for name in pair if name and name not in template()["Outputs"]]
    overridden = set(re.findall(r"['\" ](\w+)=", " ".join(re.findall(r"--parameter-overrides (.*(?:\\\n.*)*)", text))))
    assert not {name for name in overridden if name[0].isupper()} - known


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_make_targets_that_a_page_mentions_exist(path):
    targets = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    commands = re.findall(r"(?:`|^    |&& )make (?:-s )?([a-z][a-z-]+)", path.read_text(), re.MULTILINE)
    assert not [target for target in commands if target not in targets]


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_files_that_a_page_mentions_in_code_exist(path):
    folders = "functions|tests|local|bench|events|statemachines|requirements|docs"
    mentioned = re.findall(rf"`((?:{folders})/[\w./-]+)`", path.read_text())
    assert not [name for name in mentioned if not (ROOT / name).exists()]


def test_pages_that_the_code_mentions_exist():
    folders = ("functions", "local", "bench", "tests", "events", "statemachines", "requirements")
    files = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".md", ".yaml"}
    ]
    files += [*(ROOT / "functions").glob("*.txt"), ROOT / "template.yaml", ROOT / "Makefile"]
    mentioned = {
        f"{named(path)}: {page}"
        for path in files
        for page in re.findall(r"\bdocs/[\w./-]+\.(?:md|json)", path.read_text())
        if not (ROOT / page).exists()
    }
    assert not mentioned


def test_the_template_has_the_version_of_the_project():
    project = tomllib.loads(page("pyproject.toml"))["project"]
    published = template()["Metadata"]["AWS::ServerlessRepo::Application"]
    assert published["SemanticVersion"] == project["version"] == VERSION
    assert template()["Outputs"]["Version"]["Value"] == VERSION


def test_the_changelog_has_the_version_of_the_project():
    version = tomllib.loads(page("pyproject.toml"))["project"]["version"]
    assert re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", page("CHANGELOG.md"), re.MULTILINE)


def test_the_readme_takes_two_screens_at_most():
    assert len(page("README.md").splitlines()) <= 118


# Links


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_relative_link_and_anchor_leads_somewhere(path):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if link.startswith(("https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        leads_to = (path.parent / target).resolve() if target else path
        if not leads_to.exists() or (anchor and anchor not in anchors(leads_to)):
            broken.append(link)
    assert not broken


# Commands. What holds for one AWS CLI doesn't always hold for the other:
# https://docs.aws.amazon.com/cli/latest/userguide/cliv2-migration-changes.html

GLOBAL_OPTIONS = {"--output", "--query", "--region", "--profile", "--endpoint-url", "--no-paginate"}
# Commands that aren't an API operation, with their options.
CUSTOM = {("s3", "cp"): {"--recursive", "--exclude", "--include"}}
# Options that have another name than the API's parameter, in both versions.
RENAMED = {("sns", "subscribe"): {"--notification-endpoint": "--endpoint"}}
# Commands that are named after their endpoint instead of their service.
SERVICES = {"eventsv2": "eventbridgev2", "s3api": "s3"}
# Commands with an argument that isn't an option: the file that gets the answer.
POSITIONAL = {("lambda", "invoke"): 1, ("s3", "cp"): 2}


def code_blocks(text: str) -> Iterator[str]:
    """Yield the blocks of code of a page, fenced and indented."""
    yield from re.findall(r"^ *```(?:sh|bash|shell)?\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    for block in re.findall(r"(?:^(?: {4,}.*)?\n)+", text, re.MULTILINE):
        yield re.sub(r"^ {4,7}", "", block, flags=re.MULTILINE)


def cli_commands(text: str) -> Iterator[list[str]]:
    """Yield the AWS CLI commands in a page's code, as a shell would split them."""
    for block in code_blocks(text):
        joined = block.replace("\\\n", " ")
        # A command in a command: `$(out Name)`, or the definition of `out`.
        inner = r"\$\((?!\()((?:[^()]|\([^()]*\))*)\)"
        for nested in re.findall(inner, joined):
            if nested.startswith("aws "):
                yield shlex.split(nested)
        joined = re.sub(inner, "VALUE", joined)
        for start in re.finditer(r"(?:^|[;{] *)(aws )", joined, re.MULTILINE):
            rest = joined[start.start(1) :]
            for end in range(len(rest) + 1):
                # The command ends at the first line break or semicolon that isn't inside quotation marks.
                if end == len(rest) or rest[end] in "\n;}":
                    try:
                        words = shlex.split(rest[:end])
                    except ValueError:
                        continue
                    yield words
                    break


COMMANDS = [
    pytest.param(words, id=f"{named(path)}: {' '.join(words[:3])}")
    for path in PAGES
    for words in cli_commands(path.read_text())
]
SESSION = Session()


def test_the_commands_of_the_pages_are_found():
    operations = {tuple(command.values[0][1:3]) for command in COMMANDS}
    assert {
        ("cloudformation", "describe-stacks"),
        ("sns", "subscribe"),
        ("stepfunctions", "start-execution"),
        ("lambda", "invoke"),
        ("s3", "cp"),
        ("ssm", "put-parameter"),
        ("cloudwatch", "put-metric-alarm"),
        ("dynamodb", "delete-item"),
    } <= operations


@pytest.mark.parametrize("words", COMMANDS)
def test_every_aws_command_works_with_both_versions_of_the_cli(words):
    service, operation, *arguments = words[1:]
    if "<<<" in arguments:
        arguments = arguments[: arguments.index("<<<")]
    renamed = RENAMED.get((service, operation), {})
    given = [renamed.get(word, word) for word in arguments if word.startswith("--")]
    positional = 0
    for word in arguments:
        if word.startswith("--"):
            break
        positional += 1
    if (service, operation) in CUSTOM:
        allowed, blobs = CUSTOM[service, operation], set()
    else:
        model = SESSION.get_service_model(SERVICES.get(service, service))
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        members = model.operation_model(operations[operation]).input_shape.members
        allowed = {f"--{xform_name(name, '-')}": shape for name, shape in members.items()}
        # Version 1 reads an inline blob as text and version 2 as base64; a file is the same for both.
        blobs = {name for name, shape in allowed.items() if shape.type_name == "blob"}
    assert set(given) - GLOBAL_OPTIONS - set(allowed) == set()
    values = dict(pairwise(arguments))
    assert not [name for name in blobs & set(given) if not values[name].startswith("fileb://")]
    assert positional <= POSITIONAL.get((service, operation), 0)


@pytest.mark.parametrize("words", COMMANDS)
def test_json_in_a_command_is_json(words):
    values = [word for word in words if word.lstrip().startswith("{")]
    for value in values:
        json.loads(value)


@pytest.mark.parametrize("words", [c for c in COMMANDS if c.values[0][1:3] == ["stepfunctions", "start-execution"]])
def test_the_input_that_a_command_starts_a_run_with_is_valid(words):
    given = words[words.index("--input") + 1]
    RedriveRequest.model_validate_json(given)
