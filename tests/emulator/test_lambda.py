"""The embedded cloud's Lambda, as far as ministack alone differs from AWS."""

import base64
import json
from itertools import pairwise

import pytest

from tests.support.cloud_resources import (
    invoke,
    make_function,
    make_queue,
    subscribe_function,
    unique,
)
from tests.support.eventually import eventually


def test_an_error_has_the_name_of_its_class_its_message_and_its_stack(cloud):
    function = make_function(
        cloud,
        """
        class FlakyError(Exception): ...

        def handle(event, context):
            raise FlakyError("no luck")
        """,
    )

    answer = invoke(cloud, function)

    assert (answer["errorType"], answer["errorMessage"]) == ("FlakyError", "no luck")
    assert 'raise FlakyError("no luck")' in answer["stackTrace"][-1]


def test_a_worker_stays_warm_after_an_error(cloud):
    function = make_function(
        cloud,
        """
        calls = 0

        def handle(event, context):
            global calls
            calls += 1
            if event == "fail":
                raise ValueError
            return calls
        """,
    )
    invoke(cloud, function, "fail")

    assert invoke(cloud, function) == 2


def test_a_function_that_prints_nothing_is_not_slowed_down(cloud):
    function = make_function(cloud, "def handle(event, context): return event")
    client = cloud.client("cloudwatch")
    for _ in range(5):
        invoke(cloud, function)

    statistics = client.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Duration",
        Dimensions=[{"Name": "FunctionName", "Value": function}],
        StartTime=0,
        EndTime=4102444800,
        Period=86400,
        Statistics=["Minimum"],
    )

    assert statistics["Datapoints"][0]["Minimum"] < 40


def test_the_whole_log_of_an_invocation_is_returned_whatever_its_pauses(cloud):
    function = make_function(
        cloud,
        """
        import os, time

        def handle(event, context):
            print("first")
            time.sleep(0.1)
            os.system("echo second")
            return "answer"
        """,
    )

    response = cloud.client("lambda").invoke(FunctionName=function, LogType="Tail")

    assert json.loads(response["Payload"].read()) == "answer"
    assert base64.b64decode(response["LogResult"]).decode().split() == ["first", "second"]


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("os._exit(3)", "Runtime exited with error: exit status 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        ("sys.exit(0)", "Runtime exited without providing a reason"),
    ],
)
def test_a_crash_is_an_exit_error_and_the_next_invocation_gets_a_fresh_worker(cloud, ending, reason):
    function = make_function(
        cloud,
        f"""
        import os, signal, sys

        def handle(event, context):
            if event == "crash":
                {ending}
            return os.getpid()
        """,
    )
    before = invoke(cloud, function)

    answer = invoke(cloud, function, "crash")

    assert answer["errorType"] == "Runtime.ExitError"
    assert answer["errorMessage"].endswith(reason)
    assert isinstance(before, int)
    assert invoke(cloud, function) not in (before, None)


