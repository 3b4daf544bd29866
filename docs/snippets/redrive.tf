# The redrive for the orders, from the packaged template.

variable "redrive_template_url" {
  description = "URL of packaged.yaml, https://BUCKET.s3.REGION.amazonaws.com/sqs-redrive/packaged.yaml"
  type        = string
}

resource "aws_cloudformation_stack" "redrive" {
  name         = "orders-redrive"
  template_url = var.redrive_template_url
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
  parameters = {
    Examples         = "false"
    QueueNamePattern = "orders*"
  }
}

output "redrive_state_machine_arn" {
  description = "State machine. Start an execution to redrive a dead-letter queue."
  value       = aws_cloudformation_stack.redrive.outputs["RedriveStateMachineArn"]
}

output "report_topic_arn" {
  description = "Topic of reports."
  value       = aws_cloudformation_stack.redrive.outputs["ReportTopicArn"]
}
