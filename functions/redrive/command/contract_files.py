"""The contracts of a run without a stack: JSON Schemas in files that the operator names.

Used by the commands that judge messages in this process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from redrive.command.exits import CommandError, Exit
from redrive.command.output import Output
from redrive.contracts.contract import MessageContract
from redrive.contracts.json_schema import SchemaContract
from redrive.contracts.registry import ContractMapping
from redrive.contracts.schema_parts import InvalidSchemaError
from redrive.domain.plain_text import shell_word
from redrive.workflow.whole_run import ContractFile

# The name of a contract that is given without one.
_EVERY = "*"


def with_contracts[F: Callable[..., Any]](function: F) -> F:
    """Add the option that names contracts: the argument `contracts`."""
    option: Callable[[F], F] = click.option(
        "--contract",
        "contracts",
        multiple=True,
        metavar="[NAME=]FILE",
        help="A JSON Schema that valid messages match, for one queue or function, or for all. Can be repeated.",
    )
    return option(function)


def contract_options(given: Iterable[str]) -> list[str]:
    """Return the options that pass the same contracts to another command, quoted for a shell."""
    return [f"--contract {shell_word(text)}" for text in given]


def read_contracts(given: Iterable[str]) -> dict[str, ContractFile]:
    """Return the JSON Schemas in files by the name of a queue or function; `*` for every other.

    Raises
    ------
    CommandError
        If a file can't be read or isn't a JSON Schema.
    """
    found: dict[str, ContractFile] = {}
    for text in given:
        name, sign, file = text.partition("=")
        name, file = (name, file) if sign else (_EVERY, text)
        try:
            raw = Path(file).read_bytes()
            found[name] = ContractFile(file=Path(file).name, schema_text=raw.decode(json.detect_encoding(raw)))
            _contract(found[name])
        except OSError as error:
            raise CommandError(f"--contract: {file!r} can't be read: {error.strerror}.", Exit.USAGE) from None
        except InvalidSchemaError as error:
            raise CommandError(
                f"--contract: {file} isn't a JSON Schema that can be used: {error}", Exit.USAGE
            ) from None
        except (ValueError, RecursionError):
            raise CommandError(f"--contract: expected a JSON Schema in {file}, found no JSON.", Exit.USAGE) from None
    return found


class Contracts:
    """Contracts by the names of queues and functions.

    Parameters
    ----------
    files : Mapping[str, ContractFile]
        JSON Schemas, as `read_contracts` returns them.
    """

    def __init__(self, files: Mapping[str, ContractFile]) -> None:
        self._contracts = {name: _contract(file) for name, file in files.items()}
        # An exact name takes precedence over a pattern, and the first pattern over later ones, as in a stack.
        last = sorted(files, key=lambda name: name == _EVERY)
        self._mapping = ContractMapping(tuple((name, name) for name in last))
        self._unused = files.keys() - {_EVERY}

    def find(self, name: str) -> MessageContract | None:
        """Return the contract for a queue or function, or None if it has none."""
        pair = self._mapping.pair(name)
        if pair is None:
            return None
        self._unused.discard(pair[0])
        return self._contracts[pair[1]]

    def say_unused(self, output: Output) -> None:
        """Name the contracts that no message was judged with."""
        for name in sorted(self._unused):
            output.warn(f"No message would go to {name}, so its contract wasn't used.")


def _contract(file: ContractFile) -> MessageContract:
    return SchemaContract(file.file, json.loads(file.schema_text, parse_float=Decimal))
