"""Deployment packages with changed code, for the tests that deploy another version or a broken one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath


def with_changed(package: bytes, module: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return a package with another source of one module, such as `redrive/handlers/mover.py`.

    Its bytecode is left out, because Python wouldn't compare it with the source.
    """
    path, changed = PurePosixPath(module), io.BytesIO()
    bytecode = f"{path.parent}/__pycache__/{path.stem}."
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(changed, "w") as new:
        assert module in old.namelist()
        for entry in old.infolist():
            if not entry.filename.startswith(bytecode):
                content = old.read(entry)
                new.writestr(entry, change(content) if entry.filename == module else content)
    return changed.getvalue()
