"""Ends the start of a function, in which nothing looks for garbage (`redrive.handlers`).

Called by every handler module when it has made what all invocations share.
"""

from __future__ import annotations

import gc


def started() -> None:
    """Look for garbage from now on, but never again in what is there already, because it stays."""
    gc.freeze()
    gc.enable()