def test_a_timeout_is_reported_as_such_and_the_next_invocation_gets_a_fresh_worker(cloud):
    function = make_function(
        cloud,
        """
        import os, time

        def handle(event, context):
            time.sleep(5 if event == "hang" else 0)
            return os.getpid()
        """,
        Timeout=1,
    )
    before = invoke(cloud, function)

    answer = invoke(cloud, function, "hang")

    assert answer["errorType"] == "Sandbox.Timedout"
    assert answer["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert invoke(cloud, function) != before


@pytest.mark.parametrize(
    ("source", "error_type"),
    [
        ("import nowhere", "Runtime.ImportModuleError"),
        ("other = 1", "Runtime.HandlerNotFound"),
        ("def handle(event, context) return", "Runtime.UserCodeSyntaxError"),
        ("raise LookupError('a setting is missing')", "LookupError"),
        ("import os; os._exit(1)", "Runtime.ExitError"),
        ("def handle(event, context): return {1, 2}", "Runtime.MarshalError"),
    ],
)
def test_a_function_that_cannot_run_says_why(cloud, source, error_type):
    assert invoke(cloud, make_function(cloud, source))["errorType"] == error_type


def test_a_handler_sees_the_context_and_the_environment_of_lambda(cloud):
    function = make_function(
        cloud,
        """
        import os

        def handle(event, context):
            return [
                context.function_name,
                context.memory_limit_in_mb,
                0 < context.get_remaining_time_in_millis() <= 10_000,
                os.environ["AWS_LAMBDA_LOG_GROUP_NAME"],
                os.environ["AWS_EXECUTION_ENV"],
                sorted(name for name in os.environ if name in ("AWS_PROFILE", "PYTEST_CURRENT_TEST")),
            ]
        """,
        MemorySize=256,
    )

    assert invoke(cloud, function) == [
        function,
        "256",
        True,
        f"/aws/lambda/{function}",
        "AWS_Lambda_python3.13",
        [],
    ]


# Event source mappings --------------------------------------------------------------------------------------


def after_the_response(cloud, response):
    """Let a function answer ``response`` to a batch of one; return what became of batch and queue."""
    queue = make_queue(cloud)
    function = make_function(cloud, f"def handle(event, context): return {response}")
    subscribe_function(cloud, queue, function, FunctionResponseTypes=["ReportBatchItemFailures"])
    queue.send("x")
    client = cloud.client("lambda")

    def processed():
        (mapping,) = client.list_event_source_mappings(EventSourceArn=queue.arn)["EventSourceMappings"]
        result = mapping.get("LastProcessingResult") or ""
        return result if result.startswith("OK") else None

    return eventually(processed), queue.depth()


@pytest.mark.parametrize("response", ["None", "{}", '{"batchItemFailures": None}', '{"batchItemFailures": []}'])
def test_a_null_or_empty_partial_batch_response_is_a_success(cloud, response):
    assert after_the_response(cloud, response) == ("OK", (0, 0, 0))


@pytest.mark.parametrize(
    "response",
    [
        '{"batchItemFailures": [{"itemIdentifier": ""}]}',
        '{"batchItemFailures": [{"itemIdentifier": None}]}',
        '{"batchItemFailures": [{"itemIdentifier": "unknown"}]}',
        '{"batchItemFailures": [{"wrongKey": "x"}]}',
        '{"batchItemFailures": "all"}',
        '"no object"',
    ],
)
def test_an_invalid_partial_batch_response_fails_the_whole_batch(cloud, response):
    assert after_the_response(cloud, response) == ("OK - 1 partial failures", (0, 1, 0))


def test_only_the_reported_messages_of_a_batch_are_retried(cloud):
    dlq = make_queue(cloud)
    # A busy machine must be done with a batch before its messages are visible again, the good ones too.
    queue = make_queue(cloud, dlq=dlq, VisibilityTimeout="8")
    function = make_function(
        cloud,
        """
        def handle(event, context):
            return {"batchItemFailures": [
                {"itemIdentifier": record["messageId"]} for record in event["Records"] if record["body"] ==
                "bad"
            ]}
        """,
    )

    subscribe_function(cloud, queue, function, FunctionResponseTypes=["ReportBatchItemFailures"])
    queue.send("good", "bad", "good", "bad")

    eventually(lambda: dlq.depth()[0] == 2)
    assert [message["Body"] for message in dlq.receive()] == ["bad", "bad"]
    assert queue.depth() == (0, 0, 0)


def test_a_batch_holds_more_than_ten_records_when_the_mapping_says_so(cloud):
    queue, sizes = make_queue(cloud), make_queue(cloud)
    queue.send(*map(str, range(25)))
    function = make_function(
        cloud,
        f"""
        import boto3

        def handle(event, context):
            size = str(len(event["Records"]))
            boto3.client("sqs").send_message(QueueUrl="{sizes.url}", MessageBody=size)
        """,
    )

    subscribe_function(cloud, queue, function, BatchSize=100, MaximumBatchingWindowInSeconds=1)

    assert [message["Body"] for message in eventually(sizes.receive)] == ["25"]


def test_a_record_has_the_attributes_that_aws_gives_it(cloud):
    dlq, seen = make_queue(cloud), make_queue(cloud)
    source = make_queue(cloud, dlq=dlq)
    source.send("x", MessageAttributes={"name": {"DataType": "String", "StringValue": "value"}})
    source.receive(VisibilityTimeout=0)
    source.receive()
    function = make_function(
        cloud,
        f"""
        import boto3, json

        def handle(event, context):
            body = json.dumps(event["Records"][0])
            boto3.client("sqs").send_message(QueueUrl="{seen.url}", MessageBody=body)
        """,
    )

    subscribe_function(cloud, dlq, function)

    record = json.loads(eventually(seen.receive)[0]["Body"])
    assert record["attributes"]["DeadLetterQueueSourceArn"] == source.arn
    assert record["messageAttributes"]["name"] == {
        "dataType": "String",
        "stringValue": "value",
        "stringListValues": [],
        "binaryListValues": [],
    }


# FIFO queues ------------------------------------------------------------------------------------------------


def test_groups_of_a_fifo_queue_are_processed_at_once_and_each_in_order(cloud):
    queue, seen = make_queue(cloud, FifoQueue="true"), make_queue(cloud)
    function = make_function(
        cloud,
        f"""
        import boto3, json, time

        def handle(event, context):
            (record,) = event["Records"]
            began = time.time()
            time.sleep(0.3)
            seen_at = [record["attributes"]["MessageGroupId"], record["body"], began, time.time()]
            boto3.client("sqs").send_message(QueueUrl="{seen.url}", MessageBody=json.dumps(seen_at))
        """,
    )
    for number in range(3):
        for group in ("a", "b", "c"):
            queue.send(str(number), MessageGroupId=group, MessageDeduplicationId=f"{group}{number}")
    subscribe_function(cloud, queue, function, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})

    eventually(lambda: seen.depth()[0] == 9)
    batches = [json.loads(message["Body"]) for _ in range(5) for message in seen.receive()]
    assert len(batches) == 9
    at_once = [sum(began <= other[2] < ended for other in batches) for _, _, began, ended in batches]
    assert max(at_once) == 2
    for group in ("a", "b", "c"):
        spans = sorted((began, ended, body) for name, body, began, ended in batches if name == group)
        assert [body for *_, body in spans] == ["0", "1", "2"]
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


