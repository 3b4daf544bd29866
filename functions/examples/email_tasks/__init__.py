"""Email tasks: a function URL that accepts requests, and a consumer that sends each email once.

May import `redrive.contracts` and `redrive.domain`.
"""
