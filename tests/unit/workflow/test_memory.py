"""What the runs table has about messages is looked up in as few requests as it takes, and belongs to its message."""

from collections.abc import Iterable, Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from redrive.workflow.memory import Memory
from tests.support import factories

MOST = 100


class Rows:
    """Rows of the runs table, by id."""

    def __init__(self, rows: Mapping[str, str]) -> None:
        self._rows = rows
        self.requests: list[list[str]] = []

    def recall(self, ids: Iterable[str]) -> Mapping[str, str]:
        self.requests.append(list(ids))
        # DynamoDB API reference, BatchGetItem: at most 100 keys, and none twice.
        assert 1 <= len(set(self.requests[-1])) == len(self.requests[-1]) <= MOST
        return {key: self._rows[key] for key in self.requests[-1] if key in self._rows}

    def record(self, _facts: Mapping[str, str]) -> None:
        pytest.fail("Expected nothing to record.")


def memory(rows: Rows) -> Memory:
    return Memory(factories.plan(), rows, frozenset())


@given(
    looked_up=st.dictionaries(st.integers(0, 9).map("m-{}".format), st.integers(0, 9).map("id-{}".format)),
    rows=st.dictionaries(st.integers(0, 9).map("id-{}".format), st.just("{}")),
)
@example({f"m-{number}": f"id-{number}" for number in range(2 * MOST + 1)}, {f"id-{2 * MOST}": "{}"})
def test_each_message_gets_the_row_of_its_own_id(looked_up, rows):
    table = Rows(rows)
    messages = [factories.received(message_id=f"m-{number}") for number in range(10)]
    messages += [factories.received(message_id=name) for name in looked_up]
    found = memory(table).recalled(messages, looked_up)
    assert [message.message_id for message in found] == [message.message_id for message in messages]
    assert [message.recorded for message in found] == [rows.get(looked_up.get(m.message_id, "")) for m in messages]
    asked = [key for request in table.requests for key in request]
    assert sorted(asked) == sorted(set(looked_up.values()))
    assert len(table.requests) == -(-len(asked) // MOST)


def test_nothing_to_record_makes_no_request():
    memory(Rows({})).record({})
