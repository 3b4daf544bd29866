"""One consumer in a process of its own: calls its handler with events, and prints what each message took.

`bench.consumers` runs it; `time` leaves the consumer's work out, `count` does it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from typing import Any

from bench.consumers import CONSUMERS, Consumer

# Clients and validators are made by the first calls.
_WARM_UP = 20


class Context:
    """What a handler asks of Lambda's context."""

    function_name = "bench"

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left of the invocation."""
        return 30_000


class Nothing:
    """Stands for work that is left out: a function that does nothing, or something that has such."""

    def __getattr__(self, _name: str) -> Nothing:
        return self

    def __call__(self, *_arguments: Any, **_named: Any) -> None:
        """Do nothing."""


def main() -> None:
    """Consume, and print microseconds of processor time for each message."""
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("messages", type=int)
    parser.add_argument("what", choices=["time", "count"])
    given = parser.parse_args()
    (consumer,) = (consumer for consumer in CONSUMERS if consumer.module == given.module)
    module = importlib.import_module(consumer.module)
    events = consumer.events(given.messages)
    if given.what == "count":
        for event in events:
            module.handler(event, Context())
        print(json.dumps({}))
        return
    for path in consumer.work:
        _replace(module, path)
    for event in events[:_WARM_UP]:
        module.handler(event, Context())
    handler = _handler_seconds(module, events) / given.messages
    loop = _loop_seconds(consumer, events) / given.messages
    print(json.dumps({"handler": 1e6 * handler, "loop": 1e6 * loop}))


def _replace(module: Any, path: str) -> None:
    *owners, name = path.split(".")
    owner = module
    for step in owners:
        owner = getattr(owner, step)
    setattr(owner, name, Nothing())


def _handler_seconds(module: Any, events: list[Any]) -> float:
    began = time.process_time()
    for event in events:
        module.handler(event, Context())
    return time.process_time() - began


def _loop_seconds(consumer: Consumer, events: list[Any]) -> float:
    texts = [
        [record["body"] for record in event["Records"]] if consumer.batch > 1 else [json.dumps(event)]
        for event in events
    ]
    began = time.process_time()
    for bodies in texts:
        for body in bodies:
            json.loads(body)
    return time.process_time() - began


if __name__ == "__main__":
    main()
