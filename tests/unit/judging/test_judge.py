"""The verdict on one message: every kind, and which reason wins if several apply."""

import json
from copy import replace

import pytest

from examples.store_events.contract import STORE_EVENT
from redrive.contracts.json_schema import SchemaContract
from redrive.domain.errors import LockLostError, RejectedError, UnavailableError
from redrive.domain.judging.judge import Judge
from redrive.domain.judging.verdicts import Quarantine, Reason, Redrive, Skip
from redrive.domain.messages.destinations import Kind, quarantine, queue
from redrive.domain.messages.provenance import ATTRIBUTE, Provenance
from redrive.domain.plan.request import OnInvalid
from redrive.domain.rules.repair import Repair
from redrive.domain.rules.selection import Selection
from tests.support import factories, wrapped

ORDERS, INVOICES = factories.queue("orders"), factories.queue("invoices")
HOME = "us-east-1:123456789012"
DELIVERABLE = (f"arn:aws:lambda:{HOME}:function:on-order", f"arn:aws:states:{HOME}:stateMachine:orders-workflow")


def no_queue(_arn: str) -> None:
    return None


def unusable(name: str) -> None:
    raise RejectedError(f"The contract of {name} can't be read.")


def judge(contracts=None, find_queue=no_queue, log_error=factories.unlogged, **plan) -> Judge:
    find_contract = contracts if callable(contracts) else (contracts or {}).get
    made = factories.plan(**plan)
    authority = factories.authority(made, find_queue, arns=DELIVERABLE)
    return factories.judge(made, find_contract, authority, log_error)


def redriven(count: int = 1, run: str = "run-0", source_before: str | None = None, **values):
    """Return a message that earlier runs redrove."""
    made_for = source_before or factories.queue(values.get("source", "orders")).arn
    provenance = Provenance(run, count, "m-1", 5, made_for)
    attributes = {ATTRIBUTE: factories.string(provenance.to_json())}
    return factories.received(attributes=attributes, sender=factories.MOVER, **values)


def sent(verdict) -> dict:
    """Return the request of a verdict, without our attribute."""
    request = dict(verdict.outbound.request)
    attributes = {name: value for name, value in request.pop("MessageAttributes", {}).items() if name != ATTRIBUTE}
    return request | {"MessageAttributes": attributes}


def as_received(message) -> dict:
    """Return the request that sends a message on as it is, without our attribute."""
    return {"MessageBody": message.body, "MessageAttributes": dict(message.attributes)}


def noted(verdict) -> dict:
    """Return what our attribute says."""
    return json.loads(verdict.outbound.request["MessageAttributes"][ATTRIBUTE]["StringValue"])


def test_a_message_goes_back_to_the_queue_it_came_from():
    message = factories.received(source="orders", message_id="m-1", sent_at=5)
    verdict = judge()(message)
    assert isinstance(verdict, Redrive)
    assert (verdict.outbound.destination, verdict.contract, verdict.repaired) == (queue(ORDERS), None, False)
    assert sent(verdict) == as_received(message)
    assert noted(verdict) == {"run": "run-1", "count": 1, "id": "m-1", "sent": 5, "source": ORDERS.arn}


def test_each_message_of_a_shared_queue_goes_back_to_its_own():
    shared = judge(sources=(ORDERS, INVOICES))
    assert [
        shared(factories.received(source=name)).outbound.destination.address for name in ("invoices", "orders")
    ] == [
        INVOICES.url,
        ORDERS.url,
    ]


def test_a_fifo_message_goes_back_as_fifo():
    fifo = factories.queue("orders.fifo")
    message = factories.received(source="orders.fifo", system={"MessageGroupId": "g"})
    verdict = judge(dlq=factories.queue("orders-dlq.fifo"), sources=(fifo,))(message)
    assert verdict.outbound.destination.kind is Kind.FIFO_QUEUE


