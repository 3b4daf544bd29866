"""Tests of `redrive.domain.runs`."""
