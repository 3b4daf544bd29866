"""One lane: which SQS requests to make next, decided without making any.

May import `judging` and everything to its left; not `sampling`.
"""
