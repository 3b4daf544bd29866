"""The event-driven side: producers and the SQS-triggered consumers whose dead letters the redrive returns.

Each module is one Lambda, named in template.yaml.
"""
