"""The verdict on one letter: each way it can go, and which reason wins where several hold."""

import json
import time
from dataclasses import replace

import pytest

from contracts.json_schema import SchemaContract
from contracts.store_event import STORE_EVENT
from redrive.domain.destinations import Allowed, Destination, Kind, queue
from redrive.domain.history import ATTRIBUTE, History
from redrive.domain.judging import Judge
from redrive.domain.repair import Repair
from redrive.domain.runs import OnInvalid
from redrive.domain.selection import Selection
from redrive.domain.verdicts import Quarantine, Reason, Redrive, Skip
from tests.support import factories

ORDERS, INVOICES = factories.queue("orders"), factories.queue("invoices")
ALLOWED = Allowed(functions=("on-*",), state_machines=("orders-*",))
HOME = "us-east-1:123456789012"


def nowhere(_arn: str) -> None:
    return None


def judge(contracts=None, find_queue=nowhere, **plan) -> Judge:
    return Judge(factories.plan(**plan), (contracts or {}).get, find_queue, ALLOWED, time.monotonic)


def with_history(count: int = 1, run: str = "run-0", origin: str | None = None, **told):
    history = History(run, count, "m-1", 5, origin)
    return factories.letter(attributes={ATTRIBUTE: factories.string(history.to_json())}, **told)


def test_a_letter_goes_back_to_the_queue_it_came_from():
    letter = factories.letter(source="orders", message_id="m-1", sent_at=5)
    assert judge()(letter) == Redrive(queue(ORDERS), letter, History("run-1", 1, "m-1", 5, ORDERS.arn))


def test_each_letter_of_a_shared_queue_goes_back_to_its_own():
    shared = judge(sources=(ORDERS, INVOICES))
    assert [shared(factories.letter(source=name)).destination.address for name in ("invoices", "orders")] == [
        INVOICES.url,
        ORDERS.url,
    ]


def test_a_fifo_letter_goes_back_as_fifo():
    fifo = factories.queue("orders.fifo")
    verdict = judge(dlq=factories.queue("orders-dlq.fifo"), sources=(fifo,))(
        factories.letter(source="orders.fifo")
    )
    assert verdict.destination.kind is Kind.FIFO_QUEUE


def test_a_destination_of_the_run_goes_before_the_letters_own_queue():
    verdict = judge(destination=INVOICES)(factories.letter(source="orders"))
    assert verdict.destination.address == INVOICES.url


def test_a_letter_sent_straight_to_the_queue_goes_to_the_only_source():
    assert judge()(factories.letter(source=None)).destination.address == ORDERS.url


@pytest.mark.parametrize("sources", [(), (ORDERS, INVOICES)])
def test_a_letter_sent_straight_to_the_queue_of_none_or_several_has_no_destination(sources):
    assert judge(sources=sources)(factories.letter(source=None)) == Skip(Reason.NO_DESTINATION)


def test_a_source_that_is_none_of_the_runs_is_looked_up():
    asked = []

    def find(arn):
        asked.append(arn)
        return INVOICES

    verdict = judge(find_queue=find)(factories.letter(source="invoices"))
    assert (verdict.destination.address, asked) == (INVOICES.url, [INVOICES.arn])


def test_a_source_that_is_gone_is_no_destination():
    assert judge()(factories.letter(source="deleted")) == Skip(Reason.NO_DESTINATION)


def test_a_letter_out_of_the_quarantine_goes_to_the_queue_it_once_came_from():
    letter = with_history(origin=INVOICES.arn, source=None)
    assert judge(sources=(ORDERS, INVOICES))(letter).destination.address == INVOICES.url


def test_a_letter_that_this_run_redrove_came_back():
    assert judge()(with_history(run="run-1")) == Skip(Reason.CAME_BACK)


def test_a_letter_that_came_back_is_told_as_such_although_it_also_arrived_late():
    assert judge()(with_history(run="run-1", sent_at=factories.STARTED_AT + 1)) == Skip(Reason.CAME_BACK)


@pytest.mark.parametrize(
    ("sent_at", "late"), [(factories.STARTED_AT - 1, False), (factories.STARTED_AT, True)]
)
def test_what_was_sent_at_the_start_or_later_is_left_to_the_next_run(sent_at, late):
    verdict = judge()(factories.letter(sent_at=sent_at))
    assert (verdict == Skip(Reason.ARRIVED_AFTER_START)) is late


@pytest.mark.parametrize(("count", "verdict"), [(2, Redrive), (3, Quarantine), (4, Quarantine)])
def test_a_letter_redriven_as_often_as_allowed_is_quarantined(count, verdict):
    assert type(judge(max_redrives=3)(with_history(count))) is verdict


