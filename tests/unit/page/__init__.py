"""Tests of `redrive.domain.page`."""
