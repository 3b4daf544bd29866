"""Tests of `redrive.domain.rules`."""