@pytest.mark.parametrize("contract", [None, STORE_EVENT])
def test_a_message_without_a_group_stays_away_from_a_fifo_queue_and_holds_back_nothing(contract):
    fifo = factories.queue("orders.fifo")
    verdict = judge({"orders.fifo": contract}, find_queue=lambda _: fifo, sources=())(of_rule(fifo.arn))
    assert verdict == Skip(Reason.NO_MESSAGE_GROUP, fifo_queue=None)
    grouped = factories.received(source="orders.fifo", system={"MessageGroupId": "g"})
    assert isinstance(judge(find_queue=lambda _: fifo)(grouped), Redrive)


def test_the_runs_destination_takes_precedence_over_the_messages_own_queue():
    verdict = judge(destination=INVOICES)(factories.received(source="orders"))
    assert verdict.outbound.destination.address == INVOICES.url


def test_a_message_sent_straight_to_the_queue_goes_to_the_only_source():
    assert judge()(factories.received(source=None)).outbound.destination.address == ORDERS.url


@pytest.mark.parametrize("sources", [(), (ORDERS, INVOICES)])
def test_a_message_sent_straight_to_the_queue_of_none_or_several_has_no_destination(sources):
    assert judge(sources=sources)(factories.received(source=None)) == Skip(Reason.NO_DESTINATION)


def test_an_origin_that_is_none_of_the_runs_sources_is_looked_up():
    looked_up = []

    def find(arn):
        looked_up.append(arn)
        return INVOICES

    verdict = judge(find_queue=find)(factories.received(source="invoices"))
    assert (verdict.outbound.destination.address, looked_up) == (INVOICES.url, [INVOICES.arn])


def test_a_message_whose_origin_is_gone_has_no_destination():
    assert judge()(factories.received(source="deleted")) == Skip(Reason.NO_DESTINATION)


def test_a_message_out_of_the_quarantine_goes_to_the_queue_it_once_came_from():
    message = redriven(source_before=INVOICES.arn, source=None)
    assert judge(sources=(ORDERS, INVOICES))(message).outbound.destination.address == INVOICES.url


def test_a_message_that_this_run_redrove_came_back():
    assert judge()(redriven(run="run-1")) == Skip(Reason.CAME_BACK)


def test_a_message_that_came_back_is_reported_as_such_although_it_also_arrived_late():
    assert judge()(redriven(run="run-1", sent_at=factories.STARTED_AT + 1)) == Skip(Reason.CAME_BACK)


@pytest.mark.parametrize(("sent_at", "late"), [(factories.STARTED_AT - 1, False), (factories.STARTED_AT, True)])
def test_a_message_sent_at_the_start_or_later_is_left_to_the_next_run(sent_at, late):
    verdict = judge()(factories.received(sent_at=sent_at))
    assert (verdict == Skip(Reason.ARRIVED_AFTER_START)) is late


@pytest.mark.parametrize(("count", "verdict"), [(2, Redrive), (3, Quarantine), (4, Quarantine)])
def test_a_message_redriven_as_often_as_allowed_is_quarantined(count, verdict):
    assert type(judge(max_redrives=3)(redriven(count))) is verdict


def test_a_message_redriven_too_often_says_how_often_in_the_quarantine():
    verdict = judge(max_redrives=3)(redriven(3))
    assert verdict.reason == Reason.REDRIVEN_TOO_OFTEN
    assert noted(verdict)["problems"] == ["redriven 3 times; the limit is 3"]
    assert noted(verdict)["count"] == 3


def test_a_message_that_breaks_its_contract_is_quarantined_with_the_problems():
    verdict = judge({"orders": STORE_EVENT})(factories.received(factories.store_event()))
    note = noted(verdict)
    assert (verdict.reason, note["reason"]) == ("missing-attribute", "missing-attribute")
    assert (note["run"], note["count"], note["problems"]) == ("run-1", 0, ["attributes.store_id: missing"])


