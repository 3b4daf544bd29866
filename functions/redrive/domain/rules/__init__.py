"""What an operator may ask of each message: selection and repair, with the queries that both use.

May import `messages` and `redrive.contracts`.
"""
