"""Tests of `redrive.contracts`."""
