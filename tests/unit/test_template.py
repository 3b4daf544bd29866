"""The deployment: valid, described, encrypted, and with no more rights than each function needs."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from cfnlint.api import lint_file
from cfnlint.config import ManualArgs

from tests.support.definitions import TEMPLATE, functions, listed, resources, statements, template
from tests.support.samples import load

FUNCTIONS = functions()
QUEUES = resources("AWS::SQS::Queue")
FOURTEEN_DAYS = 14 * 24 * 3600
each_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)


def test_cfn_lint_has_nothing_to_say():
    assert [str(match) for match in lint_file(Path(TEMPLATE), config=ManualArgs(regions=["us-east-1"]))] == []


@pytest.mark.parametrize("section", ["Parameters", "Outputs"])
def test_everything_a_deployer_sees_is_described(section):
    assert not [name for name, told in template()[section].items() if not told.get("Description")]


# Rights


def test_only_traces_and_log_deliveries_have_no_resource_to_name():
    # In a policy that is attached to one resource, "*" is that resource.
    attached = {"AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::KMS::Key"}
    rights = [resource for resource in template()["Resources"].values() if resource["Type"] not in attached]
    unbounded = [found for found in statements(rights) if "*" in listed(found.get("Resource", []))]
    actions = {action for found in unbounded for action in listed(found["Action"])}
    assert {action for action in actions if not action.startswith("xray:")} == {
        "logs:CreateLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    }


def test_no_right_is_given_by_wildcard_but_those_over_a_key_that_its_documents_ask_for():
    # KMS developer guide, "Default key policy": without it nobody may be able to change the key. SNS
    # developer guide, "Enable compatibility between event sources from AWS services and encrypted topics".
    by_wildcard = {
        action
        for found in statements(template()["Resources"])
        if found["Effect"] == "Allow"
        for action in listed(found["Action"])
        if "*" in action
    }
    assert by_wildcard == {"kms:*", "kms:GenerateDataKey*"}


@each_function
def test_no_function_has_a_policy_that_is_not_written_out_here(function):
    assert all(isinstance(policy, dict) for policy in function.properties.get("Policies", []))


def test_no_role_has_a_managed_policy():
    assert not [name for name, role in resources("AWS::IAM::Role").items() if "ManagedPolicyArns" in role]


def test_a_function_that_sqs_triggers_has_a_role_of_its_own():
    # SAM would add AWSLambdaSQSQueueExecutionRole to the role it makes, which may delete from every queue.
    triggered = {
        function.name
        for function in FUNCTIONS.values()
        if any(event["Type"] == "SQS" for event in function.properties.get("Events", {}).values())
    }
    assert triggered == {name for name, function in FUNCTIONS.items() if "Role" in function.properties}


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        (
            "sqs:DeleteMessage",
            {"MoveFunction", "StoreEventsConsumer", "EmailTasksConsumer", "RewardPayoutsConsumer"},
        ),
        (
            "sqs:SendMessage",
            {"MoveFunction", "StoreEventsProducer", "EmailTasksProducer", "RewardPayoutsProducer"},
        ),
        (
            "sqs:ReceiveMessage",
            {
                "MoveFunction",
                "SampleFunction",
                "StoreEventsConsumer",
                "StoreEventsNotice",
                "EmailTasksConsumer",
                "RewardPayoutsConsumer",
            },
        ),
        ("ses:SendEmail", {"EmailTasksConsumer"}),
        ("sqs:PurgeQueue", set()),
        ("sqs:SetQueueAttributes", set()),
    ],
)
def test_what_can_lose_or_bend_a_message_is_allowed_where_it_is_needed_only(action, allowed):
    assert {name for name, function in FUNCTIONS.items() if action in function.allowed} == allowed


def test_e_mails_are_sent_from_one_address_only():
    (sending,) = [
        found for found in statements(template()["Resources"]) if "ses:SendEmail" in listed(found["Action"])
    ]
    assert sending["Condition"] == {"StringEquals": {"ses:FromAddress": {"Ref": "EmailSender"}}}


def test_what_can_be_reached_over_http_asks_for_signed_requests():
    urls = [
        function.properties["FunctionUrlConfig"]
        for function in FUNCTIONS.values()
        if "FunctionUrlConfig" in function.properties
    ]
    assert urls == [{"AuthType": "AWS_IAM"}]


# What is off unless it is asked for


def test_nothing_starts_by_itself_unless_it_is_asked_for():
    assert template()["Parameters"]["RedriveAfterAlarmMinutes"]["Default"] == 0
    assert template()["Parameters"]["RedriveSchedule"]["Default"] == ""
    conditions = {
        name: template()["Resources"][name]["Condition"]
        for name in ("DLQAlarmRule", "AutomaticSchedule", "AutomaticStateMachine", "AutomaticFunction")
    }
    assert conditions == {
        "DLQAlarmRule": "WithAlarmStart",
        "AutomaticSchedule": "WithScheduledStart",
        "AutomaticStateMachine": "WithAutomaticStart",
        "AutomaticFunction": "WithAutomaticStart",
    }


def test_nothing_is_told_to_a_chat_unless_it_is_asked_for():
    parameters = template()["Parameters"]
    asked = ("SlackWorkspaceId", "SlackChannelId", "SlackWebhookSecretArn")
    assert {parameters[name]["Default"] for name in asked} == {""}
    conditions = {
        name: template()["Resources"][name]["Condition"]
        for name in ("SlackChannel", "ChatTopic", "AmazonQFunction", "SlackWebhookFunction")
    }
    assert conditions == {
        "SlackChannel": "WithSlackChannel",
        "ChatTopic": "WithSlackChannel",
        "AmazonQFunction": "WithSlackChannel",
        "SlackWebhookFunction": "WithSlackWebhook",
    }


def test_the_chat_channel_can_do_nothing():
    (channel,) = resources("AWS::Chatbot::SlackChannelConfiguration").values()
    assert channel["GuardrailPolicies"] == [{"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/AWSDenyAll"}]
    assert "Policies" not in resources("AWS::IAM::Role")["SlackChannelRole"]


def test_the_only_secret_that_is_read_is_the_one_given():
    reading = [
        found
        for found in statements(template()["Resources"])
        if any(action.startswith("secretsmanager:") for action in listed(found["Action"]))
    ]
    assert [found["Resource"] for found in reading] == [{"Ref": "SlackWebhookSecretArn"}]


def test_the_alarms_that_may_start_a_run_are_those_on_the_depth_of_the_stacks_dead_letter_queues():
    (rule,) = resources("AWS::Events::Rule")["DLQAlarmRule"]["EventPattern"]["detail"]["alarmName"][:1]
    pattern = rule["wildcard"]["Fn::Sub"].replace("${AWS::StackName}", "stack")
    alarms = resources("AWS::CloudWatch::Alarm")
    # CloudFormation user guide, "Resource identifiers": stack, logical name and random signs.
    matching = {name for name in alarms if fnmatchcase(f"stack-{name}-1A2B3C4D5E6F", pattern)}
    dead_letter_queues = {
        queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        for queue in QUEUES.values()
        if "RedrivePolicy" in queue
    }
    on_depth = {
        name
        for name, alarm in alarms.items()
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
        and alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0] in dead_letter_queues
    }
    assert matching == on_depth
    assert on_depth


def test_what_starts_by_itself_gets_to_the_redrive_only_through_the_function_that_keeps_count():
    targets = [
        target["Arn"]
        for kind, key in (("AWS::Events::Rule", "Targets"), ("AWS::Scheduler::Schedule", "Target"))
        for resource in resources(kind).values()
        for target in listed(resource[key])
    ]
    assert {"Ref": "AutomaticStateMachine"} in targets
    assert {"Ref": "RedriveStateMachine"} not in targets


# Queues, topics, tables


@pytest.mark.parametrize("queue", QUEUES)
def test_every_queue_is_encrypted(queue):
    assert QUEUES[queue].get("SqsManagedSseEnabled") is True or "KmsMasterKeyId" in QUEUES[queue]


def test_every_queue_refuses_plain_http():
    refusing = {
        reference["Ref"]
        for policy in resources("AWS::SQS::QueuePolicy").values()
        for found in statements(policy)
        if found["Effect"] == "Deny" and found["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for reference in policy["Queues"]
    }
    assert refusing == QUEUES.keys()


def test_every_topic_is_encrypted_and_refuses_plain_http():
    topics = resources("AWS::SNS::Topic")
    refusing = {
        reference["Ref"]
        for policy in resources("AWS::SNS::TopicPolicy").values()
        for found in statements(policy)
        if found["Effect"] == "Deny" and found["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for reference in policy["Topics"]
    }
    assert refusing == topics.keys()
    assert all("KmsMasterKeyId" in topic for topic in topics.values())


def test_every_table_is_encrypted():
    tables = resources("AWS::DynamoDB::Table")
    assert tables
    assert all(table["SSESpecification"]["SSEEnabled"] is True for table in tables.values())


def test_dead_letters_and_the_quarantine_are_kept_for_fourteen_days():
    dead_letter_queues = {
        queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        for queue in QUEUES.values()
        if "RedrivePolicy" in queue
    }
    failures = {
        function.properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"][
            "Fn::GetAtt"
        ][0]
        for function in FUNCTIONS.values()
        if "EventInvokeConfig" in function.properties
    }
    assert dead_letter_queues
    assert failures
    names = dead_letter_queues | failures | {"QuarantineQueue"}
    kept = {name: QUEUES[name]["MessageRetentionPeriod"] for name in names}
    assert set(kept.values()) == {FOURTEEN_DAYS}


def test_a_message_stays_invisible_for_six_times_as_long_as_its_consumer_may_take():
    # Lambda developer guide, "Configuring a queue to use with Lambda".
    checked = 0
    for function in FUNCTIONS.values():
        events = function.properties.get("Events", {}).values()
        for event in [event for event in events if event["Type"] == "SQS"]:
            queue = event["Properties"]["Queue"]["Fn::GetAtt"][0]
            assert QUEUES[queue]["VisibilityTimeout"] >= 6 * function.timeout
            checked += 1
    assert checked


# Functions


@each_function
def test_every_function_is_described(function):
    assert function.properties.get("Description")


@each_function
def test_every_function_has_a_log_group_that_does_not_keep_logs_for_ever(function):
    group = function.properties["LoggingConfig"]["LogGroup"]["Ref"]
    assert resources("AWS::Logs::LogGroup")[group]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


@each_function
def test_every_handler_can_be_loaded_with_the_environment_that_it_is_given(function):
    assert callable(load(function))


def test_no_example_function_is_deployed_without_the_examples():
    examples = {name for name, function in FUNCTIONS.items() if function.module.startswith("consumers.")}
    conditional = {
        name for name, found in template()["Resources"].items() if found.get("Condition") == "WithExamples"
    }
    assert examples == FUNCTIONS.keys() & conditional


def test_the_function_that_moves_has_time_for_the_longest_slice():
    longest = template()["Parameters"]["SliceSeconds"]["MaxValue"]
    # A minute on top: what is in hand is finished or given back before Lambda ends the function.
    assert FUNCTIONS["MoveFunction"].timeout >= longest + 60
