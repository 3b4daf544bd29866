# Orders, with a dead-letter queue that can be redriven safely.

resource "aws_sqs_queue" "orders_dlq" {
  name                      = "orders-dlq"
  message_retention_seconds = 1209600 # 14 days, the longest that SQS keeps messages
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "orders" {
  name                       = "orders"
  visibility_timeout_seconds = 180 # six times the consumer's timeout
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.orders_dlq.arn
    maxReceiveCount     = 5
  })
}

resource "aws_sqs_queue_policy" "refuse_plain_http" {
  for_each  = { orders = aws_sqs_queue.orders, dlq = aws_sqs_queue.orders_dlq }
  queue_url = each.value.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RefusePlainHttp"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = each.value.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

data "archive_file" "consumer" {
  type        = "zip"
  source_dir  = "${path.module}/consumer"
  output_path = "${path.module}/consumer.zip"
}

resource "aws_lambda_function" "orders_consumer" {
  function_name    = "orders-consumer"
  description      = "Processes orders."
  runtime          = "python3.13"
  handler          = "index.handler"
  filename         = data.archive_file.consumer.output_path
  source_code_hash = data.archive_file.consumer.output_base64sha256
  timeout          = 30
  role             = aws_iam_role.orders_consumer.arn
  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.orders_consumer.name
  }
}

resource "aws_cloudwatch_log_group" "orders_consumer" {
  name              = "/orders/consumer"
  retention_in_days = 30
}

resource "aws_lambda_event_source_mapping" "orders" {
  event_source_arn        = aws_sqs_queue.orders.arn
  function_name           = aws_lambda_function.orders_consumer.arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]
  scaling_config { maximum_concurrency = 10 } # however fast a redrive is
  depends_on              = [aws_iam_role_policy.consume]
}

resource "aws_iam_role" "orders_consumer" {
  name = "orders-consumer"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "consume" {
  name = "consume"
  role = aws_iam_role.orders_consumer.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        Resource = aws_sqs_queue.orders.arn
      },
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.orders_consumer.arn}:*"
      }
    ]
  })
}
