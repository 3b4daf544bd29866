"""Says what a package was built for, if it can't run here.

Each package that has Lambda handlers checks it first: if the native code was packaged for another processor or another
Python, the error of Python names neither.
"""

import platform
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path


def check_package() -> None:
    """Import native code.

    Raises
    ------
    ImportError
        If it can't be imported. The text says what was expected, what was found, and what to do.
    """
    try:
        import_module("pydantic_core")
    except ImportError as error:
        raise ImportError(_mismatch(error)) from error


def _mismatch(error: ImportError) -> str:
    expected = f"cpython-{sys.version_info.major}{sys.version_info.minor}-{platform.machine()}"
    spec = find_spec("pydantic_core")
    folders = spec.submodule_search_locations if spec else None
    built_for = sorted(path.name.split(".")[1] for folder in folders or [] for path in Path(folder).glob("*.so"))
    if not built_for or any(name.startswith(expected) for name in built_for):
        return str(error)
    return (
        f"Expected native packages for {expected}, found {', '.join(built_for)}: this package was built for another "
        "processor or another Python. Run sam build and sam deploy with the same Architecture in their "
        "--parameter-overrides: arm64 (the default) or x86_64."
    )
