"""Scenarios that show the deployed app at work: one module each, with a function `play(stage)`.

`local.scenario` finds them by name; `local.demo` lists those that `make demo` runs.
"""
