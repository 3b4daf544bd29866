"""Options make the same input as JSON does, whatever keys it has."""

import json
from functools import partial

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.command.exits import CommandError, Exit
from redrive.command.run_options import read_input, with_input
from redrive.domain.errors import RejectedError
from redrive.domain.plain_text import plain
from redrive.domain.plan.input_options import as_options
from redrive.domain.plan.request import RedriveRequest, parse_request
from tests.support.shell import words

texts = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="="), min_size=1, max_size=20)
patterns = st.lists(texts.map(lambda text: f"a{text}"), min_size=1, max_size=3)
names = st.sampled_from(["store", "store_id", "order.id", "a-b"])
INPUTS = st.fixed_dictionaries(
    {},
    optional={
        "destination": st.sampled_from(["orders", "arn:aws:sqs:us-east-1:123456789012:orders"]),
        "dryRun": st.just(True),
        "rate": st.integers(1, 10_000) | st.floats(0.1, 10_000),
        "maxMessages": st.integers(1, 10**9),
        "select": st.fixed_dictionaries(
            {"source": patterns},
            optional={
                "envelope": st.lists(st.sampled_from(["none", "sns-notification"]), min_size=1, max_size=2),
                "errorType": patterns,
                "attributes": st.dictionaries(names, st.none() | texts, min_size=1),
                "sentAfter": st.just("2026-11-24T03:00:00+01:00"),
                "minAge": st.integers(0, 1_209_600),
                "jmespath": st.sampled_from(["total > `100`", "a.'b c'"]),
            },
        ),
        "repair": st.fixed_dictionaries(
            {"patch": st.just([{"op": "add", "path": "/it's", "value": {"a b": 1.5}}])},
            optional={
                "renameAttributes": st.just({"store": "store_id"}),
                "setAttributes": st.just({"x": {"value": "$HOME `id`"}, "y": {"type": "Number", "value": 7}}),
            },
        ),
        "onInvalid": st.just("leave"),
        "traceHeader": st.just("fresh"),
        "trustedDestinations": st.just(["arn:aws:lambda:us-east-1:123456789012:function:orders"]),
        "allowNestedDlq": st.just(True),
    },
)


@click.command()
@click.argument("queue", required=False)
@with_input
def _read(queue, file, **options):
    return read_input(queue, file, options)


def read(*arguments: str, stdin: str | bytes = "") -> dict:
    result = CliRunner().invoke(_read, arguments, input=stdin, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    made: dict = result.return_value
    return made


@settings(max_examples=150, deadline=None)
@given(run_input=INPUTS)
def test_options_and_a_file_make_the_same_input(run_input):
    expected = {"dlq": "orders-dlq"} | run_input
    try:
        parse_request(expected)
    except RejectedError:
        with pytest.raises(CommandError):
            read("--input", "-", stdin=json.dumps(expected))
        return
    line = " ".join(["redrive", *as_options(expected)])
    assert plain(line) == line
    options = words(line)[1:]
    assert read("orders-dlq", *options) == expected
    assert read("--input", "-", stdin=json.dumps(expected)) == expected
    assert read("orders-dlq", "--input", "-", stdin=json.dumps(run_input)) == expected


def test_every_key_of_the_input_is_an_option():
    @click.command()
    @with_input
    def command():
        pass

    flags = {flag for option in command.params for flag in option.opts}
    for name, field in RedriveRequest.model_fields.items():
        key = field.alias or name
        flag = "--" + "".join(f"-{sign.lower()}" if sign.isupper() else sign for sign in key)
        assert key in {"dlq", "startedBy"} or any(found.startswith(flag) for found in flags), key


def test_the_help_has_the_defaults_and_no_dry_run_where_there_is_none():
    @click.command()
    @partial(with_input, shows_dry_run=False)
    def command():
        pass

    shown = " ".join(command.get_help(click.Context(command)).split())
    assert "over all lanes. What goes into quarantine isn't limited. Default: 50." in shown
    assert "this many times is quarantined. Default: 3." in shown
    assert "--dry-run" not in shown


def test_options_take_precedence_over_the_file():
    given_file = {"rate": 5, "select": {"source": ["a"], "minAge": 1}}
    made = read("dlq", "--input", "-", "--rate", "7.5", "--select-source", "b", stdin=json.dumps(given_file))
    assert made == {"dlq": "dlq", "rate": 7.5, "select": {"source": ["b"], "minAge": 1}}


def test_a_file_is_read_in_any_encoding_of_json(tmp_path):
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "input.json").write_bytes('{"dlq": "orders-dlq"}'.encode(encoding))
        assert read("--input", str(tmp_path / "input.json")) == {"dlq": "orders-dlq"}


SECRET = "zqxj"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{SECRET}", "found a text that isn't JSON"),
        ("", "found a text that isn't JSON"),
        ("[" * 100_000, "found a text that isn't JSON"),
        (f'["{SECRET}"]', "expected a JSON object"),
        ("null", "expected a JSON object"),
        (f'{{"rat": "{SECRET}"}}', "did you mean rate?"),
        (f'{{"rate": "{SECRET}"}}', "rate: expected a number"),
        ('{"rate": NaN}', "rate: expected a number"),
        (f'{{"dlq": "{SECRET}"}}', "names another queue"),
        ('{"select": 5}', "select: expected an object"),
        ('{"repair": {"setAttributes": [1]}}', "repair.setAttributes: expected an object"),
        ('{"repair": {"patch": [{"op": "add", "path": "/a", "value": 0.10000000000000000000001}]}}', "15 significant"),
        ('{"rate": 5, "because": "' + "a" * 300_000 + '"}', "at most 262,144 bytes"),
        (b"\xff\xfe\x00\xd8\x00", "found another encoding"),
    ],
)
def test_a_file_that_is_no_input_is_wrong_usage_and_never_quoted(text, expected):
    with pytest.raises(CommandError) as error:
        read("orders-dlq", "--input", "-", "--select-source", "a", stdin=text)
    assert error.value.exit is Exit.USAGE
    assert expected in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Name the dead-letter queue"),
        (["q", "--repair-patch", SECRET], "--repair-patch: expected JSON"),
        (["q", "--repair-rename-attributes", SECRET], "--repair-rename-attributes: expected NAME=TEXT"),
        (["q", "--repair-set-attributes", '{"a": {"value": 0.10000000000000000000001}}'], "15 significant"),
        (["q", "--repair-patch", "5"], "repair.patch: expected a list"),
        (["q", "--rate", "nan"], "rate: expected a number"),
        (["q", "--input", "/nowhere/input.json"], "can't be read"),
        (["q", "--input", "/"], "can't be read"),
    ],
)
def test_options_that_are_no_input_are_wrong_usage(arguments, expected):
    with pytest.raises(CommandError) as error:
        read(*arguments)
    assert error.value.exit is Exit.USAGE
    assert expected in str(error.value)
    assert SECRET not in str(error.value)
