"""The verdict on one message: redrive, quarantine, or skip, with the request that carries it out.

May import `plan` and everything to its left.
"""
