"""Pages for the tests: sample reports of every status, the largest report, and what an HTML parser finds in a page."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from redrive.domain.messages.envelope_names import Envelope
from redrive.domain.moving.results import Counts
from redrive.domain.page.document import page_of
from redrive.domain.runs.ending import Status
from redrive.domain.runs.forecast import Expected, Forecast
from redrive.domain.runs.rate_over_time import MAX_POINTS, RatePoint
from redrive.domain.runs.record import RunRecord
from redrive.domain.runs.report import Report
from redrive.domain.sampling.sample import Example, MaskedMessage, OriginKind, Sample, SampleGroup, Sizes
from redrive.domain.sampling.summary import MAX_GROUPS
from tests.support.definitions import ROOT
from tests.support.samples import EVENTS

#: What someone would write who wants a browser to do something, or a reader to see something else.
HOSTILE = (
    "<script>fetch('https://evil.example')</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title></pre></main><iframe src=//evil.example>",
    "' onmouseover='alert(1)",
    "&lt;b&gt; &amp; &#x3c;svg/onload=alert(1)&#x3e;",
    "<!-- ]]> --!> <![CDATA[ <?php",
    "\x1b[31mred\x1b]0;title\x07 \x00\x08\x7f\x9b",
    "abc\u202egpj.exe\u2066\u200f\u200b\ufeff",
    "\ud800 \u2028\u2029",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "javascript:alert(1)//{{7*7}}${7*7}",
    "q" * 5_000,
    "ﷺ﷽" * 30 + "a\u0301\u0302\u0303" * 40,
)


def reached(number: int = MAX_POINTS, *, rate: float = 100.0, every: float = 39.0) -> tuple[RatePoint, ...]:
    """Return as many points of a run, which was slower once."""
    points, redriven = [RatePoint(seconds=4.0)], 0
    for place in range(1, number):
        now = rate * (0.4 if place == number // 3 else 0.97 + 0.03 * (place % 2))
        redriven += int(now * every)
        seconds = 4.0 + every * place
        points.append(RatePoint(seconds=seconds, rate=round(now, 2), redriven=redriven, quarantined=redriven // 400))
    return tuple(points)


def record_of(report: Report, given: Any = None, **changes: Any) -> RunRecord:
    """Return the record of a run, with the course of one; what isn't given is valid."""
    values: dict[str, Any] = {
        "run_id": report.run_id,
        "execution_arn": report.execution_arn,
        "dlq": report.dlq,
        "started_at": report.started_at,
        "updated_at": report.finished_at,
        "because": "INC-42: the tax service is back",
        "started_by": "arn:aws:iam::123456789012:user/ada",
        "input": given or {"dlq": "orders-dlq", "rate": 200},
        "rate_over_time": reached(),
    }
    return RunRecord.model_construct(**(values | changes))


def sample_reports() -> dict[str, Report]:
    """Return the reports of the docs and the sample events, one of each status, and the largest, by name."""
    documented = Report.model_validate_json((ROOT / "docs" / "reference" / "report.example.json").read_text())
    published = json.loads((EVENTS / "webhook.json").read_text())["Records"][0]["Sns"]["Message"]
    found = {"documented": documented, "published": Report.model_validate_json(published), "largest": largest()}
    for status in Status:
        found[status.value] = documented.model_copy(update={"status": status})
    number = Expected(expected=40, low=10, high=60)
    found[Status.DRY_RUN.value] = found[Status.DRY_RUN.value].model_copy(
        update={
            "forecast": Forecast(
                messages=100,
                redriven=number,
                quarantined=number,
                skipped=number,
                quarantine_reasons={"invalid-body": number},
                skip_reasons={"not-selected": number},
            )
        }
    )
    found[Status.REJECTED.value] = found[Status.REJECTED.value].model_copy(
        update={"sample": None, "dlq": None, "counts": Counts(), "quarantine_reasons": {}, "skip_reasons": {}}
    )
    return found


def largest(text: str = "x" * 256, number: int = 230_000, name: str | None = None) -> Report:
    """Return a report that has everything, with this text wherever one can be, without checking it.

    What a report checks to be a name has the name, if there is one.
    """
    name = text if name is None else name
    body = {f"field-{place}": text[:64] for place in range(6)}
    group = SampleGroup(
        verdict="quarantined",
        reason="r",
        destination="d",
        envelope=Envelope.NONE,
        origin_kind=OriginKind.FUNCTION,
        error_type="e",
        contract="c",
        repaired=True,
        in_a_loop=True,
        messages=number,
        events=number,
        share=0.05,
        share_low=0.01,
        share_high=0.2,
    )
    names = ("reason", "destination", "origin", "error_type", "error_text_hash", "contract")
    masked = MaskedMessage.model_construct(body={text: text}, attributes={text: text})
    example = Example.model_construct(body={**body, text: [text]}, attributes={text: text}, repaired=masked)
    group = group.model_copy(update={**dict.fromkeys(names, name), "error_message": text, "example": example})
    codes = {f"{name}{place}": number for place in range(60)}
    documented = Report.model_validate_json((ROOT / "docs" / "reference" / "report.example.json").read_text())
    sample = Sample(sampled=number, sizes=Sizes(largest=number), near_expiry=number, other_groups=2, in_other_groups=9)
    changes: dict[str, Any] = {
        **dict.fromkeys(("dlq", "run_id", "execution_arn"), name),
        **dict.fromkeys(("reason", "destination"), text),
        **dict.fromkeys(("quarantine_reasons", "skip_reasons", "failure_codes"), codes),
        **dict.fromkeys(("without_contract", "duplicates_possible", "unaccounted"), number),
        "pushed_on": None,
        "read_messages": (text, text),
        "counts": Counts(**dict.fromkeys(Counts.model_fields, number)),
        "sample": sample.model_copy(update={"groups": (group,) * MAX_GROUPS}),
    }
    return documented.model_copy(update=changes)


def page_with(text: str) -> str:
    """Return a page that has this text wherever one can be."""
    made = largest(text)
    # An input can't have half of a character.
    given = {"dlq": text.encode(errors="replace").decode()}
    return page_of(made, record_of(made, given, because=text, started_by=text))


@dataclass
class Parsed(HTMLParser):
    """What a parser finds in a page."""

    #: Elements with their attributes, in the order of the document.
    elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = field(default_factory=list)
    #: Everything that isn't an element or the document type: comments, processing instructions.
    others: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    @classmethod
    def of(cls, page: str) -> Parsed:
        parsed = cls()
        parsed.feed(page)
        parsed.close()
        return parsed

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)
