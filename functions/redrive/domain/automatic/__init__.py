"""Automatic starts: their triggers, their limits, and the decision what to do next.

May import everything else in `domain`.
"""
