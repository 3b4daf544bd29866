"""The only place that talks to AWS: queues, the runs table, deliveries, contracts, alarms, executions.

May import `redrive.workflow.ports`, `redrive.domain`, and `redrive.contracts`.
"""
