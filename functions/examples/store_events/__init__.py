"""Store events: a stream of events, their consumer, and a notice of quarantined events by store.

May import `redrive.contracts` and `redrive.domain`.
"""
