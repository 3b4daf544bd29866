"""Orders, with a dead-letter queue that can be redriven safely, and the redrive for it."""

from pathlib import Path

from aws_cdk import App, CfnOutput, CfnParameter, CfnStack, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk.aws_lambda_event_sources import SqsEventSource
from constructs import Construct


class Orders(Stack):
    """A queue, its dead-letter queue and its consumer."""

    def __init__(self, scope: Construct, name: str) -> None:
        super().__init__(scope, name)
        dlq = sqs.Queue(
            self,
            "OrdersDLQ",
            queue_name="orders-dlq",
            retention_period=Duration.days(14),  # the longest that SQS keeps messages
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
        )
        timeout = Duration.seconds(30)
        queue = sqs.Queue(
            self,
            "OrdersQueue",
            queue_name="orders",
            visibility_timeout=Duration.seconds(6 * timeout.to_seconds()),
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            dead_letter_queue=sqs.DeadLetterQueue(queue=dlq, max_receive_count=5),
        )
        log_group = logs.LogGroup(self, "OrdersConsumerLogs", retention=logs.RetentionDays.ONE_MONTH)
        # A role of its own, because the default role has a managed policy for all log groups.
        role = iam.Role(self, "OrdersConsumerRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        consumer = lambda_.Function(
            self,
            "OrdersConsumer",
            description="Processes orders.",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_asset(str(Path(__file__).parent / "consumer")),
            timeout=timeout,
            role=role,
            log_group=log_group,
        )
        # Grants the role what a consumer needs, on this queue only.
        consumer.add_event_source(
            SqsEventSource(queue, batch_size=10, max_concurrency=10, report_batch_item_failures=True)
        )


class Redrive(Stack):
    """The redrive for it, from the packaged template."""

    def __init__(self, scope: Construct, name: str) -> None:
        super().__init__(scope, name)
        template_url = CfnParameter(
            self,
            "RedriveTemplateUrl",
            description="URL of packaged.yaml, https://BUCKET.s3.REGION.amazonaws.com/sqs-redrive/packaged.yaml",
        )
        redrive = CfnStack(
            self,
            "Redrive",
            template_url=template_url.value_as_string,
            parameters={"Examples": "false", "QueueNamePattern": "orders*"},
        )
        for output in ("RedriveStateMachineArn", "ReportTopicArn"):
            CfnOutput(self, output, value=redrive.get_att(f"Outputs.{output}").to_string())


app = App()
Orders(app, "orders")
Redrive(app, "orders-redrive")
app.synth()
