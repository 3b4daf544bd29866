"""The deployment: valid, short, described, encrypted, and with no more permissions than each function needs."""

import json
import re
from fnmatch import fnmatchcase

import pytest
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from redrive.domain.judging.verdicts import Reason
from redrive.domain.messages.arns import CONSOLES
from redrive.domain.page.document import PREFIX
from redrive.domain.runs.leftovers import SKIPS
from tests.support.cfn_lint import linted, regions, resource_types
from tests.support.definitions import ROOT, TEMPLATE, functions, listed, resources, statements, template
from tests.support.rendering import holds, rendered, transformed
from tests.support.samples import load

REASONS = ROOT / "docs" / "reference" / "reasons.md"
FUNCTIONS = functions()
QUEUES = resources("AWS::SQS::Queue")
SUBSCRIPTIONS = resources("AWS::Lambda::EventSourceMapping")
DEAD_LETTER_QUEUES = {
    queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    for queue in QUEUES.values()
    if "RedrivePolicy" in queue
}
FAILURE_QUEUES = {
    function.properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
    for function in FUNCTIONS.values()
    if "EventInvokeConfig" in function.properties
}
FOURTEEN_DAYS = 14 * 24 * 3600
each_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)


def test_the_template_is_short_enough_to_read():
    text = TEMPLATE.read_text()
    assert len(text.splitlines()) <= 1_640
    assert len(text.encode()) <= 80_000
    assert max(map(len, text.splitlines())) <= 130


def test_each_example_pair_is_one_section_that_can_be_copied():
    sections = re.split(r"^  # -+ (.+)$", TEMPLATE.read_text().split("\nOutputs:")[0], flags=re.MULTILINE)
    headings = sections[1::2]
    bodies = dict(zip(headings, sections[2::2], strict=True))
    pairs = [heading for heading in headings if heading.startswith("example pair: ")]
    assert headings[-4:] == pairs
    for heading, body in bodies.items():
        names = re.findall(r"^  (\w+):", body, flags=re.MULTILINE)
        conditions = {template()["Resources"][name].get("Condition") for name in names}
        # The URL needs a Region that has function URLs.
        assert (conditions - {"WithEmailTasksUrl"} == {"WithExamples"}) == (heading in pairs), heading


def test_nothing_is_used_that_sam_publish_refuses():
    assert template()["Transform"] == "AWS::Serverless-2016-10-31"
    assert "Fn::ForEach" not in TEMPLATE.read_text()


def test_every_parameter_is_used():
    text = TEMPLATE.read_text()
    unused = {name for name in template()["Parameters"] if f"!Ref {name}" not in text and f"${{{name}}}" not in text}
    assert not unused


@pytest.mark.slow
def test_cfn_lint_has_nothing_to_say():
    assert linted(TEMPLATE) == []


@pytest.mark.parametrize("section", ["Parameters", "Outputs"])
def test_everything_a_deployer_sees_is_described(section):
    assert not [name for name, part in template()[section].items() if not part.get("Description")]


# Permissions


def test_whoever_is_told_that_configuration_is_unreadable_is_told_every_permission_to_read_it():
    lookups = {
        action
        for resource in ("MoverFunction", "SamplerFunction")
        for statement in statements(template()["Resources"][resource])
        for action in listed(statement["Action"])
        if action.startswith(("lambda:Get", "events:", "scheduler:", "sns:"))
    }
    assert len(lookups) == 5
    row = next(line for line in REASONS.read_text().splitlines() if "| `configuration-unreadable` |" in line)
    for text in (row, SKIPS[Reason.CONFIGURATION_UNREADABLE].meaning):
        assert {action for action in lookups if action not in text} == set()


