# The redrive for the orders, from the packaged template.

variable "redrive_template_url" {
  description = "Where packaged.yaml lies, https://BUCKET.s3.REGION.amazonaws.com/sqs-redrive/packaged.yaml"
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
  description = "Start an execution of it to redrive a dead-letter queue."
  value       = aws_cloudformation_stack.redrive.outputs["RedriveStateMachineArn"]
}

output "report_topic_arn" {
  description = "The topic that reports go to."
  value       = aws_cloudformation_stack.redrive.outputs["ReportTopicArn"]
}