def test_the_verdict_on_poison_tells_how_often_it_was_redriven():
    verdict = judge(max_redrives=3)(with_history(3))
    assert verdict.reason == Reason.REDRIVEN_TOO_OFTEN
    assert verdict.problems == ("redriven 3 times, at most 3 are allowed",)
    assert verdict.history.count == 3


def test_a_letter_that_breaks_its_contract_is_quarantined_with_the_problems():
    verdict = judge({"orders": STORE_EVENT})(factories.letter(factories.store_event()))
    assert (verdict.reason, verdict.problems) == ("missing-attribute", ("attributes.store_id: missing",))
    assert (verdict.history.run, verdict.history.count) == ("run-1", 0)


def test_a_letter_that_keeps_its_contract_is_redriven():
    letter = factories.letter(factories.store_event(), attributes=factories.store_id())
    assert isinstance(judge({"orders": STORE_EVENT})(letter), Redrive)


def test_the_contract_is_that_of_the_queue_the_letter_goes_to():
    orders_only = judge({"orders": STORE_EVENT}, sources=(ORDERS, INVOICES))
    assert isinstance(orders_only(factories.letter("no event", source="orders")), Quarantine)
    assert isinstance(orders_only(factories.letter("no event", source="invoices")), Redrive)


def test_the_content_of_a_queue_without_contract_is_not_judged():
    assert isinstance(judge()(factories.letter("\x00 anything")), Redrive)


@pytest.mark.parametrize(
    ("letter", "reason"),
    [
        (factories.letter("no event"), "not-json"),
        (with_history(3), Reason.REDRIVEN_TOO_OFTEN),
    ],
)
def test_what_is_invalid_stays_where_it_is_if_the_run_says_so(letter, reason):
    leaving = judge({"orders": STORE_EVENT}, on_invalid=OnInvalid.LEAVE)
    assert leaving(letter) == Skip(reason)


# Letters that services wrapped


def of_rule(target: str):
    attributes = {"RULE_ARN": factories.string("arn:aws:events:x"), "TARGET_ARN": factories.string(target)}
    return factories.letter('{"detail": 1}', source=None, attributes=attributes)


@pytest.mark.parametrize(
    ("target", "kind", "name"),
    [
        (f"arn:aws:lambda:{HOME}:function:on-order:live", Kind.FUNCTION, "on-order"),
        (f"arn:aws:states:{HOME}:stateMachine:orders-flow", Kind.STATE_MACHINE, "orders-flow"),
    ],
)
def test_a_letter_goes_to_the_target_that_its_rule_could_not_reach(target, kind, name):
    verdict = judge()(of_rule(target))
    assert verdict.destination == Destination(kind, target, name)
    assert verdict.letter.attributes == {}


@pytest.mark.parametrize(
    "target",
    [
        "arn:aws:lambda:us-east-1:999999999999:function:on-order",
        "arn:aws:lambda:eu-west-1:123456789012:function:on-order",
        f"arn:aws:lambda:{HOME}:function:payroll",
        f"arn:aws:states:{HOME}:stateMachine:payroll",
        f"arn:aws:events:{HOME}:event-bus/default",
        "arn:aws:lambda",
        "on-order",
    ],
)
def test_what_this_deployment_may_not_deliver_to_stays_in_the_queue(target):
    assert judge()(of_rule(target)) == Skip(Reason.DESTINATION_NOT_ALLOWED)


def test_a_target_that_is_a_queue_is_looked_up():
    verdict = judge(find_queue={INVOICES.arn: INVOICES}.get)(of_rule(INVOICES.arn))
    assert verdict.destination == queue(INVOICES)


def test_what_a_run_names_goes_before_what_the_envelope_tells():
    verdict = judge(destination=INVOICES)(of_rule(f"arn:aws:lambda:{HOME}:function:on-order"))
    assert verdict.destination == queue(INVOICES)


# Selection, repair, contracts


TAKEN_FROM_BODY = {"setAttributes": {"store_id": {"type": "Number", "from": "store"}}}


def with_store(**told):
    return factories.letter(factories.store_event(store=3), **told)


def test_a_letter_that_is_not_selected_stays():
    selects = judge(select=Selection(attributes={"store_id": "3"}))
    assert selects(factories.letter()) == Skip(Reason.NOT_SELECTED)
    assert isinstance(selects(factories.letter(attributes=factories.store_id("3"))), Redrive)


