"""Progress: a bar that ends full on a terminal, and lines elsewhere."""

import io

import pytest
from rich.console import Console

from local import progress as module
from local.progress import progress


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_bar_is_full_in_the_end_although_the_last_report_was_not():
    shown = console(terminal=True)
    with progress(shown, "Redriving messages", 46) as report:
        report(40)
    assert "46/46" in printed(shown)


def test_a_bar_stays_where_it_is_if_the_work_fails():
    shown = console(terminal=True)
    with pytest.raises(ValueError, match="broken"), progress(shown, "Redriving messages", 46) as report:
        report(40)
        raise ValueError("broken")
    assert "40/46" in printed(shown)
    assert "46/46" not in printed(shown)


def test_without_a_terminal_lines_say_what_is_done_until_it_is(monkeypatch):
    monkeypatch.setattr(module, "LINE_SECONDS", 0.001)
    lines = console(terminal=False)
    with progress(lines, "Redriving messages", 46) as report:
        report(40)
        while "40 of 46" not in printed(lines):
            pass
    first, *_, last = printed(lines).splitlines()
    assert first == "Redriving messages ..."
    assert last == "Redriving messages: 46 of 46, 0 s, done"


def test_without_a_terminal_work_of_unknown_size_has_lines_too():
    lines = console(terminal=False)
    with progress(lines, "Deploying"):
        pass
    assert printed(lines).splitlines() == ["Deploying ...", "Deploying: 0 s, done"]
