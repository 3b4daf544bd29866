"""What a shell makes of a command line: the oracle of commands that are printed to be pasted."""

import subprocess

# Functions take the place of the programs.
_PROGRAMS = "".join(f"{name}() {{ printf '%s\\0' {name} \"$@\"; }}\n" for name in ("redrive", "aws", "sam"))


def words(command: str) -> list[str]:
    """Return the words of a command line, as bash reads it."""
    environment = {"LC_ALL": "C.UTF-8", "PATH": ""}
    script = ["/bin/bash", "-c", _PROGRAMS + command]
    found = subprocess.run(script, env=environment, capture_output=True, check=True)
    assert not found.stderr, found.stderr
    return found.stdout.decode().split("\0")[:-1]