def test_a_message_that_satisfies_its_contract_is_redriven():
    message = factories.received(factories.store_event(), attributes=factories.store_id())
    assert isinstance(judge({"orders": STORE_EVENT})(message), Redrive)


def test_the_contract_is_that_of_the_queue_the_message_goes_to():
    orders_only = judge({"orders": STORE_EVENT}, sources=(ORDERS, INVOICES))
    assert isinstance(orders_only(factories.received("no event", source="orders")), Quarantine)
    assert isinstance(orders_only(factories.received("no event", source="invoices")), Redrive)


def test_without_a_contract_the_content_of_a_message_is_not_judged():
    assert isinstance(judge()(factories.received("\x00 anything")), Redrive)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (factories.received("no event"), "not-json"),
        (redriven(3), Reason.REDRIVEN_TOO_OFTEN),
    ],
)
def test_an_invalid_message_stays_where_it_is_if_the_run_says_so(message, reason):
    leaving = judge({"orders": STORE_EVENT}, on_invalid=OnInvalid.LEAVE)
    assert leaving(message) == Skip(reason)


# Messages that services wrapped


def of_rule(target: str):
    attributes = {"RULE_ARN": factories.string("arn:aws:events:x"), "TARGET_ARN": factories.string(target)}
    return factories.received('{"detail": 1}', source=None, attributes=attributes)


@pytest.mark.parametrize(
    ("target", "kind", "name"),
    [
        (f"arn:aws:lambda:{HOME}:function:on-order", Kind.FUNCTION, "on-order"),
        (f"arn:aws:states:{HOME}:stateMachine:orders-workflow", Kind.STATE_MACHINE, "orders-workflow"),
    ],
)
def test_a_message_goes_to_the_target_that_its_rule_could_not_reach(target, kind, name):
    verdict = judge(sources=())(of_rule(target))
    found = verdict.outbound.destination
    assert (found.kind, found.arn, found.address, found.name) == (kind, target, target, name)
    content = verdict.outbound.request
    assert content.get("Payload", content.get("input")) == '{"detail": 1}'
    assert "MessageAttributes" not in content


@pytest.mark.parametrize(
    "target",
    [
        "arn:aws:lambda:us-east-1:999999999999:function:on-order",
        "arn:aws:lambda:eu-west-1:123456789012:function:on-order",
        f"arn:aws:lambda:{HOME}:function:payroll",
        f"arn:aws:states:{HOME}:stateMachine:payroll",
        f"arn:aws:events:{HOME}:event-bus/default",
        "arn:aws:lambda",
        "arn:aws",
        "arn:",
        "no:arn:sqs",
        "on-order",
        f"arn:aws:lambda:{HOME}:function:on-order:live",
        f"arn:aws:lambda:{HOME}:function:ON-ORDER",
    ],
)
def test_a_message_for_a_target_outside_the_delivery_policy_stays(target):
    assert judge(sources=())(of_rule(target)) == Skip(Reason.DESTINATION_NOT_ALLOWED)


def test_a_target_that_is_a_queue_is_looked_up():
    verdict = judge(find_queue={INVOICES.arn: INVOICES}.get, sources=())(of_rule(INVOICES.arn))
    assert verdict.outbound.destination == replace(queue(INVOICES), met=True)


def test_the_runs_destination_takes_precedence_over_the_claimed_destination():
    verdict = judge(destination=INVOICES)(of_rule(f"arn:aws:lambda:{HOME}:function:on-order"))
    assert verdict.outbound.destination == queue(INVOICES)


# Selection, repair, contracts


TAKEN_FROM_BODY = {"setAttributes": {"store_id": {"type": "Number", "from": "store"}}}


def with_store(**values):
    return factories.received(factories.store_event(store=3), **values)


def test_a_message_that_is_not_selected_stays():
    selects = judge(select=Selection(attributes={"store_id": "3"}))
    assert selects(factories.received()) == Skip(Reason.NOT_SELECTED)
    assert isinstance(selects(factories.received(attributes=factories.store_id("3"))), Redrive)


