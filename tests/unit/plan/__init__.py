"""Tests of `redrive.domain.plan`."""
