"""The benchmarks that need no endpoint: they run for every envelope and every kind of contract."""

from bench.envelopes import microseconds
from redrive.domain.messages.envelope_names import Envelope
from tests.support.samples import EVENTS


def test_the_cost_of_a_message_is_measured_for_every_recorded_message_and_every_kind_of_contract():
    rows = microseconds(calls=1)
    assert {path.stem for path in (EVENTS / "messages").glob("*.json")} <= rows.keys()
    assert {name for name in rows if "contract" in name} == {
        "store event, no contract",
        "store event, pydantic contract",
        "store event, JSON Schema contract",
    }
    assert len(rows) > len(Envelope)
