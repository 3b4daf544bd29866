"""Shows how a shell reads a command line, to check commands that are printed for pasting."""

import subprocess

# Shell functions replace the programs.
_PROGRAMS = "".join(f"{name}() {{ printf '%s\\0' {name} \"$@\"; }}\n" for name in ("redrive", "aws", "sam"))


def words(command: str) -> list[str]:
    """Return the words of a command line, as bash reads it."""
    environment = {"LC_ALL": "C.UTF-8", "PATH": ""}
    script = ["/bin/bash", "-c", _PROGRAMS + command]
    found = subprocess.run(script, env=environment, capture_output=True, check=True)
    assert not found.stderr, found.stderr
    return found.stdout.decode().split("\0")[:-1]
