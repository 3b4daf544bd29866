"""The parts of the benchmarks that need no endpoint: they run, for every envelope and contract there is."""

from bench.envelopes import microseconds
from redrive.domain.envelopes import Envelope
from tests.support.samples import EVENTS


def test_what_a_letter_costs_is_measured_for_every_sample_letter_and_every_kind_of_contract():
    rows = microseconds(calls=1)
    assert {path.stem for path in (EVENTS / "letters").glob("*.json")} <= rows.keys()
    assert {name for name in rows if "contract" in name} == {
        "store event, no contract",
        "store event, pydantic contract",
        "store event, JSON Schema contract",
    }
    assert len(rows) > len(Envelope)
