"""Benchmarks: how fast, how dear and how exact the redrive is, beside other tools that do its job.

`make bench` runs the package; docs/benchmarks.md holds the figures and says how to read them.
"""
