"""Turns garbage collection back on after a function's start (`redrive.handlers` turns it off).

Called by every handler module once it has created what all invocations share.
"""

from __future__ import annotations

import gc


def started() -> None:
    """Collect garbage from now on, except among the objects that exist already, because they stay."""
    gc.freeze()
    gc.enable()
