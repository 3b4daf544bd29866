"""Texts that come from outside, as they may be shown: without what a terminal or a browser would act on.

Used by the report page and by what the `redrive` command prints.
"""

from __future__ import annotations

import re
import shlex
import unicodedata

# Control characters, also those that change the direction of a text or can't be seen; halves of surrogate pairs; line
# and paragraph separators.
_ACTED_ON = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# An argument that looks like an option, as `redrive_command` puts it: one word, perhaps quoted by `shell_word`.
_LAST = re.compile(r""" -- (?:-[A-Za-z0-9@%+=:,./_-]*|'-(?:[^']|'"'"')*'|\$'-(?:[^'\\]|\\.)*')$""", re.DOTALL)


def plain(text: str, *, keep: str = "") -> str:
    """Return a text without what could hide or reorder parts of it: each such character becomes `�`.

    Parameters
    ----------
    text : str
        The text.
    keep : str
        Characters that stay, such as a line break.
    """
    return "".join("�" if _is_acted_on(sign) and sign not in keep else sign for sign in text)


def shell_word(text: str) -> str:
    """Return a text quoted as one word for bash or zsh, in a form that `plain` doesn't change."""
    if not any(map(_is_acted_on, text)):
        return shlex.quote(text)
    # Bash Reference Manual, "ANSI-C Quoting".
    return "$'" + "".join(map(_escaped, text)) + "'"


def redrive_command(verb: str, argument: str, *options: str) -> str:
    """Return a `redrive` command line. An argument that looks like an option comes last, after `--`.

    Names of queues and runs can begin with a hyphen.

    Parameters
    ----------
    verb : str
        Such as `look`.
    argument : str
        A queue or a run.
    options : str
        As a shell takes them.
    """
    word = shell_word(argument)
    words = [*options, "--", word] if argument.startswith("-") else [word, *options]
    return " ".join(["redrive", verb, *words])


def with_options(command: str, *options: str) -> str:
    """Return a command line with more options, which come before an argument that looks like an option."""
    last = _LAST.search(command)
    end = len(command) if last is None else last.start()
    return " ".join([command[:end], *options]) + command[end:]


def _is_acted_on(sign: str) -> bool:
    return unicodedata.category(sign) in _ACTED_ON


def _escaped(sign: str) -> str:
    if sign in "\\'":
        return f"\\{sign}"
    return f"\\U{ord(sign):08x}" if _is_acted_on(sign) else sign
