"""One module per Lambda function that forwards notices: read the SNS event, format it, send it.

Called by SNS, for the report topic and the alarm topic.
"""

import boto3

from redrive.aws_session import AwsSession

boto3.setup_default_session(botocore_session=AwsSession())
