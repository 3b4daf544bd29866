"""Tests of `redrive.domain.sampling`."""
