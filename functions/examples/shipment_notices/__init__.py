"""Shipment notices: an asynchronously invoked function with an on-failure destination.

May import `redrive.contracts` and `redrive.domain`.
"""
