"""Writes the generated parts of the documentation, from the models and the template.

Run it after a change to an input key, the report, a parameter, an output, or a metric:

    PYTHONPATH=functions python -m docs.generate

A generated part of a page is between `<!-- generated: NAME -->` and `<!-- /generated -->`.
tests/repository/test_docs.py fails if one is stale.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from redrive.command.exits import MEANINGS, Exit
from redrive.command.main import COMMANDS, cli
from redrive.domain.moving.results import Counts
from redrive.domain.plan.request import RedriveRequest
from redrive.domain.rules.repair import AttributeRule, Repair
from redrive.domain.rules.selection import Selection
from redrive.domain.runs.forecast import Expected, Forecast
from redrive.domain.runs.notification import notification_of
from redrive.domain.runs.report import RateReport, Report
from redrive.domain.runs.tally import Tally, moved_since, stayed_behind
from redrive.domain.sampling.sample import Example, Sample, SampleGroup, Sizes
from tests.support.definitions import ROOT, template

DOCS = ROOT / "docs"
SCHEMA = DOCS / "reference" / "input.schema.json"
EXAMPLE = DOCS / "reference" / "report.example.json"

_SECTION = re.compile(r"(<!-- generated: ([a-z-]+) -->\n)(.*?)(<!-- /generated -->)", re.DOTALL)
# Values of an enumeration that a table lists; more are described in the text.
_MAX_LISTED = 4


class MissingDescriptionError(ValueError):
    """A field that the reference shows has neither a description nor a `#:` comment."""


def pages() -> list[Path]:
    """Return the pages of the documentation, README first."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def generated(text: str) -> str:
    """Return a page with every generated part as it should be."""
    return _SECTION.sub(lambda found: f"{found[1]}\n{SECTIONS[found[2]]()}\n\n{found[4]}", text)


def input_schema() -> str:
    """Return the JSON Schema of an execution's input."""
    return json.dumps(RedriveRequest.model_json_schema(by_alias=True), indent=2) + "\n"


def example() -> Report:
    """Return the report that README and reference show."""
    return Report.model_validate_json(EXAMPLE.read_text())


def main() -> None:
    """Write what is stale, and print which files those were."""
    wanted = {page: generated(page.read_text()) for page in pages()} | {SCHEMA: input_schema()}
    for path, text in wanted.items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(path.relative_to(ROOT))  # noqa: T201


