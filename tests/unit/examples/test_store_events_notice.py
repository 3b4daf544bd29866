"""The notice of quarantined store events: counted by store, of this run only, without personal data."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from examples.store_events.notice import make_notice
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.moving.results import Counts
from redrive.domain.runs.ending import Status
from redrive.domain.runs.report import RateReport, Report
from tests.support import factories

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MARK = "73190001"
MOVERS = frozenset({factories.MOVER})


def report(quarantined: int) -> Report:
    return Report(
        run_id="run-1",
        execution_arn=factories.execution().id,
        status=Status.SUCCEEDED,
        dlq="store-events-dlq",
        destination=None,
        started_at=NOW,
        finished_at=NOW,
        counts=Counts(quarantined=quarantined),
        rate=RateReport(requested=50, measured=50),
    )


def message(
    store: str | None = "3",
    *,
    run: str = "run-1",
    reason: str = "invalid-body",
    problems: tuple[str, ...] = ("body.ssn_no: missing",),
    body: str | None = None,
    sender: str = factories.MOVER,
    **more: str,
) -> ReceivedMessage:
    note = {"run": run, "count": 0, "id": "m", "sent": 1, "reason": reason, "problems": list(problems), **more}
    attributes: dict[str, Any] = {"redrive": factories.string(json.dumps(note))}
    if store is not None:
        attributes |= factories.store_id(store)
    content = factories.store_event() if body is None else body
    return factories.received(content, source=None, attributes=attributes, sender=sender)


def counted(notice: Any) -> dict[str, int]:
    return {store.store: store.messages for store in notice.stores}


def test_messages_are_counted_by_store_with_reasons_and_problems():
    messages = [message("1"), message("2"), message("1", reason="redriven-too-often", problems=())]
    notice = make_notice(report(3), messages, MOVERS)
    assert counted(notice) == {"1": 2, "2": 1}
    assert notice.stores[0].reasons == {"invalid-body": 1, "redriven-too-often": 1}
    assert notice.stores[0].problems == {"body.ssn_no: missing": 1}
    assert (notice.quarantined, notice.found, notice.peeked) == (3, 3, 3)


def test_a_forged_note_is_not_counted():
    forged = message(sender="AROAPRODUCER", reason="see https://example.com", problems=("call 555 0100",))
    notice = make_notice(report(2), [forged, message()], MOVERS)
    assert counted(notice) == {"3": 1}
    assert notice.stores[0].reasons == {"invalid-body": 1}


def test_messages_of_other_runs_and_of_none_are_not_counted():
    messages = [message(run="earlier"), factories.received("no note"), message("4")]
    notice = make_notice(report(1), messages, MOVERS)
    assert counted(notice) == {"4": 1}
    assert notice.peeked == 3


def test_the_store_is_read_from_the_body_if_the_attribute_is_missing():
    assert counted(make_notice(report(1), [message(None, body='{"store_id": 5}')], MOVERS)) == {"5": 1}


@pytest.mark.parametrize(
    ("store", "body"),
    [(None, None), ("9", None), (MARK, None), (None, f'{{"store_id": "{MARK}"}}'), (None, "{malformed")],
)
def test_a_value_that_is_not_the_number_of_a_store_counts_as_unknown(store, body):
    notice = make_notice(report(1), [message(store, body=body)], MOVERS)
    assert counted(notice) == {"unknown": 1}
    assert MARK not in notice.model_dump_json()


def test_peeking_ends_with_the_last_message_of_the_run():
    def messages() -> Iterator[ReceivedMessage]:
        yield message()
        raise AssertionError("peeked further than needed")

    assert make_notice(report(1), messages(), MOVERS).found == 1


def test_a_notice_has_how_many_messages_it_found_of_how_many_there_are():
    notice = make_notice(report(5), [message(), message(run="other")], MOVERS)
    assert (notice.quarantined, notice.found, notice.peeked) == (5, 1, 2)


def test_a_message_that_cannot_be_read_is_counted_and_the_others_are_too():
    deep = message(None, body="[" * 5_000 + '"TopicArn"' + "]" * 5_000, dlq=factories.queue("failures").arn)
    notice = make_notice(report(2), [deep, message("2")], MOVERS)
    assert counted(notice) == {"unknown": 1, "2": 1}
    assert notice.stores[1].reasons == {"invalid-body": 1}


def test_an_example_of_each_store_is_masked():
    personal = {"ssn_no": MARK, "name": f"n{MARK}", "dob": f"d{MARK}", "gender": MARK, f"k{MARK}": MARK}
    notice = make_notice(report(1), [message(body=factories.store_event(**personal))], MOVERS)
    assert set(notice.stores[0].example.values()) == {"*****"}
    assert MARK not in notice.model_dump_json()
