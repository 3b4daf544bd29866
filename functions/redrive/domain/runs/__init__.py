"""A run from round to round, and the report at its end.

May import `moving`, `sampling`, and everything to their left.
"""
