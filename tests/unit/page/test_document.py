"""The report page: it says what the report says, and nothing that comes from outside is more than a text in it."""

import base64
import hashlib
import json
import re
import shlex
import unicodedata
from typing import Any

import click
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redrive.command.run_options import read_input, with_input
from redrive.domain.page.document import MAX_BYTES, page_of
from redrive.domain.page.plots import rate_plot, span
from redrive.domain.plain_text import plain
from redrive.domain.runs.ending import Status
from redrive.domain.runs.next_steps import anywhere, next_commands
from redrive.domain.runs.rate_over_time import RatePoint
from tests.support.pages import HOSTILE, Parsed, largest, page_with, reached, record_of, sample_reports
from tests.support.reports import report

REPORTS = sample_reports()
each_report = pytest.mark.parametrize("name", REPORTS)
# Elements that load something, run something, or send something, and attributes that do.
FORBIDDEN = re.compile(
    r"script|iframe|object|embed|img|image|link|form|input|button|base|audio|video|source|use|a|foreign.*"
)


def text_of(page: str) -> str:
    return " ".join("".join(Parsed.of(page).texts).split())


@each_report
def test_a_page_has_the_counts_the_status_and_the_reason(name):
    made = REPORTS[name]
    text = text_of(page_of(made))
    assert made.status.value.replace("_", " ").lower() in text
    assert (made.dlq or "an unnamed queue")[:256] in text
    assert (made.reason or "") in text
    if made.status not in {Status.DRY_RUN, Status.REJECTED}:
        assert f"{made.counts.redriven:,}" in text
    for code in list(made.quarantine_reasons)[:30]:
        assert code[:256] in text


def test_there_is_a_report_of_every_status():
    assert {made.status for made in REPORTS.values()} == set(Status)


@each_report
def test_a_page_loads_runs_and_sends_nothing(name):
    page = page_of(REPORTS[name], record_of(REPORTS[name]))
    for tag, attributes in Parsed.of(page).elements:
        assert not FORBIDDEN.fullmatch(tag), tag
        assert not [key for key, _ in attributes if key.startswith("on") or key in {"href", "src", "style", "action"}]


def test_the_policy_allows_the_pages_own_style_sheet_and_nothing_else():
    page = page_of(REPORTS["documented"])
    [policy] = [
        dict(attributes)["content"]
        for tag, attributes in Parsed.of(page).elements
        if tag == "meta" and dict(attributes).get("http-equiv") == "Content-Security-Policy"
    ]
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "url(" not in style
    assert "@import" not in style


# Hostile texts

# With examples, and without them, because they would not fit.
SKELETONS = [Parsed.of(page_with(text)).elements for text in ("x", "x" * 5_000)]


