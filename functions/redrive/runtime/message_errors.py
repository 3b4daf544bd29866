"""Logs the messages that raised unexpected errors: their ids and the names of the errors' classes, nothing else.

Created for each invocation that samples or moves, and called by the judging and the pipeline.
"""

from __future__ import annotations

from threading import Lock

from redrive.runtime.task import logger

# A queue may be full of messages of the same kind, and the first ones say what is wrong with all.
MOST_LOGGED = 100


class MessageErrors:
    """Logs each message once, and no more than `MOST_LOGGED` of them."""

    def __init__(self) -> None:
        self._logged: set[str] = set()
        self._full = False
        self._lock = Lock()

    def __call__(self, message_id: str, error: str) -> None:
        """Log that a message raised an error, given as the name of its class: its text may quote the message."""
        with self._lock:
            if message_id in self._logged or self._full:
                return
            self._full = len(self._logged) == MOST_LOGGED
            self._logged.add(message_id)
        if self._full:
            logger.error("more messages raised unexpected errors; they are counted, but not logged")
        else:
            logger.error("unexpected error of a message", messageId=message_id, error=error)
