"""The only place that imports boto3: queues, the runs table, deliveries, contracts, alarms, executions.

May import `redrive.workflow.ports`, `redrive.domain`, and `redrive.contracts`.
"""
