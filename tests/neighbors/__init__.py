"""Neighbors of cases that once failed: generated inputs of the same kind, judged by oracles of their own."""