def test_a_message_without_payload_is_quarantined_only_if_it_is_selected():
    context = {"requestId": "r", "functionArn": "arn:f", "condition": "Any", "approximateInvokeCount": 1}
    fields = {"version": "1.0", "timestamp": "t", "KinesisBatchInfo": {}, "requestContext": context}
    pointer = factories.received(json.dumps(fields), source=None)
    assert judge()(pointer).reason == "no-payload"
    assert judge(select=Selection(envelope=("none",)))(pointer) == Skip(Reason.NOT_SELECTED)


def test_a_message_is_repaired_before_it_is_judged():
    message = with_store(source="orders")
    assert judge({"orders": STORE_EVENT})(message).reason == "missing-attribute"
    verdict = judge({"orders": STORE_EVENT}, repair=Repair.model_validate(TAKEN_FROM_BODY))(message)
    assert (verdict.repaired, verdict.contract) == (True, "store-event")
    assert sent(verdict) == {"MessageBody": message.body, "MessageAttributes": factories.store_id("3")}
    assert noted(verdict)["repaired"] is True


def test_a_message_that_is_invalid_after_its_repair_goes_to_the_quarantine_as_it_was():
    message = factories.received(factories.store_event(store=99))
    verdict = judge({"orders": STORE_EVENT}, repair=Repair.model_validate(TAKEN_FROM_BODY))(message)
    assert verdict.reason == "invalid-attribute"
    assert "repaired" not in noted(verdict)
    assert sent(verdict) == as_received(message)


def test_a_message_that_the_repair_does_not_apply_to_is_judged_as_it_is():
    valid = factories.received(factories.store_event(), attributes=factories.store_id())
    verdict = judge({"orders": STORE_EVENT}, repair=Repair.model_validate(TAKEN_FROM_BODY))(valid)
    assert (verdict.repaired, sent(verdict)) == (False, as_received(valid))
    assert "repaired" not in noted(verdict)


