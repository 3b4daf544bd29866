"""A contract that can't be read for a while costs time, and no message: none is lost, skipped, or sent twice."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from redrive.contracts.contract import MessageContract
from redrive.contracts.json_schema import SchemaContract
from redrive.domain.errors import UnavailableError
from tests.support import factories
from tests.support.model_faults import neighbors
from tests.support.model_runs import EPOCH, ModelApp

CONTRACT = SchemaContract("order", {"type": "object", "required": ["id"]})
# As often as Step Functions repeats a step that fails.
RETRIES = 3


def body_of(place: int) -> str:
    return json.dumps({"id": f"m-{place:03}"}, separators=(",", ":"))


class Unread(dict[str, MessageContract]):
    """Contracts, some readings of which fail."""

    def __init__(self, names: list[str], failing: frozenset[int]) -> None:
        super().__init__(dict.fromkeys(names, CONTRACT))
        self.readings = 0
        self._failing = failing

    def get(self, name: str, default: MessageContract | None = None) -> MessageContract | None:  # type: ignore[override]
        self.readings += 1
        if self.readings - 1 in self._failing:
            raise UnavailableError(f"The contract of {name} can't be read: ThrottlingException.")
        return super().get(name, default)


@given(
    st.lists(st.sampled_from(["orders", "invoices", "letters"]), min_size=1, max_size=60),
    st.sampled_from([3, 40, 500]),
    st.booleans(),
    st.data(),
)
@neighbors(150)
def test_reading_again_moves_every_message_once(sources, rate, fifo, data):
    suffix = ".fifo" if fifo else ""
    names = [f"{name}{suffix}" for name in sorted(set(sources))]
    failing = data.draw(st.frozensets(st.integers(0, 3 * len(names) + RETRIES), max_size=RETRIES))
    bodies = [body_of(place) for place in range(len(sources))]
    contracts = Unread(names, failing)
    app = ModelApp(
        dlq=factories.queue(f"dlq{suffix}"),
        sources=tuple(factories.queue(name) for name in names),
        messages=[
            factories.message(
                body,
                message_id=f"m-{place:03}",
                source=f"{source}{suffix}",
                system={"MessageGroupId": f"g-{place % 3}"} if fifo else None,
                sent_at=int(EPOCH * 1000) - 60_000,
            )
            for place, (source, body) in enumerate(zip(sources, bodies, strict=True))
        ],
        contracts=contracts,
    )
    run = app.time.run(lambda: app.redrive("run-1", rate=rate))
    app.check()
    assert run.report is not None
    counts = run.report.counts
    assert (run.report.status, counts.redriven, counts.skipped) == ("SUCCEEDED", len(bodies), 0)
    assert run.report.duplicates_possible == 0
    assert app.sqs.copies == dict.fromkeys(bodies, 1)
    assert not app.sqs.stored
    assert contracts.readings >= 3 * len(names) or not failing


@given(st.integers(1, 60), st.sampled_from([3, 40, 500]), st.integers(0, 4))
@neighbors(50)
def test_a_contract_that_stays_unread_ends_the_run_and_the_messages_stay(number, rate, first):
    contracts = Unread(["orders", "invoices"], frozenset(range(first, 1000)))
    app = ModelApp(
        dlq=factories.queue("dlq"),
        sources=(factories.queue("orders"), factories.queue("invoices")),
        messages=[
            factories.message(
                body_of(place),
                message_id=f"m-{place:03}",
                source=["orders", "invoices"][place % 2],
                sent_at=int(EPOCH * 1000) - 60_000,
            )
            for place in range(number)
        ],
        contracts=contracts,
    )
    run = app.time.run(lambda: app.redrive("run-1", rate=rate))
    app.check()
    assert run.report is not None
    assert run.report.status == "FAILED"
    assert "ThrottlingException" in (run.report.reason or "")
    assert len(app.sqs.stored) + sum(app.sqs.copies.values()) == number
    assert app.queues.facts(app.dlq).in_flight == 0
