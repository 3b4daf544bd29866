"""Contracts: what a valid message looks like, as a pydantic model or a JSON Schema.

Consumers parse messages with a contract, and the redrive judges messages with the same one. Imports nothing else of
this app.
"""
