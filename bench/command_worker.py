"""Runs the `redrive` command and counts its requests to AWS.

`bench.command` starts it in a separate process, with the command's arguments.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any

from botocore.client import BaseClient

from redrive.command.main import run


def main() -> int:
    """Run the command without its output; print the number of its requests."""
    calls: list[str] = []
    client_type: Any = BaseClient
    make_call = client_type._make_api_call

    def counted(client: Any, operation: str, parameters: Any) -> Any:
        calls.append(operation)
        return make_call(client, operation, parameters)

    client_type._make_api_call = counted
    with contextlib.redirect_stdout(io.StringIO()):
        status = run()
    print(json.dumps({"calls": len(calls)}))
    return status


if __name__ == "__main__":
    sys.exit(main())
