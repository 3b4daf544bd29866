"""Suggested commands repeat the operator's profile, Region, and stack, quoted for a shell."""

import ast
import re
from pathlib import Path

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from redrive.command import main, shared
from redrive.command.output import Output
from redrive.command.shared import again, with_stack
from redrive.domain.plain_text import plain
from tests.support.shell import words

VERBS = "|".join(main.COMMANDS)
NAMES = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
STACKS = st.none() | st.from_regex(r"[a-zA-Z][-a-zA-Z0-9]{0,8}", fullmatch=True)


def suggested(command: str, **options: str | None) -> list[str]:
    """Return the words of a command that a process with these options suggests."""
    found: list[str] = []

    @click.command
    @with_stack
    @shared.shared
    def started(stack_name: str) -> None:
        assert stack_name
        shown = again(command)
        assert plain(shown) == shown
        found.extend(words(shown))

    options_given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    started.main(options_given, standalone_mode=False, obj=Output())
    return found


@given(st.sampled_from(sorted(main.COMMANDS)), NAMES, NAMES, STACKS)
@example("look", None, "eu-west-1", "pay")
@example("start", "it's", None, "sqs-redrive")
@example("stop", "a\nb\u202e\\", "\x1b[31m'$(x)`", None)
def test_a_suggested_command_leads_to_where_the_operator_is(verb, profile, region, stack):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("REDRIVE_STACK", raising=False)
        [_, found, queue, *options] = suggested(f"redrive {verb} q", profile=profile, region=region, stack=stack)
    assert (found, queue) == (verb, "q")
    expected = {"--profile": profile, "--region": region}
    command = main.Commands().get_command(click.Context(main.cli), verb)
    assert command is not None
    if any(parameter.name == "stack_name" for parameter in command.params) and stack != "sqs-redrive":
        expected["--stack"] = stack
    pairs = dict(zip(options[::2], options[1::2], strict=True))
    assert pairs == {name: value for name, value in expected.items() if value}


def test_the_stack_of_the_environment_is_not_repeated(monkeypatch):
    monkeypatch.setenv("REDRIVE_STACK", "pay")
    assert suggested("redrive watch") == ["redrive", "watch"]
    assert suggested("redrive watch", stack="sqs-redrive") == ["redrive", "watch", "--stack", "sqs-redrive"]


def test_outside_a_command_it_stays_as_it_is():
    assert again("redrive look q") == "redrive look q"


def unplaced(node: ast.AST) -> list[str]:
    """Return the texts below a node that name a command, and that don't go through `again`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "again":
        return []
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
        # Docstrings don't count, because operators never see them as advice.
        return [text for each in node.body if not _is_text(each) for text in unplaced(each)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.findall(rf"(?<!`)\bredrive (?:{VERBS})\b", node.value)
    return [text for each in ast.iter_child_nodes(node) for text in unplaced(each)]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@pytest.mark.parametrize("file", sorted(Path(main.__file__).parent.glob("*.py")), ids=lambda file: file.stem)
def test_no_module_suggests_a_command_without_saying_where(file):
    assert unplaced(ast.parse(file.read_text())) == []
