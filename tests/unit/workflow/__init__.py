"""Tests of `redrive.workflow`."""
