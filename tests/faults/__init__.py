"""Runs of the whole app under injected faults, each drawn from a seed and judged by an independent ledger."""
