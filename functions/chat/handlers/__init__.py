"""One module per Lambda function that forwards notices: read the SNS event, format it, send it.

Called by SNS, for the report topic and the alarm topic.
"""

from redrive.aws_session import set_up_boto3

set_up_boto3()
