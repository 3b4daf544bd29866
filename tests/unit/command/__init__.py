"""Tests of the parts of the command that decide what a person sees."""
