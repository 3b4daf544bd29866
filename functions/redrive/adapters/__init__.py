"""The only importers of boto3: SQS queues, the table of runs, Step Functions executions.

Called by the handlers; they turn boto3's errors into the domain's.
"""
