"""Nothing of a message is in a report, its mail, or the chat, wherever in the message it is, whatever it looks like."""

import json
import re
from collections.abc import Iterator
from itertools import batched
from typing import Any

import pytest
from botocore import xform_name
from botocore.session import Session
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.formats import custom_notification, slack_message
from chat.notices import notice_of
from redrive.contracts.json_schema import SchemaContract
from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.message import ReceivedMessage
from redrive.domain.messages.queues import QueueCounts
from redrive.domain.moving.results import Counts
from redrive.domain.page.document import page_of
from redrive.domain.plan.run_plan import RunPlan
from redrive.domain.runs.notification import notification_of
from redrive.domain.runs.report import Report
from redrive.domain.runs.tally import Tally
from redrive.domain.sampling.summary import Summary
from tests.support import factories, wrapped
from tests.support.reports import NOW, report, state_error
from tests.support.samples import EVENTS

MARK = "zq7319"
# Error texts are shown without numbers, if at all.
WORD = "qwortz"
# What an attacker would want a person to read, or to click on.
LURES = (
    MARK,
    f"https://{MARK}.example/login",
    f"<b>{MARK}</b>",
    f"arn:aws:sqs:us-east-1:123456789012:{MARK}",
    f"{MARK}Error",
    f"please call {WORD}",
)
NAME = re.compile(r"[A-Za-z0-9_.:/-]+")
UNION = SchemaContract(
    "s3://contracts/a contract (1).json",
    {
        "anyOf": [
            {"properties": {"kind": {"const": "public"}, "note": {"x-safe": True}}, "required": ["kind"]},
            {"properties": {"kind": {"const": "private"}, "note": {}, "name": {"x-safe": True}}},
            {"type": ["array", "string", "number", "null"]},
        ],
        "x-attributes": {"properties": {"store": {"x-personal": True}}},
    },
)
RECORDED = [json.loads(path.read_text())["message"] for path in sorted((EVENTS / "messages").glob("*.json"))]
BODIES: list[Any] = [
    {"kind": "private", "note": "x"},
    {"kind": "public", "count": 1},
    "text",
    wrapped.iot_record(),
    wrapped.lambda_record({"kind": "private", "note": "x"}),
    wrapped.batch_record(),
    wrapped.pipe_record(),
    wrapped.subscriber_record(),
    json.loads(wrapped.notification('{"kind": "private"}', {"store": factories.string("3")})),
    json.loads(wrapped.pointer()),
]
NOTE = {"run": "run-0", "count": 9, "id": "m", "sent": 1, "source": factories.queue().arn, "reason": "r"}
ATTRIBUTES: list[dict[str, Any]] = [
    {},
    {"store": factories.string("3")},
    {"redrive": factories.string(json.dumps(NOTE))},
    wrapped.async_attributes(),
    {
        "RULE_ARN": factories.string("arn:aws:events:us-east-1:123456789012:rule/nightly"),
        "TARGET_ARN": factories.string("arn:aws:lambda:us-east-1:123456789012:function:on-order"),
        "ERROR_CODE": factories.string("NO_PERMISSIONS"),
        "ERROR_MESSAGE": factories.string("m"),
    },
]


@st.composite
def marked(draw: st.DrawFn, content: Any) -> Any:
    """Return JSON with the mark in some of its texts and names; what it is recognized by may or may not survive."""
    match content:
        case dict():
            found = {name: draw(marked(value)) for name, value in content.items()}
            return found | draw(st.dictionaries(st.sampled_from(LURES), st.sampled_from(LURES), max_size=2))
        case list():
            return [draw(marked(value)) for value in content]
        case str():
            lure, how = draw(st.sampled_from(LURES)), draw(st.sampled_from("kkk<>="))
            return {"k": content, "<": lure + content, ">": content + lure, "=": lure}[how]
    return content


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """Return a message as SQS returns it, recorded or made, with the mark anywhere in it."""
    if draw(st.booleans()):
        message = draw(st.sampled_from(RECORDED))
        try:
            body = json.loads(message["Body"])
        except ValueError:
            body = message["Body"]
        attributes = message.get("MessageAttributes", {})
    else:
        body, attributes = draw(st.sampled_from(BODIES)), draw(st.sampled_from(ATTRIBUTES))
    body = draw(marked(body))
    values = {
        name: value if "BinaryValue" in value else value | {"StringValue": draw(marked(value["StringValue"]))}
        for name, value in attributes.items()
    }
    values |= {MARK: factories.string(MARK)} if draw(st.booleans()) else {}
    return factories.message(
        body if isinstance(body, str) else json.dumps(body),
        attributes=values,
        source=draw(st.sampled_from([None, "orders", "gone"])),
        system={"MessageGroupId": MARK, "AWSTraceHeader": MARK, "SenderId": "AROAMOVER:session"},
    )


def made_report(plan: RunPlan, found: list[dict[str, Any]], contract: Any) -> Report:
    authority = factories.authority(plan, confirm=lambda _: Reason.DESTINATION_NOT_CONFIRMED)
    judge = factories.judge(plan, lambda _: contract, authority)
    summary = Summary(plan, authority.has_confirmed)
    for message in found:
        summary.add(judge.judge(ReceivedMessage.from_sqs(message)))
    tally = Tally(counts=Counts(quarantined=1), quarantine_reasons={"invalid-body": 1})
    return report(plan=plan, sample=summary.sample(NOW, complete=True), tally=tally, queue=QueueCounts(visible=3))


