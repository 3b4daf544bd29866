"""Runs one consumer in a separate process: calls its handler with events and prints the time per message.

Started by `bench.consumers`; `time` stubs out the consumer's work, `count` does it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from typing import Any

from bench.consumers import CONSUMERS, Consumer

# The first calls create clients and validators.
_WARM_UP = 20


class Context:
    """The part of Lambda's context that a handler uses."""

    function_name = "bench"

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left before the invocation times out."""
        return 30_000


class Nothing:
    """Replaces the consumer's work: every attribute is a function that does nothing."""

    def __getattr__(self, _name: str) -> Nothing:
        return self

    def __call__(self, *_arguments: Any, **_named: Any) -> None:
        """Do nothing."""


def main() -> None:
    """Consume the messages and print the microseconds of processor time per message."""
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("messages", type=int)
    parser.add_argument("mode", choices=["time", "count"])
    arguments = parser.parse_args()
    (consumer,) = (consumer for consumer in CONSUMERS if consumer.module == arguments.module)
    module = importlib.import_module(consumer.module)
    events = consumer.events(arguments.messages)
    if arguments.mode == "count":
        for event in events:
            module.handler(event, Context())
        print(json.dumps({}))
        return
    for path in consumer.work:
        _replace(module, path)
    for event in events[:_WARM_UP]:
        module.handler(event, Context())
    handler = _handler_seconds(module, events) / arguments.messages
    loop = _loop_seconds(consumer, events) / arguments.messages
    print(json.dumps({"handler": 1e6 * handler, "loop": 1e6 * loop}))


def _replace(module: Any, path: str) -> None:
    *owners, name = path.split(".")
    owner = module
    for step in owners:
        owner = getattr(owner, step)
    setattr(owner, name, Nothing())


def _handler_seconds(module: Any, events: list[Any]) -> float:
    started = time.process_time()
    for event in events:
        module.handler(event, Context())
    return time.process_time() - started


def _loop_seconds(consumer: Consumer, events: list[Any]) -> float:
    texts = [
        [record["body"] for record in event["Records"]] if consumer.batch > 1 else [json.dumps(event)]
        for event in events
    ]
    started = time.process_time()
    for bodies in texts:
        for body in bodies:
            json.loads(body)
    return time.process_time() - started


if __name__ == "__main__":
    main()
