"""What the Lambda handlers share: settings from the environment, the task decorator with its log, metrics.

May import `redrive.workflow`, `redrive.adapters`, and everything below.
"""