def test_only_log_deliveries_have_no_resource_to_name():
    # In a policy that is attached to one resource, "*" is that resource.
    attached = {"AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::KMS::Key"}
    policies = [resource for resource in template()["Resources"].values() if resource["Type"] not in attached]
    unbounded = [found for found in statements(policies) if "*" in listed(found.get("Resource", []))]
    actions = {action for found in unbounded for action in listed(found["Action"])}
    assert actions == {
        "logs:CreateLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    }


def test_no_action_is_allowed_by_wildcard_except_on_the_key_as_its_guide_asks():
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
def test_every_function_has_its_permissions_written_out(function):
    assert function.properties.get("Policies", {}).keys() <= {"Statement"}
    assert "Role" not in function.properties


def test_sam_attaches_no_managed_policy_but_those_for_logs_and_traces():
    # An event of the type SQS would attach AWSLambdaSQSQueueExecutionRole, which allows deleting from every queue.
    attached = {
        json.dumps(policy).rsplit("/", 1)[1].rstrip('"}')
        for resource in transformed()["Resources"].values()
        if resource["Type"] == "AWS::IAM::Role"
        for policy in resource["Properties"].get("ManagedPolicyArns", [])
    }
    assert attached == {"AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}


def test_the_guide_says_where_the_resource_is_anything():
    anything = {
        (resource["Type"], found["Effect"], name)
        for name, resource in transformed()["Resources"].items()
        for found in statements(resource.get("Properties", {}))
        if "*" in listed(found.get("Resource", []))
    }
    attached = {"AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::KMS::Key"}
    others = {name for kind, effect, name in anything if kind not in attached}
    assert others == {"RedriveStateMachineRole"}
    guide = (ROOT / "docs" / "guides" / "deploy.md").read_text()
    (paragraph,) = [part for part in guide.split("\n\n") if part.startswith("The resource `*` is in three places only")]
    for named in (
        "`AWSLambdaBasicExecutionRole`, `AWSXrayWriteOnlyAccess`",
        "log deliveries",
        "keys, queues, and topics",
    ):
        assert named in paragraph


def test_every_function_reaches_only_its_rows_of_the_runs_table():
    prefixes: dict[str, set[str]] = {}
    for function in FUNCTIONS.values():
        for found in statements(function.properties.get("Policies", {})):
            if found.get("Resource") == {"Fn::GetAtt": ["RunTable", "Arn"]}:
                keys = found["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
                prefixes.setdefault(function.name, set()).update(listed(keys))
                # Without a key in the request, the condition would hold.
                assert not {"dynamodb:Scan", "dynamodb:*"} & set(listed(found["Action"]))
    assert prefixes == {
        "CoordinatorFunction": {"dlq#*", "run#*", "runs#*", "destination#*"},
        "SamplerFunction": {"sent#*"},
        "MoverFunction": {"dlq#*", "run#*", "destination#*", "sent#*"},
        "StopFunction": {"dlq#*"},
        "AutomaticFunction": {"dlq#*", "trigger#*"},
    }


def test_a_message_never_reaches_the_redrive_or_a_producer_whatever_the_parameters_say():
    policy = resources("AWS::IAM::Policy")["NeverInvokeOwnPolicy"]
    assert policy["Roles"] == [{"Ref": "MoverFunctionRole"}]
    denied = {
        name
        for found in statements(policy)
        if found["Effect"] == "Deny"
        for name in re.findall(r"\$\{(\w+)", json.dumps(found["Resource"]))
    }
    own = {name for name, each in FUNCTIONS.items() if each.module.startswith("redrive.") or "producer" in each.module}
    assert denied == own | {"RedriveStateMachine", "AutomaticStateMachine"}


def test_permissions_on_resources_of_the_stack_name_them_and_no_pattern_of_the_stacks_name():
    # CloudFormation shortens long stack names in the names of queues, functions, and state machines, but not of alarms.
    named = [json.dumps(found.get("Resource")) for found in statements(template()["Resources"])]
    patterns = [arn for found in named for arn in re.findall(r"arn:[^\"]*", found) if "${AWS::StackName}" in arn]
    assert {arn.removeprefix("arn:${AWS::Partition}:").split(":")[0] for arn in patterns} == {"ssm", "cloudwatch"}


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        (
            "sqs:DeleteMessage",
            {"MoverFunction", "StoreEventsConsumer", "EmailTasksConsumer", "RewardPayoutsConsumer"},
        ),
        (
            "sqs:SendMessage",
            {"MoverFunction", "StoreEventsProducer", "EmailTasksProducer", "RewardPayoutsProducer"},
        ),
        (
            "sqs:ReceiveMessage",
            {
                "MoverFunction",
                "SamplerFunction",
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
def test_what_can_lose_or_change_a_message_is_allowed_only_where_it_is_needed(action, allowed):
    assert {name for name, function in FUNCTIONS.items() if action in function.allowed} == allowed


def test_the_coordinator_can_make_messages_visible_but_not_see_send_or_delete_them():
    sqs = {action for action in FUNCTIONS["CoordinatorFunction"].allowed if action.startswith("sqs:")}
    assert sqs == {
        "sqs:GetQueueUrl",
        "sqs:GetQueueAttributes",
        "sqs:ListDeadLetterSourceQueues",
        "sqs:ListQueueTags",
        "sqs:ChangeMessageVisibility",
    }


@each_function
def test_the_redrive_may_touch_every_queue_of_the_stack_and_those_of_the_pattern(function):
    for found in statements(function.properties.get("Policies", {})):
        if function.module.startswith("redrive.") and listed(found["Action"])[0].startswith("sqs:"):
            named = json.dumps(found["Resource"])
            assert {queue for queue in QUEUES if f'["{queue}", "Arn"]' in named} == QUEUES.keys()
            assert '"QueueNamePattern"' in named


@given(names=st.lists(st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_.*-]{0,79}", fullmatch=True), min_size=1, max_size=8))
def test_what_the_redrive_may_touch_beyond_its_stack_is_what_the_patterns_name(names):
    given_names = ",".join(names)
    assert re.fullmatch(template()["Parameters"]["QueueNamePattern"]["AllowedPattern"], given_names)
    account = "arn:aws-cn:sqs:cn-north-1:210987654321:"
    values = {"AWS::Partition": "aws-cn", "AWS::Region": "cn-north-1", "AWS::AccountId": "210987654321"}
    for found in statements(template()["Resources"]):
        if "QueueNamePattern" in json.dumps(found.get("Resource")):
            arns = rendered(found["Resource"], examples=True, values=values | {"QueueNamePattern": given_names})
            assert {arn for arn in arns if arn.startswith("arn:")} == {account + name for name in names}


@given(names=st.lists(st.sampled_from(["orders*", "a", "", " b", "arn:aws:sqs", "*"]), min_size=1, max_size=12))
def test_a_list_of_patterns_that_would_allow_something_else_is_refused(names):
    allowed = re.fullmatch(template()["Parameters"]["QueueNamePattern"]["AllowedPattern"], ",".join(names))
    assert bool(allowed) == (names == [""] or (len(names) <= 8 and set(names) <= {"orders*", "a"}))


def test_only_the_sampler_can_show_error_texts_and_only_if_it_is_told_to():
    assert [name for name, function in functions().items() if "SHOW_ERROR_TEXTS" in function.variables] == [
        "SamplerFunction"
    ]
    assert template()["Parameters"]["ShowErrorTexts"]["Default"] == "false"


def test_emails_are_sent_from_one_address_only():
    (sending,) = [found for found in statements(template()["Resources"]) if "ses:SendEmail" in listed(found["Action"])]
    assert sending["Condition"] == {"StringEquals": {"ses:FromAddress": {"Ref": "EmailSender"}}}


def test_what_can_be_reached_over_http_requires_signed_requests():
    assert not [name for name, function in FUNCTIONS.items() if "FunctionUrlConfig" in function.properties]
    assert [url["AuthType"] for url in resources("AWS::Lambda::Url").values()] == ["AWS_IAM"]


# Lambda developer guide, "Creating and managing Lambda function URLs".
WITHOUT_FUNCTION_URLS = {
    "ap-south-2", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ap-east-2", "ca-west-1",
    "eu-south-2", "eu-central-2", "il-central-1", "me-central-1",
}  # fmt: skip


def test_each_region_whose_function_urls_are_known_gets_one():
    standard = set(Session().get_available_regions("lambda"))
    known = {region for region in standard if "AWS::Lambda::Url" in resource_types(region)}
    assert known & WITHOUT_FUNCTION_URLS
    found = {region for region in regions() if holds("WithEmailTasksUrl", {"AWS::Region": region})}
    assert found == known - WITHOUT_FUNCTION_URLS
    assert not holds("WithEmailTasksUrl", {"AWS::Region": "us-east-1", "Examples": "false"})
    assert not holds("WithEmailTasksUrl", {"AWS::Region": "xx-newest-1"})


def test_by_default_every_region_has_every_type_of_resource():
    missing = {
        (region, found["Type"])
        for region in regions()
        for found in transformed()["Resources"].values()
        if "Condition" not in found or holds(found["Condition"], {"AWS::Region": region})
        if found["Type"] not in resource_types(region)
    }
    assert missing == set()


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "console.aws.amazon.com"),
        ("cn-north-1", "console.amazonaws.cn"),
        ("us-gov-west-1", "console.amazonaws-us-gov.com"),
        ("eusc-de-east-1", "console.amazonaws-eusc.eu"),
    ],
)
def test_the_same_partitions_have_console_links_in_the_dashboard_and_in_the_chat(region, host):
    partition = Session().get_partition_for_region(region)
    values = {"AWS::Region": region, "AWS::Partition": partition}
    url = rendered(template()["Outputs"]["DashboardUrl"]["Value"], examples=True, values=values)
    assert url.startswith(f"https://{region}.{host}/cloudwatch/home?region={region}#")
    body = rendered(resources("AWS::CloudWatch::Dashboard")["RedriveDashboard"], examples=True, values=values)
    assert f"(https://{region}.{host}/states/home" in body["DashboardBody"]
    assert template()["Mappings"]["Partitions"].keys() - {"aws"} == CONSOLES.keys()
    assert CONSOLES.get(partition, host) == host


def test_no_partition_is_written_out():
    assert "arn:aws" not in re.sub(r"^ *#.*$", "", TEMPLATE.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
def test_a_redrive_cannot_use_up_the_concurrency_of_the_account_through_a_consumer(name):
    assert 2 <= SUBSCRIPTIONS[name]["ScalingConfig"]["MaximumConcurrency"] <= 5


# What is off by default


def test_nothing_starts_automatically_by_default():
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


def test_no_chat_is_notified_by_default():
    parameters = template()["Parameters"]
    chats = ("SlackWorkspaceId", "SlackChannelId", "SlackWebhookSecretArn")
    assert {parameters[name]["Default"] for name in chats} == {""}
    assert parameters["AmazonQTopic"]["Default"] == "false"
    conditions = {
        name: template()["Resources"][name]["Condition"]
        for name in ("SlackChannel", "ChatTopic", "AmazonQFunction", "SlackWebhookFunction")
    }
    assert conditions == {
        "SlackChannel": "WithSlackChannel",
        "ChatTopic": "WithAmazonQ",
        "AmazonQFunction": "WithAmazonQ",
        "SlackWebhookFunction": "WithSlackWebhook",
    }
    assert not holds("WithChat", {})


def test_a_channel_that_is_configured_already_needs_only_the_topic():
    channel = {"SlackWorkspaceId": "T0123456789", "SlackChannelId": "C0123456789"}
    assert holds("WithAmazonQ", {"AmazonQTopic": "true"})
    assert not holds("WithSlackChannel", {"AmazonQTopic": "true"})
    assert holds("WithAmazonQ", channel)
    assert holds("WithSlackChannel", channel)
    assert template()["Outputs"]["ChatTopicArn"]["Condition"] == "WithAmazonQ"


def test_the_names_of_chat_channels_differ_between_regions_and_stacks_and_are_short_enough():
    (channel,) = resources("AWS::Chatbot::SlackChannelConfiguration").values()
    stacks = [
        (region, f"arn:aws:cloudformation:{region}:123456789012:stack/{'s' * length}/{identifier}")
        for region in ("us-east-1", "ap-southeast-1")
        for length in (1, 128)
        for identifier in ("1a2b3c4d-0000-1111-2222-333333333333", "1a2b3c4d-0000-1111-2222-444444444444")
    ]
    names = {
        rendered(channel["ConfigurationName"], examples=True, values={"AWS::Region": region, "AWS::StackId": stack})
        for region, stack in stacks
    }
    # CloudFormation Template Reference, AWS::Chatbot::SlackChannelConfiguration, ConfigurationName.
    assert all(re.fullmatch(r"[A-Za-z0-9-_]{1,128}", name) for name in names)
    assert len(names) == 4


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
    on_depth = {
        name
        for name, alarm in alarms.items()
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
        and alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0] in DEAD_LETTER_QUEUES
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


def refusing_plain_http(kind, targets, action):
    """Return the names of the queues or topics that refuse everybody's plain HTTP."""
    refusal = {
        "Sid": "RefusePlainHttp",
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {
        reference["Ref"]
        for policy in resources(kind).values()
        if refusal in policy["PolicyDocument"]["Statement"]
        for reference in policy[targets]
    }


def test_every_queue_refuses_plain_http():
    assert refusing_plain_http("AWS::SQS::QueuePolicy", "Queues", "sqs:*") == QUEUES.keys()


def test_every_topic_is_encrypted_and_refuses_plain_http():
    topics = resources("AWS::SNS::Topic")
    assert refusing_plain_http("AWS::SNS::TopicPolicy", "Topics", "sns:Publish") == topics.keys()
    assert all("KmsMasterKeyId" in topic for topic in topics.values())


def test_every_table_is_encrypted():
    tables = resources("AWS::DynamoDB::Table")
    assert tables
    assert all(table["SSESpecification"]["SSEEnabled"] is True for table in tables.values())


@pytest.mark.parametrize("with_key", [True, False])
def test_the_bucket_is_encrypted_private_and_forgets(with_key):
    values = {"KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1"}
    [(name, bucket)] = resources("AWS::S3::Bucket").items()
    bucket = rendered(bucket, examples=with_key, values=values)
    [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    default = rule["ServerSideEncryptionByDefault"]
    assert tuple(default.values()) == (("aws:kms", values["KmsKeyArn"]) if with_key else ("AES256", "AWS::NoValue"))
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    [rule] = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], int(rule["ExpirationInDays"])) == ("Enabled", 90)
    assert "Prefix" not in rule
    [policy] = resources("AWS::S3::BucketPolicy").values()
    assert policy["Bucket"] == {"Ref": name}
    [refusal] = policy["PolicyDocument"]["Statement"]
    assert (refusal["Effect"], refusal["Principal"], refusal["Action"]) == ("Deny", "*", "s3:*")
    assert refusal["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert rendered(refusal["Resource"], examples=True) == [f"{name}.Arn", f"{name}.Arn/*"]


def test_only_the_coordinator_may_touch_the_bucket_and_only_write_pages():
    found = [
        (name, statement)
        for name, resource in template()["Resources"].items()
        for statement in statements(resource.get("Properties", {}))
        if statement["Effect"] == "Allow" and "ReportBucket" in json.dumps(statement)
    ]
    [(name, statement)] = found
    assert (name, statement["Action"]) == ("CoordinatorFunction", "s3:PutObject")
    assert rendered(statement["Resource"], examples=True) == f"ReportBucket.Arn/{PREFIX}*"


def test_dead_letter_queues_and_the_quarantine_keep_messages_for_fourteen_days():
    assert DEAD_LETTER_QUEUES
    assert FAILURE_QUEUES
    names = DEAD_LETTER_QUEUES | FAILURE_QUEUES | {"QuarantineQueue"}
    assert {QUEUES[name]["MessageRetentionPeriod"] for name in names} == {FOURTEEN_DAYS}


def test_a_message_stays_invisible_for_six_times_the_timeout_of_its_consumer():
    # Lambda developer guide, "Configuring a queue to use with Lambda".
    assert SUBSCRIPTIONS
    for subscription in SUBSCRIPTIONS.values():
        queue = subscription["EventSourceArn"]["Fn::GetAtt"][0]
        consumer = FUNCTIONS[subscription["FunctionName"]["Ref"]]
        assert QUEUES[queue]["VisibilityTimeout"] >= 6 * consumer.timeout


def test_a_consumer_reports_which_messages_of_a_batch_failed():
    assert all(found["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for found in SUBSCRIPTIONS.values())


# What outlives the stack


def test_dead_letter_queues_the_quarantine_and_business_data_outlive_the_stack():
    kept = {
        name
        for name, resource in transformed()["Resources"].items()
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate" and resource.get("UpdateReplacePolicy") == "Retain"
    }
    tables = resources("AWS::DynamoDB::Table").keys()
    # CloudFormation can't delete a bucket that isn't empty, and its pages expire by themselves.
    pages = {"ReportBucket", "ReportBucketRefusesPlainHttp"}
    # Locks and checkpoints mean nothing without the stack, and the payment gateway is simulated.
    assert kept - pages == (QUEUES.keys() - {name for name, queue in QUEUES.items() if "RedrivePolicy" in queue}) | (
        tables - {"RunTable", "PaymentGatewayTable"}
    )
    assert kept >= pages | DEAD_LETTER_QUEUES | FAILURE_QUEUES | {"QuarantineQueue"}


def test_what_outlives_the_stack_has_a_generated_name_so_that_the_stack_can_be_deployed_again():
    for resource in transformed()["Resources"].values():
        if "DeletionPolicy" in resource:
            assert not {"QueueName", "TableName"} & resource["Properties"].keys()


@pytest.mark.parametrize("queue", QUEUES)
def test_no_change_of_a_parameter_replaces_a_queue(queue):
    # The properties whose update requires replacement (CloudFormation template reference, AWS::SQS::Queue).
    properties = transformed()["Resources"][queue]["Properties"]
    assert "QueueName" not in properties
    assert properties.get("FifoQueue") in {None, True}


# Functions


@each_function
def test_every_function_is_described(function):
    assert function.properties.get("Description")


@each_function
def test_every_function_has_a_log_group_that_does_not_keep_logs_forever(function):
    group = function.properties["LoggingConfig"]["LogGroup"]["Ref"]
    assert resources("AWS::Logs::LogGroup")[group]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


@each_function
def test_every_handler_can_be_loaded_with_the_environment_that_it_is_given(function):
    assert callable(load(function))


def test_no_example_function_is_deployed_without_the_examples():
    examples = {name for name, function in FUNCTIONS.items() if function.module.startswith("examples.")}
    conditional = {name for name, found in template()["Resources"].items() if found.get("Condition") == "WithExamples"}
    assert examples == FUNCTIONS.keys() & conditional


def test_the_mover_has_time_for_the_longest_slice():
    longest = template()["Parameters"]["SliceSeconds"]["MaxValue"]
    # Plus a minute: messages in hand are finished or released before Lambda stops the function.
    assert FUNCTIONS["MoverFunction"].timeout >= longest + 60
