"""One module for each Lambda that passes notices on: read the SNS event, format, send.

Called by SNS, for the topic of reports and the topic of alarms.
"""
