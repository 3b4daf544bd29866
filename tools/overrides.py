"""Prints the parameters in the variable PARAMETERS, a JSON object, as `sam deploy --parameter-overrides` takes them.

Called by the workflow deploy.yml, one line for each. A value stays one value, whatever is in it, and can't become an
option.
"""

from __future__ import annotations

import json
import os
import re
import sys

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")


class OverridesError(Exception):
    """The parameters aren't a JSON object of names and values."""


def overrides(text: str) -> list[str]:
    """Return each parameter as NAME="VALUE", with quotation marks and backslashes in the value escaped.

    Raises
    ------
    OverridesError
        Says what was expected and what was found.
    """
    try:
        given = json.loads(text)
    except ValueError:
        raise OverridesError('Expected a JSON object such as {"Examples": "false"}, found no JSON.') from None
    if not isinstance(given, dict):
        raise OverridesError(f'Expected a JSON object such as {{"Examples": "false"}}, found a {type(given).__name__}.')
    for name, value in given.items():
        if not _NAME.fullmatch(name) or not isinstance(value, str) or not value.isprintable():
            raise OverridesError(
                "Expected names of the template's parameters, each with a string of one line as its value; found "
                f"{json.dumps(name)[:80]} with a value of type {type(value).__name__}."
            )
    return [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in given.items()]


if __name__ == "__main__":
    try:
        print(*overrides(os.environ.get("PARAMETERS", "")), sep="\n")
    except OverridesError as error:
        sys.exit(f"error: {error}")