def notification(message: str, **attributes) -> str:
    fields = {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:1:t"}
    return json.dumps(fields | {"Message": message, "MessageAttributes": attributes})


STORE = {"Type": "Number", "Value": "3"}


def test_a_notification_goes_back_wrapped_unless_its_contract_says_otherwise():
    message = factories.received(notification(factories.store_event(), store_id=STORE))
    verdict = judge({"orders": STORE_EVENT})(message)
    assert sent(verdict) == as_received(message)


def test_a_consumer_that_reads_raw_messages_gets_the_message_with_its_attributes():
    raw = replace(STORE_EVENT, sns_delivery="raw")
    body = notification(factories.store_event(), store_id=STORE)
    verdict = judge({"orders": raw})(factories.received(body, source=None))
    assert sent(verdict) == {"MessageBody": factories.store_event(), "MessageAttributes": factories.store_id("3")}


def test_a_notification_that_was_in_the_source_queue_goes_back_as_it_was_whatever_the_contract_says():
    raw = replace(STORE_EVENT, sns_delivery="raw")
    message = factories.received(notification(factories.store_event(), store_id=STORE))
    assert sent(judge({"orders": raw})(message)) == as_received(message)


def test_a_raw_message_stays_raw():
    raw = replace(STORE_EVENT, sns_delivery="raw")
    message = factories.received(factories.store_event(), attributes=factories.store_id())
    assert sent(judge({"orders": raw})(message)) == as_received(message)


def test_the_body_of_a_notification_can_be_repaired_with_its_wrapping():
    message = factories.received(notification(factories.store_event()))
    patch = [{"op": "add", "path": "/MessageAttributes/store_id", "value": STORE}]
    verdict = judge({"orders": STORE_EVENT}, repair=Repair.model_validate({"patch": patch}))(message)
    assert verdict.repaired
    assert json.loads(sent(verdict)["MessageBody"])["MessageAttributes"] == {"store_id": STORE}


def test_a_message_whose_check_takes_too_long_stays():
    slow = SchemaContract("slow", {"pattern": r"^(x+x+)+\1y$"})
    assert judge({"orders": slow})(factories.received(json.dumps("x" * 5000))) == Skip(Reason.UNDECIDED)


def test_a_message_whose_contract_cannot_be_used_stays():
    asked = []

    def find_contract(name: str) -> None:
        asked.append(name)
        unusable(name)

    judged = judge(find_contract)
    assert [judged(factories.received()) for _ in range(3)] == 3 * [Skip(Reason.CONTRACT_UNUSABLE)]
    assert asked == ["orders"]


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
def test_a_message_that_only_resembles_an_envelope_is_sent_as_it_is(body):
    message = factories.received(body, source=None)
    assert sent(judge()(message)) == as_received(message)


# What carries the verdict out


def test_a_redriven_fifo_message_gets_a_deduplication_id_of_its_own():
    fifo = factories.queue("orders.fifo")
    fifo_judge = judge(dlq=factories.queue("orders-dlq.fifo"), sources=(fifo,))
    message = redriven(1, source="orders.fifo", message_id="m-9", system={"MessageGroupId": "g"})
    outbound = fifo_judge(message).outbound
    assert (outbound.request["MessageDeduplicationId"], outbound.request["MessageGroupId"]) == ("m-9-2", "g")
    assert outbound.deduplicated


def test_a_quarantined_message_goes_to_the_quarantine_without_regard_to_the_rate():
    outbound = judge(max_redrives=1)(redriven(1)).outbound
    assert outbound.destination == quarantine(factories.queue("quarantine"))
    assert not outbound.destination.throttled
    assert "MessageDeduplicationId" not in outbound.request


def test_a_quarantined_message_keeps_its_envelope():
    message = factories.received(notification("no event"))
    verdict = judge({"orders": replace(STORE_EVENT, sns_delivery="raw")})(message)
    assert verdict.reason == "not-json"
    assert sent(verdict) == as_received(message)


def test_a_message_that_a_function_failed_on_again_came_back():
    context = {"requestId": "r", "functionArn": "arn:f", "condition": "RetriesExhausted", "approximateInvokeCount": 3}
    fields = {"version": "1.0", "timestamp": "t", "requestContext": context, "requestPayload": {}}
    again = factories.received(json.dumps(fields), source=None, sent_at=factories.STARTED_AT + 5)
    assert judge()(again) == Skip(Reason.CAME_BACK)


# What the verdict is based on


def test_a_judgment_shows_the_message_as_opened_and_its_contract():
    message = factories.received(factories.store_event(), attributes=factories.store_id())
    judgment = judge({"orders": STORE_EVENT}).judge(message)
    assert judgment.opened.received is message
    assert judgment.contract is STORE_EVENT
    assert judgment.repaired is None


def test_a_judgment_shows_the_message_before_and_after_its_repair():
    message = with_store(source="orders")
    judgment = judge({"orders": STORE_EVENT}, repair=Repair.model_validate(TAKEN_FROM_BODY)).judge(message)
    assert judgment.opened.payload.attributes == {}
    assert judgment.repaired.payload.attributes == factories.store_id("3")


@pytest.mark.parametrize(
    ("message", "contracts"),
    [
        (factories.received(sent_at=factories.STARTED_AT), {}),
        (factories.received(source="deleted"), {}),
        (factories.received(), unusable),
    ],
)
def test_a_judgment_on_a_skipped_message_shows_it_without_a_contract(message, contracts):
    judgment = judge(contracts).judge(message)
    assert isinstance(judgment.verdict, Skip)
    assert (judgment.opened.received, judgment.contract, judgment.repaired) == (message, None, None)


def test_a_judgment_on_an_undecided_message_shows_it():
    slow = SchemaContract("slow", {"pattern": r"^(x+x+)+\1y$"})
    message = factories.received(json.dumps("x" * 5000))
    judgment = judge({"orders": slow}).judge(message)
    assert (judgment.verdict, judgment.opened.received) == (Skip(Reason.UNDECIDED), message)


def test_what_may_be_an_envelope_but_is_too_deep_is_undecided_unless_a_redrive_policy_moved_it():
    body = json.dumps(wrapped.lambda_record("deep")).replace('"deep"', "[" * 300 + "]" * 300)
    for text in (body, wrapped.notification(body)):
        assert judge()(factories.received(text, source=None)) == Skip(Reason.UNDECIDED)
        assert sent(judge()(factories.received(text)))["MessageBody"] == text


# What SQS rejects


RAW = SchemaContract("order", {"x-sns-delivery": "raw"})


def test_a_notification_of_ten_attributes_with_one_around_it_is_sent_with_ten():
    ten = {f"a{number}": factories.string("x") for number in range(10)}
    provenance = Provenance("run-0", 1, "m-1", 5, ORDERS.arn).to_json()
    around = {ATTRIBUTE: factories.string(provenance)}
    message = factories.received(wrapped.notification("{}", ten), attributes=around, source=None)
    verdict = judge({"orders": RAW})(message)
    assert sent(verdict) == {"MessageBody": "{}", "MessageAttributes": ten}
    assert verdict.outbound.unattached is not None


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ('"\uffff"', {}),
        ("{}", {f"a{number}": factories.string("x") for number in range(11)}),
        ("{}", {"a": factories.string("\x01")}),
        ("{}", {"a": factories.string("")}),
        ("{}", {"a": wrapped.number("abc")}),
        ("{}", {"a": wrapped.number("1e200")}),
        ("{}", {"AWS.a": factories.string("x")}),
        ("{}", {"a": {"DataType": "String." + "x" * 256, "StringValue": "x"}}),
        ("{}", {"a": {"DataType": "Binary", "BinaryValue": b""}}),
    ],
)
def test_a_notification_that_sqs_would_not_take_raw_stays(text, attributes):
    message = factories.received(wrapped.notification(text, attributes), source=None)
    assert judge({"orders": RAW})(message) == Skip(Reason.NOT_SENDABLE)
    assert isinstance(judge()(message), Redrive)