def texts_of(made: Report) -> Iterator[str]:
    """Yield all that people and programs get to see of a report."""
    notification = notification_of(made)
    yield notification.model_dump_json()
    yield made.model_dump_json()
    notice = notice_of(json.loads(notification.message)["default"], notification.subject)
    yield json.dumps([slack_message(notice), custom_notification(notice)])
    yield page_of(made)


@pytest.mark.slow
@given(
    st.lists(messages(), min_size=1, max_size=6),
    st.sampled_from([None, UNION]),
    st.booleans(),
    st.sampled_from(["quarantine", "leave"]),
)
@settings(deadline=None, max_examples=150)
def test_nothing_of_a_message_is_shown_to_anyone(found, contract, dry_run, on_invalid):
    plan = factories.plan(destination=factories.queue("other"), dry_run=dry_run, on_invalid=on_invalid)
    made = made_report(plan, found, contract)
    check(made)


def check(made: Report) -> None:
    for text in texts_of(made):
        assert not [word for word in (MARK, WORD, "on-order") if word in text]
    assert made.sample is not None
    for group in made.sample.groups:
        names = (group.reason, group.destination, group.origin, group.error_type, group.error_text_hash, group.contract)
        assert all(NAME.fullmatch(name) for name in names if name is not None)


def replaced(content: Any) -> Iterator[Any]:
    """Yield JSON with one of its texts replaced, another one each time, by each lure."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from (content | {name: other} for other in replaced(value))
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from ([*content[:place], other, *content[place + 1 :]] for other in replaced(value))
    elif isinstance(content, str):
        yield from LURES
        yield from (content + lure for lure in LURES)


@pytest.mark.parametrize("contract", [None, UNION], ids=["no contract", "contract"])
@pytest.mark.parametrize("message", RECORDED + [factories.message(json.dumps(body)) for body in BODIES])
def test_no_single_text_of_a_message_is_shown(message, contract):
    try:
        bodies = [json.dumps(body) for body in replaced(json.loads(message["Body"]))]
    except ValueError:
        bodies = []
    attributes = message.get("MessageAttributes", {})
    found = [factories.message(body, attributes=attributes, source=None) for body in bodies]
    found += [
        factories.message(message["Body"], attributes=attributes | {name: value | {"StringValue": text}}, source=None)
        for name, value in attributes.items()
        for text in replaced(value.get("StringValue"))
    ]
    plan = factories.plan(destination=factories.queue("other"))
    # As many as a report lists.
    for some in batched(found, 20, strict=False):
        check(made_report(plan, list(some), contract))


def test_what_is_marked_as_safe_is_shown_if_the_message_matched_the_part_that_marks_it():
    content = {"kind": "public", "note": MARK}
    made = made_report(factories.plan(), [factories.message(json.dumps(content))], UNION)
    assert made.sample is not None
    assert made.sample.groups[0].example.body == {"kind": "<string 6>", "note": MARK}


@pytest.mark.parametrize("name", ["a b", "größe", "<b>", "x" * 300])
def test_a_run_whose_execution_has_another_name_is_shown_by_a_hash(name):
    made = report(plan=None, execution=factories.execution(name), error=state_error("RejectedError"))
    assert re.fullmatch(r"hash-[0-9a-f]{12}", made.run_id)
    notice = notice_of(made.model_dump_json(), None)
    assert (notice.link, notice.resources) == (None, ())


def test_a_report_says_how_to_read_error_texts_only_if_there_are_any():
    text = {"errorType": "KeyError", "errorMessage": f"no {MARK}"}
    failed = factories.message(json.dumps(wrapped.lambda_record({}, responsePayload=text)), source=None)
    made = made_report(factories.plan(), [failed], None)
    assert [command.split()[6] for command in made.read_messages] == [
        factories.queue("orders-dlq").url,
        factories.queue("quarantine").url,
    ]
    # In both versions of the AWS CLI, options are named after the API's parameters.
    parameters = Session().get_service_model("sqs").operation_model("ReceiveMessage").input_shape.members
    options = {f"--{xform_name(name, '-')}" for name in parameters} | {"--region", "--output"}
    assert all(set(re.findall(r"--[a-z-]+", command)) <= options for command in made.read_messages)
    mail = json.loads(notification_of(made).message)["email"]
    assert all(command in mail for command in made.read_messages)
    assert made_report(factories.plan(), [factories.message()], None).read_messages == ()


@pytest.mark.parametrize("left", [0, 3])
@pytest.mark.parametrize("quarantined", [0, 2])
def test_a_report_names_only_queues_that_have_messages_for_reading_error_texts(left, quarantined):
    text = {"errorType": "KeyError", "errorMessage": "no"}
    failed = factories.message(json.dumps(wrapped.lambda_record({}, responsePayload=text)), source=None)
    sampled = made_report(factories.plan(), [failed], None).sample
    tally = factories.tally(quarantined=quarantined)
    made = report(sample=sampled, tally=tally, in_queue=left)
    named = [command.split()[6].rsplit("/", 1)[1] for command in made.read_messages]
    assert named == ["orders-dlq"] * bool(left) + ["quarantine"] * bool(quarantined)
