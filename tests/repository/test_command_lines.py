"""The `redrive` command lines on the pages use commands, options, and arguments that exist."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from redrive.command.main import COMMANDS, cli
from redrive.command.output import Output
from tests.repository.test_docs import PAGES, code_blocks, named

_START = re.compile(r"^(?:\w+=\S+ )*(redrive .*)", re.MULTILINE)
_INLINE = re.compile(r"`(redrive [a-z][^`]*)`")


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield a page's lines that run the command, split as a shell would."""
    yield from (shlex.split(line)[1:] for line in _INLINE.findall(text))
    for block in code_blocks(text):
        joined = re.sub(r"\$\([^()]*\)", "VALUE", block.replace("\\\n", " "))
        for line in _START.findall(joined):
            words = shlex.split(line, comments=True)
            ends = [place for place, word in enumerate(words) if word in {"|", ">", "&&", ";"}]
            yield words[1 : ends[0]] if ends else words[1:]


LINES = [
    pytest.param(words, id=f"{named(path)}: {' '.join(words)}")
    for path in PAGES
    for words in command_lines(path.read_text())
]


def test_the_lines_are_found():
    used = {words[0] for line in LINES for words in line.values}
    assert {"queues", "look", "start", "watch", "stop"} <= used <= set(COMMANDS)


@pytest.mark.parametrize("words", LINES)
def test_every_line_has_options_and_arguments_that_exist(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    group = click.Context(cli, **cli.context_settings)
    command = cli.get_command(group, words[0])
    assert command is not None
    # Text can mention a command without its required arguments.
    if words[1:] and "--help" not in words:
        # Only parses; runs nothing.
        command.make_context(words[0], words[1:], parent=group, obj=Output())