@pytest.mark.parametrize("value", [r"\u0001", r"\ud800", r"\uffff"])
def test_a_message_whose_repair_makes_what_sqs_does_not_take_stays(value):
    repair = Repair.model_validate({"setAttributes": {"a": {"from": "a"}}})
    message = factories.received(f'{{"a": "{value}"}}')
    contract = SchemaContract("order", {"x-attributes": {"required": ["a"], "properties": {"a": {"maxLength": 9}}}})
    for contracts in ({}, {"orders": contract}):
        assert judge(contracts, repair=repair)(message) == Skip(Reason.NOT_SENDABLE)


# Payloads in S3


@pytest.mark.parametrize("kind", wrapped.POINTER_CLASSES)
@pytest.mark.parametrize("size", wrapped.SIZE_ATTRIBUTES)
def test_a_pointer_is_redriven_as_it_is_although_it_breaks_the_contract(kind, size):
    message = factories.received(wrapped.pointer(kind), attributes={size: wrapped.number("300000")})
    judgment = judge({"orders": STORE_EVENT}).judge(message)
    assert (judgment.contract, judgment.verdict.contract) == (None, None)
    assert sent(judgment.verdict) == as_received(message)


def test_a_pointer_in_a_notification_is_delivered_raw_if_the_contract_says_so():
    raw = SchemaContract("order", {"type": "object", "x-sns-delivery": "raw"})
    size = wrapped.size_attribute()
    verdict = judge({"orders": raw})(factories.received(wrapped.notification(wrapped.pointer(), size), source=None))
    assert sent(verdict) == {"MessageBody": wrapped.pointer(), "MessageAttributes": size}
    assert verdict.contract is None


