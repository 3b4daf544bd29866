"""Tests of `redrive.domain.automatic`."""
