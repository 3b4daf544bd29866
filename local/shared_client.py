"""Clients that several users share: none of them may change what the others' requests do.

Used by the embedded cloud and by the tests that make clients only once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def shared[Client](client: Client, is_shared: Callable[[], bool] = lambda: True) -> Client:
    """Return a client of boto3 that refuses event handlers as long as it is shared.

    A handler with a `unique_id` is accepted: whoever shares the client registers the same one.
    """
    events: Any = client.meta.events  # type: ignore[attr-defined]
    for name in ("register", "register_first", "register_last"):
        setattr(events, name, _refusing(getattr(events, name), is_shared))
    return client


def _refusing(register: Callable[..., None], is_shared: Callable[[], bool]) -> Callable[..., None]:
    def refuse(event: str, handler: Any, unique_id: str | None = None, **others: Any) -> None:
        if unique_id is None and is_shared():
            problem = f"This client is shared, so others would call the handler of {event}, too."
            raise TypeError(f"{problem} Expected a client with a config of its own, or a unique_id.")
        register(event, handler, unique_id, **others)

    return refuse
