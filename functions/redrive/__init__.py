"""Redrives dead-letter queues: samples, judges, throttles, and reports.

handlers → runtime → adapters → workflow → domain → contracts; nothing points back up, and nothing here imports an
example.
"""

#: As in pyproject.toml. Commands and stacks of the same version work together.
VERSION = "0.2.0"
