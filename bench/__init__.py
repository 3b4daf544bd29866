"""Benchmarks: how fast, how expensive, and how exact the redrive is, compared with other tools that do the same job.

`make bench` runs the package; docs/design/benchmarks.md holds the figures and says how to read them.
"""
