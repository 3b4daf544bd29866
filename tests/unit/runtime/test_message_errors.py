"""The log of messages that raised unexpected errors: their ids, the errors' names, and never 230,000 lines."""

from typing import Any

import pytest

from redrive.runtime import message_errors
from redrive.runtime.message_errors import MOST_LOGGED, MessageErrors


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    logged: list[tuple[str, dict[str, Any]]] = []

    class Log:
        def error(self, text: str, **keys: Any) -> None:
            logged.append((text, keys))

    monkeypatch.setattr(message_errors, "logger", Log())
    return logged


def test_a_message_is_logged_once_with_its_id_and_the_name_of_the_error(lines):
    log = MessageErrors()
    for _ in range(3):
        log("m-1", "KeyError")
    assert lines == [("unexpected error of a message", {"messageId": "m-1", "error": "KeyError"})]


def test_after_so_many_messages_one_line_says_that_no_more_are_logged(lines):
    log = MessageErrors()
    for number in range(10 * MOST_LOGGED):
        log(f"m-{number}", "KeyError")
    assert [keys.get("messageId") for _, keys in lines] == [*(f"m-{n}" for n in range(MOST_LOGGED)), None]