def test_a_pointer_that_was_redriven_too_often_is_quarantined_all_the_same():
    provenance = Provenance("run-0", 3, "m-1", 5, ORDERS.arn).to_json()
    attributes = wrapped.size_attribute() | {ATTRIBUTE: factories.string(provenance)}
    message = factories.received(wrapped.pointer(), attributes=attributes, sender=factories.MOVER)
    verdict = judge(max_redrives=3)(message)
    assert (verdict.reason, verdict.outbound.request["MessageBody"]) == ("redriven-too-often", wrapped.pointer())


def test_a_pointer_is_selected_by_its_envelope_and_not_by_what_it_says():
    message = factories.received(wrapped.pointer(), attributes=wrapped.size_attribute())
    assert isinstance(judge(select=Selection(envelope=("s3-pointer",)))(message), Redrive)
    assert judge(select=Selection(jmespath="length(@) == `2`"))(message) == Skip(Reason.NOT_SELECTED)


def test_a_function_that_failed_again_through_a_topic_came_back():
    body = wrapped.notification(json.dumps(wrapped.lambda_record({})))
    late = factories.received(body, source=None, sent_at=factories.STARTED_AT)
    assert judge()(late) == Skip(Reason.CAME_BACK)


# Unexpected errors


class FailingContract:
    """A contract whose check raises an error that quotes the message."""

    name, body_schema, attributes_schema, sns_delivery = "failing", {}, {}, None

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    def parse(self, body: str, _attributes: object) -> None:
        raise self._error(body)


@pytest.mark.parametrize("error", [KeyError, RecursionError, MemoryError, OverflowError, UnicodeError, AssertionError])
def test_whatever_a_message_raises_is_its_own_fate_and_logged_without_the_text(error):
    logged = []
    contracts = {"orders": FailingContract(error)}
    verdict = judge(contracts, log_error=lambda *keys: logged.append(keys))(
        factories.received("secret", message_id="m-1")
    )
    assert verdict == Skip(Reason.UNEXPECTED_ERROR)
    assert logged == [("m-1", error.__name__)]


def test_an_error_on_the_way_to_the_queue_that_a_message_names_is_the_fate_of_the_message():
    def find_queue(_arn: str) -> None:
        raise OSError("secret")

    logged = []
    judged = judge(find_queue=find_queue, log_error=lambda *keys: logged.append(keys)).judge(
        factories.received(source="deleted.fifo", message_id="m-1")
    )
    assert judged.verdict == Skip(Reason.UNEXPECTED_ERROR, factories.queue("deleted.fifo").arn)
    assert (judged.opened, logged) == (None, [("m-1", "OSError")])


def test_errors_of_the_run_end_it():
    def find_queue(_arn: str) -> None:
        raise LockLostError("another run has the queue")

    judged = judge(find_queue=find_queue)
    with pytest.raises(LockLostError):
        judged.judge(factories.received(source="deleted"))
    assert judged(factories.received(source="deleted")) is None
    assert isinstance(judged.error, LockLostError)


def test_a_contract_that_cannot_be_read_now_is_no_messages_fate_and_is_read_again():
    answers = iter([UnavailableError("later"), RejectedError("never"), RejectedError("never")])

    def find_contract(_name: str) -> None:
        raise next(answers)

    judged = judge(find_contract)
    assert judged(factories.received()) is None
    assert isinstance(judged.error, UnavailableError)
    assert judged(factories.received()) == Skip(Reason.CONTRACT_UNUSABLE)


def test_a_message_that_could_not_be_read_stays():
    logged = []
    message = replace(factories.received(message_id="m-1", source=None), unreadable="KeyError")
    assert judge(log_error=lambda *keys: logged.append(keys))(message) == Skip(Reason.UNEXPECTED_ERROR)
    assert logged == [("m-1", "KeyError")]