def test_what_holds_no_payload_is_not_even_quarantined_unless_it_is_selected():
    context = {"requestId": "r", "functionArn": "arn:f", "condition": "Any", "approximateInvokeCount": 1}
    told = {"version": "1.0", "timestamp": "t", "KinesisBatchInfo": {}, "requestContext": context}
    pointer = factories.letter(json.dumps(told), source=None)
    assert judge()(pointer).reason == "no-payload"
    assert judge(select=Selection(envelope=("none",)))(pointer) == Skip(Reason.NOT_SELECTED)


def test_a_letter_is_repaired_before_it_is_judged():
    letter = with_store(source="orders")
    assert judge({"orders": STORE_EVENT})(letter).reason == "missing-attribute"
    verdict = judge({"orders": STORE_EVENT}, repair=Repair.model_validate(TAKEN_FROM_BODY))(letter)
    assert (verdict.repaired, verdict.contract) == (True, "store-event")
    assert verdict.letter.attributes == factories.store_id("3")
    assert verdict.letter.body == letter.body
    assert '"repaired":true' in verdict.history.to_json()


def test_a_letter_that_is_invalid_after_its_repair_goes_to_the_quarantine_as_it_was():
    letter = factories.letter(factories.store_event(store=99))
    verdict = judge({"orders": STORE_EVENT}, repair=Repair.model_validate(TAKEN_FROM_BODY))(letter)
    assert (verdict.reason, verdict.history.repaired) == ("invalid-attribute", False)


def test_a_letter_that_the_repair_does_not_fit_is_judged_as_it_is():
    valid = factories.letter(factories.store_event(), attributes=factories.store_id())
    verdict = judge({"orders": STORE_EVENT}, repair=Repair.model_validate(TAKEN_FROM_BODY))(valid)
    assert (verdict.repaired, verdict.letter) == (False, valid)


def notification(message: str, **attributes) -> str:
    told = {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:1:t"}
    return json.dumps(told | {"Message": message, "MessageAttributes": attributes})


STORE = {"Type": "Number", "Value": "3"}


def test_a_notification_goes_back_wrapped_unless_its_contract_says_otherwise():
    letter = factories.letter(notification(factories.store_event(), store_id=STORE))
    verdict = judge({"orders": STORE_EVENT})(letter)
    assert verdict.letter == letter


def test_a_consumer_that_reads_raw_messages_gets_the_message_with_its_attributes():
    raw = replace(STORE_EVENT, sns_delivery="raw")
    letter = factories.letter(notification(factories.store_event(), store_id=STORE))
    verdict = judge({"orders": raw})(letter)
    assert verdict.letter.body == factories.store_event()
    assert verdict.letter.attributes == factories.store_id("3")
    assert verdict.letter.size == len(verdict.letter.body) + len("store_idNumber3")


def test_what_comes_raw_stays_raw():
    raw = replace(STORE_EVENT, sns_delivery="raw")
    letter = factories.letter(factories.store_event(), attributes=factories.store_id())
    assert judge({"orders": raw})(letter).letter == letter


def test_the_body_of_a_notification_can_be_repaired_with_its_wrapping():
    letter = factories.letter(notification(factories.store_event()))
    patch = [{"op": "add", "path": "/MessageAttributes/store_id", "value": STORE}]
    verdict = judge({"orders": STORE_EVENT}, repair=Repair.model_validate({"patch": patch}))(letter)
    assert verdict.repaired
    assert json.loads(verdict.letter.body)["MessageAttributes"] == {"store_id": STORE}


def test_a_letter_whose_check_takes_too_long_stays():
    slow = SchemaContract("slow", {"pattern": "^(x+x+)+(x+x+)+y$"})
    assert judge({"orders": slow})(factories.letter(json.dumps("x" * 5000))) == Skip(Reason.UNDECIDED)


def test_a_letter_whose_contract_cannot_be_used_stays():
    verdict = judge({"orders": Reason.CONTRACT_UNUSABLE})(factories.letter())
    assert verdict == Skip(Reason.CONTRACT_UNUSABLE)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[" * 200 + "]" * 200,
        '{"a": NaN, "a": Infinity}',
        r'"{\"TopicArn\": \"\ud800\"}"',
        r'"\"\ud800TopicArn\""',
        '{"requestContext": {}}',
        '{"TopicArn": "arn:t", "Type": "Notification", "Message": {}}',
        '{"Records": [{"eventSource": "aws:s3"}, null]}',
        '{"Type": "Notification", "TopicArn": 5, "requestContext": null, "requestPayload": 1}',
    ],
)
def test_whatever_resembles_an_envelope_and_is_none_goes_on_as_it_is(body):
    letter = factories.letter(body, source=None)
    assert judge()(letter).letter == letter
