"""The use cases: one module per step of a run, each a plain callable that takes its ports as arguments.

May import `redrive.domain` and `redrive.contracts`; the handlers and, on a laptop, a command pass the adapters in.
"""
