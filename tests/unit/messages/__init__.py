"""Tests of `redrive.domain.messages`."""
