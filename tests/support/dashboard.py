"""The form of a CloudWatch dashboard, as far as this app uses it, for the tests that check it.

From the Amazon CloudWatch API Reference, "Dashboard Body Structure and Syntax", and for searches from the CloudWatch
user guide, "CloudWatch search expression syntax".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Period = Annotated[int, Field(ge=60, multiple_of=60)]
Color = Annotated[str, Field(pattern="^#[0-9a-f]{6}$")]
Statistic = Annotated[str, Field(pattern=r"^(Sum|Average|Minimum|Maximum|SampleCount|p\d{1,2}(\.\d+)?)$")]

# Dimensions, metric, words that all have to occur, words one of which has to.
_SEARCH = re.compile(
    r"""^SEARCH\('\{([^}]+)\}(?: MetricName="(\w+)")?((?: [\w-]+)*)(?: \(([\w ]+)\))?', '(\w+)', 60\)$"""
)
# Camel case and digits begin a word, and everything that isn't alphanumeric ends one.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Rendering(_Strict):
    """How a metric is drawn, or the expression that finds metrics."""

    label: str | None = None
    color: Color | None = None
    id: Annotated[str | None, Field(pattern="^[a-z][A-Za-z0-9_]*$")] = None
    stat: Statistic | None = None
    yAxis: Literal["left", "right"] = "left"  # noqa: N815 (CloudWatch's name)
    visible: bool = True
    expression: str | None = None


class Annotation(_Strict):
    """A line across a graph."""

    label: str
    value: float


class Annotations(_Strict):
    """Lines across a graph."""

    horizontal: list[Annotation]


class TextProperties(_Strict):
    """A text."""

    markdown: Annotated[str, Field(min_length=1)]


class AlarmProperties(_Strict):
    """States of alarms."""

    title: str
    alarms: Annotated[list[str], Field(min_length=1, max_length=100)]


class MetricProperties(_Strict):
    """A graph."""

    title: str
    region: str
    view: Literal["timeSeries", "singleValue", "gauge", "bar", "pie", "table"]
    stat: Statistic | None = None
    period: Period
    metrics: Annotated[list[list[Any]], Field(min_length=1, max_length=500)]
    annotations: Annotations | None = None


class _Sized(_Strict):
    # Without x and y, CloudWatch places widgets in their order, from left to right.
    width: Annotated[int, Field(ge=1, le=24)]
    height: Annotated[int, Field(ge=1, le=1000)]


class TextWidget(_Sized):
    """A widget with a text."""

    type: Literal["text"]
    properties: TextProperties


class AlarmWidget(_Sized):
    """A widget with alarms."""

    type: Literal["alarm"]
    properties: AlarmProperties


class MetricWidget(_Sized):
    """A widget with a graph."""

    type: Literal["metric"]
    properties: MetricProperties


class Metric(BaseModel):
    """A metric that a widget draws, or a search for metrics."""

    namespace: str
    #: None for a search for every metric with these dimensions.
    name: str | None
    #: Values of dimensions, None where a search finds them.
    dimensions: dict[str, str | None]
    #: Words that all have to occur in what a search finds.
    words: tuple[str, ...] = ()
    #: Words one of which has to occur, if there are any.
    alternatives: tuple[str, ...] = ()

    def shows(self, value: str) -> bool:
        """Return whether the metric is drawn for a resource that has this name."""
        if None not in self.dimensions.values():
            return value in self.dimensions.values()
        found = _words(value)
        return all(_words(word) <= found for word in self.words) and (
            not self.alternatives or any(_words(word) <= found for word in self.alternatives)
        )


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}


class Dashboard(_Strict):
    """The body of a dashboard."""

    start: Annotated[str, Field(pattern=r"^-PT?\d+[MHDW]$")]
    widgets: Annotated[
        list[Annotated[TextWidget | AlarmWidget | MetricWidget, Field(discriminator="type")]],
        Field(max_length=500),
    ]

    def metrics(self) -> Iterator[Metric]:
        """Return every metric, with `.` written out, or raise ValueError if one doesn't have the form."""
        for widget in self.widgets:
            if isinstance(widget, MetricWidget):
                yield from _metrics(widget.properties.metrics)

    def alarms(self) -> set[str]:
        """Return every alarm whose state is displayed."""
        lists = [widget.properties.alarms for widget in self.widgets if isinstance(widget, AlarmWidget)]
        return {alarm for alarms in lists for alarm in alarms}


def _metrics(rows: list[list[Any]]) -> Iterator[Metric]:
    above: list[str] = []
    for row in rows:
        options = Rendering.model_validate(row[-1]) if isinstance(row[-1], dict) else Rendering()
        names = [part for part in row if isinstance(part, str)]
        if options.expression is not None:
            found = _SEARCH.match(options.expression)
            if names or options.id is None or found is None:
                raise ValueError(f"expected a search with an id and nothing else, found {row}")
            namespace, *dimensions = found[1].split(",")
            yield Metric(
                namespace=namespace,
                name=found[2],
                dimensions=dict.fromkeys(dimensions),
                words=tuple(found[3].split()),
                alternatives=tuple(found[4].split(" OR ")) if found[4] else (),
            )
            continue
        above = [above[place] if part == "." else part for place, part in enumerate(names)]
        namespace, name, *pairs = above
        if not pairs or len(pairs) % 2:
            raise ValueError(f"expected dimensions as names and values, found {row}")
        yield Metric(namespace=namespace, name=name, dimensions=dict(zip(pairs[::2], pairs[1::2], strict=True)))
