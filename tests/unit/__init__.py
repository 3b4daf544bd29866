"""Unit tests: everything that decides without AWS, in folders named as the packages are."""