# Tables


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines.append(["---"] * len(lines[0]))
    lines += [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _model(model: type[BaseModel], prefix: str = "", *, defaults: bool = False) -> str:
    """Return the fields of a model, in the order in which it declares them."""
    schema = model.model_json_schema(by_alias=True, mode="validation" if defaults else "serialization")
    comments = _comments(model)
    rows = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        description = field.description or comments.get(name)
        if description is None:
            raise MissingDescriptionError(f"{model.__name__}.{name}: give it a `#:` comment, which {DOCS} shows.")
        row = [f"`{prefix}{key}`", _kind(schema["properties"][key], schema.get("$defs", {}))]
        if defaults:
            row.append("required" if field.is_required() else _default(field.default))
        rows.append([*row, _linked(re.sub(r"\bNone\b", "`null`", description))])
    head = ["key", "type", "default", "description"] if defaults else ["key", "type", "description"]
    return _table(head, rows)


def _default(value: Any) -> str:
    return "none" if value is None else f"`{json.dumps(value)}`"


def _comments(model: type[BaseModel]) -> dict[str, str]:
    """Return the `#:` comments of a model's fields, inherited ones included."""
    found: dict[str, str] = {}
    for base in reversed([base for base in model.__mro__ if issubclass(base, BaseModel) and base is not BaseModel]):
        waiting: list[str] = []
        for line in inspect.getsource(base).splitlines():
            text = line.strip()
            if text.startswith("#:"):
                waiting.append(text.removeprefix("#:").strip())
            elif field := re.match(r"(\w+): ", text):
                if waiting:
                    found[field[1]] = " ".join(waiting)
                waiting = []
            elif not text.startswith("#"):
                waiting = []
    return found


def _kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return what a reader calls the type of a value."""
    parts = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    if len(parts) > 1:
        return " or ".join(dict.fromkeys(_kind(part, definitions) for part in parts))
    [part] = parts
    if "$ref" in part:
        part = definitions[part["$ref"].rsplit("/", 1)[-1]]
    if values := part.get("enum"):
        listed = [f"`{value}`" for value in values]
        return ", ".join(listed) if len(listed) <= _MAX_LISTED else "string"
    kind = part.get("type")
    if kind == "array":
        return f"list of {_kind(part['items'], definitions)}s"
    if part.get("format") == "date-time":
        return "time"
    return f"{kind}{_bounds(part)}" if kind else "any JSON"


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None:
        return ""
    return f", at least {low:,}" if high is None else f", {low:,} to {high:,}"


def _parameters() -> str:
    rows = []
    for name, parameter in template()["Parameters"].items():
        default = parameter["Default"]
        rows.append([f"`{name}`", "empty" if default == "" else f"`{default}`", _allowed(parameter), _text(parameter)])
    return _table(["parameter", "default", "allowed", "description"], rows)


def _allowed(parameter: Mapping[str, Any]) -> str:
    if values := parameter.get("AllowedValues"):
        return ", ".join(f"`{value}`" for value in values)
    if "MinValue" in parameter:
        return f"{parameter['MinValue']:,} to {parameter['MaxValue']:,}"
    return _text(parameter, "ConstraintDescription")


def _text(described: Mapping[str, Any], key: str = "Description") -> str:
    """Return a text of the template as Markdown."""
    text = " ".join(described.get(key, "text").split()).replace("*", "\\*")
    return _linked(text)


def _linked(text: str) -> str:
    """Return a text whose mentions of reference pages are links."""
    return re.sub(r"docs/reference/([\w-]+)\.md", r"[\1.md](\1.md)", text)


def _outputs() -> str:
    only_if = {
        "WithExamples": "`Examples` is `true`",
        "WithAutomaticStart": "runs start automatically",
        "WithChat": "a chat is set up",
    }
    rows = [
        [f"`{name}`", _text(output), only_if.get(output.get("Condition", ""), "always")]
        for name, output in template()["Outputs"].items()
    ]
    return _table(["output", "description", "present if"], rows)


def _metrics() -> str:
    comments = _comments(Counts)
    published = {
        "after each round, about a minute": moved_since(Tally(), Tally()),
        "at the end of the run": stayed_behind(Tally()),
    }
    rows = [
        ["`Redrive`", "`dlq`", f"`{name}`", comments[name.lower()], when]
        for when, names in published.items()
        for name in names
    ]
    return _table(["namespace", "dimensions", "metric", "messages", "published"], rows)


def _mail() -> str:
    notification = notification_of(example())
    return f"```text\nSubject: {notification.subject}\n\n{json.loads(notification.message)['email']}\n```"


def _mail_summary() -> str:
    """Return the start of the mail: what the run was, and its counts."""
    text: str = json.loads(notification_of(example()).message)["email"]
    return f"```text\n{text.partition('\n\nQuarantined, by reason')[0]}\n```"


def _commands() -> str:
    parts = []
    context = click.Context(cli, info_name="redrive", **cli.context_settings)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        text = command.get_help(click.Context(command, info_name=name, parent=context))
        parts.append(f"### redrive {name}\n\n```text\n{text}\n```")
    return "\n\n".join(parts)


def _exit_codes() -> str:
    rows = [f"| {code.value} | {MEANINGS[code]} |" for code in Exit]
    return "\n".join(["| code | meaning |", "| --- | --- |", *rows, "| 130 | Interrupted with Ctrl-C. |"])


SECTIONS: dict[str, Callable[[], str]] = {
    "input": lambda: _model(RedriveRequest, defaults=True),
    "select": lambda: _model(Selection, "select.", defaults=True),
    "repair": lambda: _model(Repair, "repair.", defaults=True),
    "attribute-rule": lambda: _model(AttributeRule, defaults=True),
    "report": lambda: _model(Report),
    "counts": lambda: _model(Counts, "counts."),
    "rate": lambda: _model(RateReport, "rate."),
    "forecast": lambda: _model(Forecast, "forecast."),
    "expected": lambda: _model(Expected, "forecast.redriven."),
    "sample": lambda: _model(Sample, "sample."),
    "groups": lambda: _model(SampleGroup, "sample.groups[]."),
    "example": lambda: _model(Example, "sample.groups[].example."),
    "sizes": lambda: _model(Sizes, "sample.sizes."),
    "parameters": _parameters,
    "commands": _commands,
    "exit-codes": _exit_codes,
    "outputs": _outputs,
    "metrics": _metrics,
    "mail": _mail,
    "mail-summary": _mail_summary,
}


if __name__ == "__main__":
    main()
