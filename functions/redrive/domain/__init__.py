"""What a redrive is and decides: plain functions and values, no boto3 and no Powertools.

Called by the handlers; time, randomness and queues come in as arguments.
"""
