"""Plots of the page as inline SVG: how fast a run was, how far it was when, and what became of the messages.

Each has a title and a description, and a table on the page has its numbers. Colors are those of the style sheet.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from xml.etree import ElementTree as ET

from redrive.domain.page.elements import Content, element
from redrive.domain.runs.rate_over_time import RatePoint

# Units of the drawing. At 360 pixels, which is a phone, a unit is about a pixel.
_WIDTH, _HEIGHT = 340, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 8, 18
_BAR_HEIGHT = 16


def rate_plot(points: Sequence[RatePoint], limit: float | None) -> ET.Element:
    """Return the rate over time as steps, with the highest rate that was requested or allowed as a line."""
    scale = _Scale(points, max([point.rate for point in points] + [limit or 0.0]))
    steps = "".join(
        f"M{scale.x(before.seconds)},{scale.y(0)}" * (place == 0) + f"V{scale.y(point.rate)}H{scale.x(point.seconds)}"
        for place, (before, point) in enumerate(pairwise(points))
    )
    shapes: list[Content] = [element("path", d=f"{steps}V{scale.y(0)}Z", class_="area redriven")]
    if limit is not None:
        at = scale.y(limit)
        shapes.append(element("path", d=f"M{_LEFT},{at}H{_WIDTH - _RIGHT}", class_="limit"))
    fastest = max(point.rate for point in points)
    text = f"At most {_short(fastest)} messages per second within {span(points[-1].seconds)}."
    if limit is not None:
        text += f" The dashed line is the rate that the run was allowed: {_short(limit)}."
    return _plot("rate-plot", "Messages redriven per second", text, [*scale.axes(), *shapes])


def counts_plot(points: Sequence[RatePoint]) -> ET.Element:
    """Return how many messages were redriven and quarantined in the course of time."""
    last = points[-1]
    scale = _Scale(points, max(last.redriven, last.quarantined))
    shapes = [
        _line(points, scale, lambda point: point.redriven, "redriven"),
        _line(points, scale, lambda point: point.quarantined, "quarantined"),
    ]
    text = f"After {span(last.seconds)}: {last.redriven:,} redriven (solid), {last.quarantined:,} quarantined (dashed)."
    return _plot("counts-plot", "Messages moved so far", text, [*scale.axes(), *shapes])


def bar(name: str, title: str, parts: Iterable[tuple[str, int]]) -> ET.Element | None:
    """Return one bar with a part for each number, by the class of its color; None if there is nothing to show."""
    parts = [part for part in parts if part[1] > 0]
    total = sum(number for _, number in parts)
    if not total:
        return None
    shapes, left = [], 0.0
    for kind, number in parts:
        width = _WIDTH * number / total
        # However small, a part can be seen.
        shape = {"x": _n(left), "width": _n(max(width - 1, 1.5)), "height": str(_BAR_HEIGHT)}
        shapes.append(element("rect", class_=kind, **shape))
        left += width
    text = ", ".join(f"{kind} {number:,}" for kind, number in parts)
    return _svg(name, title, text, shapes, _BAR_HEIGHT)


def share(low: float, high: float, value: float) -> ET.Element:
    """Return a share as a thin bar with its bounds; the text next to it says the same."""
    shapes = [
        element("rect", width="100", height="6", class_="track"),
        element("rect", width=_n(100 * value), height="6", class_="redriven"),
        element("rect", x=_n(100 * low), y="2.5", width=_n(100 * max(0.0, high - low)), height="1", class_="bounds"),
    ]
    view = {"viewBox": "0 0 100 6", "preserveAspectRatio": "none"}
    return element("svg", shapes, class_="share", aria_hidden="true", **view)


def span(seconds: float) -> str:
    """Return a span of time: `45 s`, `12 min`, `3 h 5 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


class _Scale:
    """Places of times and values in the drawing, from 0 to round numbers.

    Parameters
    ----------
    points : Sequence[RatePoint]
        What is drawn, at least two.
    top : float
        The largest value.
    """

    def __init__(self, points: Sequence[RatePoint], top: float) -> None:
        self._seconds = points[-1].seconds or 1.0
        self._top = _round_up(top)

    def x(self, seconds: float) -> str:
        return _n(_LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / self._seconds)

    def y(self, value: float) -> str:
        return _n(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / self._top)

    def axes(self) -> list[ET.Element]:
        """Return grid lines and their labels."""
        made = []
        for value in (0.0, self._top / 2, self._top):
            at = self.y(value)
            made.append(element("path", d=f"M{_LEFT},{at}H{_WIDTH - _RIGHT}", class_="grid"))
            label = {"x": str(_LEFT - 5), "y": _n(float(at) + 3.5)}
            made.append(element("text", _short(value), class_="end", **label))
        bottom = str(_HEIGHT - 4)
        made.append(element("text", "start", x=str(_LEFT), y=bottom))
        made.append(element("text", span(self._seconds), x=str(_WIDTH - _RIGHT), y=bottom, class_="end"))
        return made


def _line(points: Sequence[RatePoint], scale: _Scale, value: Callable[[RatePoint], int], kind: str) -> ET.Element:
    places = "L".join(f"{scale.x(point.seconds)},{scale.y(value(point))}" for point in points)
    return element("path", d=f"M{places}", class_=f"line {kind}")


def _plot(name: str, title: str, text: str, shapes: Iterable[Content]) -> ET.Element:
    return element("figure", _svg(name, title, text, shapes, _HEIGHT), element("figcaption", f"{title}. {text}"))


def _svg(name: str, title: str, text: str, shapes: Iterable[Content], height: int) -> ET.Element:
    labels = [element("title", title, id=f"{name}-title"), element("desc", text, id=f"{name}-text")]
    attributes = {"viewBox": f"0 0 {_WIDTH} {height}", "aria_labelledby": f"{name}-title {name}-text"}
    return element("svg", labels, shapes, role="img", **attributes)


def _round_up(value: float) -> float:
    """Return the next larger of 1, 2, 4, 5, 10, 20, ..., so that half of it is a round number as well."""
    if value < sys.float_info.min:
        # The powers of ten of smaller numbers are rounded to zero.
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= value * (1 - 1e-9))


def _short(value: float) -> str:
    """Return a number that fits next to an axis: `0.5`, `250`, `12k`, `1.5M`."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= 10 * size or (value >= size and value % size == 0):
            return f"{value / size:.3g}{unit}"
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
