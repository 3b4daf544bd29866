"""What a sample or a full scan of a queue shows, with nothing in clear that a contract doesn't mark as safe.

May import `judging` and everything to its left; not `moving`.
"""
