"""A message as SQS hands it out, what is inside it, where it may go, and the request that sends it on.

May import `redrive.contracts` only.
"""
