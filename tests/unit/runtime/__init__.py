"""Tests of `redrive.runtime`."""
