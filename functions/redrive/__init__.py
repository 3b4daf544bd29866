"""Redrives dead-letter queues: samples, judges, throttles, and reports.

handlers → runtime → adapters → workflow → domain → contracts; nothing points back up, and nothing here imports an
example.
"""

#: As in pyproject.toml. Commands and stacks of the same version work together.
VERSION = "0.2.0"

# Every handler imports this package first. If the native code was packaged for another processor or another Python, the
# error of Python names neither.
try:
    import pydantic_core as pydantic_core
except ImportError as error:
    from redrive.package_mismatch import mismatch

    raise ImportError(mismatch(error)) from error
