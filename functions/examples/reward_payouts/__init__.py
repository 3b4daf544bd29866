"""Reward payouts: a FIFO queue, a ledger, and a payment gateway that must not be overloaded.

May import `redrive.contracts` and `redrive.domain`.
"""
