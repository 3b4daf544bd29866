"""Tests: unit (no AWS), integration (moto; the embedded cloud alone), e2e (the app on the embedded cloud)."""