# Asynchronous invocations -----------------------------------------------------------------------------------


def test_a_failed_event_reaches_the_dead_letter_queue_as_it_was_with_three_attributes(cloud):
    dlq = make_queue(cloud)
    function = make_function(
        cloud,
        "def handle(event, context): raise ValueError('no luck')",
        DeadLetterConfig={"TargetArn": dlq.arn},
    )
    client = cloud.client("lambda")
    client.put_function_event_invoke_config(FunctionName=function, MaximumRetryAttempts=0)

    client.invoke(FunctionName=function, InvocationType="Event", Payload='{"order": 1}')

    (message,) = eventually(dlq.receive)
    assert json.loads(message["Body"]) == {"order": 1}
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert sorted(attributes) == ["ErrorCode", "ErrorMessage", "RequestID"]
    assert (attributes["ErrorCode"], attributes["ErrorMessage"]) == ("200", "no luck")


def test_destinations_get_an_invocation_record_of_success_and_of_failure(cloud):
    successes, failures = make_queue(cloud), make_queue(cloud)
    function = make_function(
        cloud,
        """
        def handle(event, context):
            if event == "fail":
                raise ValueError("no luck")
            return "done"
        """,
    )
    client = cloud.client("lambda")
    client.put_function_event_invoke_config(
        FunctionName=function,
        MaximumRetryAttempts=0,
        DestinationConfig={
            "OnSuccess": {"Destination": successes.arn},
            "OnFailure": {"Destination": failures.arn},
        },
    )

    for event in ("fail", "succeed"):
        client.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event))

    success = json.loads(eventually(successes.receive)[0]["Body"])
    failure = json.loads(eventually(failures.receive)[0]["Body"])
    assert (success["requestPayload"], success["responsePayload"]) == ("succeed", "done")
    assert success["requestContext"]["condition"] == "Success"
    assert failure["requestPayload"] == "fail"
    assert failure["responsePayload"]["errorMessage"] == "no luck"
    assert failure["requestContext"]["condition"] == "RetriesExhausted"
    assert failure["requestContext"]["approximateInvokeCount"] == 1
    assert failure["responseContext"]["functionError"] == "Unhandled"


def test_a_function_that_fails_at_a_notification_is_tried_again_and_gets_only_what_its_filter_lets_in(cloud):
    dead, tries = make_queue(cloud), make_queue(cloud)
    function = make_function(
        cloud,
        f"""
        import boto3, json
        def handle(event, context):
            notification = event["Records"][0]["Sns"]
            boto3.client("sqs").send_message(QueueUrl="{tries.url}", MessageBody=notification["Message"])
            raise ValueError(notification["MessageAttributes"]["dlq"]["Value"])
        """,
        DeadLetterConfig={"TargetArn": dead.arn},
    )
    sns = cloud.client("sns")
    topic = sns.create_topic(Name=unique("topic"))["TopicArn"]
    arn = cloud.client("lambda").get_function_configuration(FunctionName=function)["FunctionArn"]
    sns.subscribe(
        TopicArn=topic,
        Protocol="lambda",
        Endpoint=arn,
        Attributes={"FilterPolicy": json.dumps({"dlq": ["wanted"]})},
    )
    for name in ("other", "wanted"):
        attributes = {"dlq": {"DataType": "String", "StringValue": name}}
        sns.publish(TopicArn=topic, Message=f"of {name}", MessageAttributes=attributes)
    (message,) = eventually(dead.receive)
    assert message["MessageAttributes"]["ErrorMessage"]["StringValue"] == "wanted"
    assert json.loads(message["Body"])["Records"][0]["EventSource"] == "aws:sns"
    assert [message["Body"] for message in tries.receive()] == ["of wanted"] * 3


@pytest.mark.parametrize("put", [{}, {"Qualifier": "$LATEST"}])
@pytest.mark.parametrize("get", [{}, {"Qualifier": "$LATEST"}])
def test_the_configuration_of_asynchronous_invocations_without_a_qualifier_is_that_of_the_latest_code(cloud, put, get):
    function, client = make_function(cloud, "def handle(event, context): return event"), cloud.client("lambda")
    destinations = {"OnFailure": {"Destination": make_queue(cloud).arn}}
    client.put_function_event_invoke_config(FunctionName=function, DestinationConfig=destinations, **put)
    assert client.get_function_event_invoke_config(FunctionName=function, **get)["DestinationConfig"] == destinations