def check_inert(text: str) -> None:
    page = page_with(text)
    parsed = Parsed.of(page)
    assert parsed.elements in SKELETONS
    assert not parsed.others
    assert plain(text, keep="\n")[:250].strip() in "".join(parsed.texts)
    # As the browser reads the file.
    signs = set(page.encode().decode())
    assert not [sign for sign in signs if sign != "\n" and unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_element_and_no_attribute_comes_from_a_hostile_text(text):
    check_inert(text)


@given(
    st.lists(
        st.one_of(st.sampled_from(HOSTILE[:11]), st.text(st.characters(codec=None), min_size=1, max_size=20)),
        min_size=1,
        max_size=4,
    ).map("".join)
)
@example("<")
@example("\r")
@settings(deadline=None, max_examples=30)
def test_no_element_and_no_attribute_comes_from_any_text(text):
    if text.strip():
        check_inert(text)


def test_an_input_that_is_not_valid_is_not_repeated():
    made = report(plan=None, given=5)
    page = page_of(made, record_of(made, {"dlq": "orders-dlq", "body": "secret-7319"}))
    assert "secret-7319" not in page
    assert "The input isn't shown" in page


def test_an_input_that_is_valid_is_shown_as_it_came():
    asked = {"dlq": "orders-dlq", "rate": 20, "select": {"source": ["orders-eu"]}}
    page = page_of(report(), record_of(report(), asked))
    assert json.dumps(asked, indent=2) in "".join(Parsed.of(page).texts)


def test_a_page_says_why_a_run_was_started_and_who_says_to_have_started_it():
    text = text_of(page_of(report(), record_of(report())))
    assert "Because INC-42: the tax service is back" in text.replace("BecauseINC", "Because INC")
    assert "arn:aws:iam::123456789012:user/ada, according to the input" in text


# What to do next


STATES = "arn:aws:states:eu-west-1:123456789012:execution"


def started_with(words: list[str]) -> dict[str, Any]:
    """Return the input that these shell words produce."""
    made: dict[str, Any] = {}

    @click.command
    @click.argument("queue")
    @click.option("--region")
    @click.option("--stack")
    @with_input
    def command(queue: str, file: None, **options: Any) -> None:
        made.update(read_input(queue, file, options))

    command.main(words, standalone_mode=False)
    return made


@pytest.mark.parametrize("name", ["DRY_RUN", "INCOMPLETE", "STOPPED", "FAILED"])
def test_the_next_run_can_be_started_with_a_command_that_has_the_same_input(name):
    made = REPORTS[name].model_copy(update={"execution_arn": f"{STATES}:pay-RedriveStateMachine-x8Kq:run"})
    asked = {"dlq": "orders-dlq", "rate": 20, "select": {"source": ["it's", "-b $(c)"]}}
    once = {"dryRun": True, "sampleSize": 9, "because": "INC-41"}
    texts = [anywhere(command, made) for command in next_commands(made, asked | once)]
    [text] = [text for text in texts if text.startswith("redrive start ")]
    words = shlex.split(text)
    assert words[-4:] == ["--region", "eu-west-1", "--stack", "pay"]
    assert started_with(words[2:]) == asked
    assert text in "".join(Parsed.of(page_of(made, record_of(made, asked | once))).texts)


@pytest.mark.parametrize(
    ("execution", "expected"),
    [
        (f"{STATES}:my-pay-RedriveStateMachine-x8Kq:run", "redrive start d --region eu-west-1 --stack my-pay"),
        (f"{STATES}:{'s' * 50}-RedriveStateMachine-0123456789:run", "redrive start d --region eu-west-1"),
        (f"{STATES}:redrive:run", "redrive start d --region eu-west-1"),
        ("move:laptop:run", "redrive move d"),
    ],
)
def test_the_next_run_is_where_the_run_was(execution, expected):
    made = REPORTS["STOPPED"].model_copy(update={"execution_arn": execution})
    assert expected in [anywhere(command, made) for command in next_commands(made, {"dlq": "d"})]


def test_a_run_whose_whole_input_is_not_known_has_no_command_that_starts_another():
    made = REPORTS["STOPPED"]
    cut = record_of(made, {"dlq": "orders-dlq"}).model_copy(update={"cut": ("input.select",)})
    assert cut.request is None
    assert "redrive start" not in text_of(page_of(made, cut))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_command_runs_what_a_name_says(text):
    for command in next_commands(largest("x").model_copy(update={"dlq": text}), {"dlq": text}):
        if not command.purpose.startswith("Read messages"):
            assert len(shlex.split(command.text)) == 3


def test_a_run_whose_queue_is_not_known_has_no_commands():
    assert next_commands(REPORTS["REJECTED"], None) == ()


# Size


@pytest.mark.parametrize("number", [3, 230_000])
@pytest.mark.parametrize("text", ["x" * 256, "&" * 256, "\U0001f4ee" * 256, "<" * 2_000])
def test_a_page_is_small_whatever_the_report_has(number, text):
    made = largest(text, number, name="n" * 256)
    asked = {"dlq": text, "select": {"source": [text] * 900}}
    page = page_of(made, record_of(made, asked, because=text, started_by=text))
    assert len(page.encode()) < MAX_BYTES
    assert f"{number:,}" in page


def test_examples_are_left_out_only_if_they_would_not_fit():
    assert "One of them, masked" in page_of(largest())
    assert "One of them, masked" not in page_of(largest("&" * 2_000, name="n"))


# Plots


def test_the_plots_have_a_table_with_their_numbers():
    points = reached(5)
    text = text_of(page_of(report(), record_of(report(), rate_over_time=points)))
    for point in points:
        assert f"{point.rate:,.2f}" in text
        assert f"{point.redriven:,}" in text


@pytest.mark.parametrize("points", [(), reached(1)])
def test_a_run_without_a_course_has_no_plots(points):
    page = page_of(report(), record_of(report(), rate_over_time=points))
    assert "figure" not in {tag for tag, _ in Parsed.of(page).elements}


numbers = st.integers(0, 10**9)


@given(
    st.lists(st.tuples(st.floats(0.1, 1e6), st.floats(0, 1e4), numbers, numbers), min_size=2, max_size=60),
    st.none() | st.floats(0.1, 1e4),
)
@settings(deadline=None)
@example([(1.0, 0.0, 0, 0), (1.0, 5e-324, 0, 0)], None)
def test_whatever_the_course_of_a_run_is_the_plot_stays_inside_its_frame(steps, limit):
    points, seconds = [], 0.0
    for step, rate, redriven, quarantined in steps:
        seconds += step
        points.append(RatePoint(seconds=seconds, rate=rate, redriven=redriven, quarantined=quarantined))
    plot = rate_plot(points, limit)
    for path in plot.iter("path"):
        horizontal = [float(x) for x in re.findall(r"H(-?[\d.]+)|M(-?[\d.]+)", path.get("d") or "") for x in x if x]
        vertical = [float(y) for y in re.findall(r"V(-?[\d.]+)", path.get("d") or "")]
        assert all(0 <= x <= 340 for x in horizontal)
        assert all(0 <= y <= 150 for y in vertical)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (119, "119 s"), (600, "10 min"), (11_100, "3 h 5 min")])
def test_spans_are_in_the_units_that_people_say(seconds, text):
    assert span(seconds) == text
