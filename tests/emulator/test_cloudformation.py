"""CloudFormation of the embedded cloud, where ministack's differs from AWS."""

import json
import platform

import pytest

from local.sam_deployment import ARCHITECTURES
from tests.support.cloud_resources import ROLE, finished, unique
from tests.support.eventually import eventually


def created(cloud, template):
    """Create a stack and return its outputs."""
    stack = unique("stack")
    client = cloud.client("cloudformation")
    client.create_stack(StackName=stack, TemplateBody=json.dumps(template))
    eventually(lambda: client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE")
    return cloud.stack(stack).outputs


def test_cloudformation_takes_a_state_machine_in_yaml(cloud):
    bucket = unique("bucket")
    cloud.client("s3").create_bucket(Bucket=bucket)
    definition = "QueryLanguage: JSONata\nStartAt: End\nStates:\n  End:\n    Type: Succeed\n    Output: ${Answer}\n"
    cloud.client("s3").put_object(Bucket=bucket, Key="machine.asl.yaml", Body=definition.encode())
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "RoleArn": ROLE,
            "DefinitionS3Location": {"Bucket": bucket, "Key": "machine.asl.yaml"},
            "DefinitionSubstitutions": {"Answer": "done"},
        },
    }

    outputs = created(cloud, {"Resources": {"Machine": machine}, "Outputs": {"Arn": {"Value": {"Ref": "Machine"}}}})

    execution = cloud.client("stepfunctions").start_execution(stateMachineArn=outputs["Arn"])["executionArn"]
    assert finished(cloud, execution)["output"] == '"done"'


def test_cloudformation_gives_a_function_its_dead_letter_queue_and_its_reserved_concurrency(cloud):
    template = {
        "Resources": {
            "DeadLetters": {"Type": "AWS::SQS::Queue"},
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Runtime": "python3.13",
                    "Handler": "index.handle",
                    "Role": ROLE,
                    "Code": {"ZipFile": "def handle(event, context): return event"},
                    "DeadLetterConfig": {"TargetArn": {"Fn::GetAtt": ["DeadLetters", "Arn"]}},
                    "ReservedConcurrentExecutions": 3,
                },
            },
        },
        "Outputs": {"Name": {"Value": {"Ref": "Function"}}},
    }

    name = created(cloud, template)["Name"]

    function = cloud.client("lambda").get_function(FunctionName=name)
    assert "DeadLetters" in function["Configuration"]["DeadLetterConfig"]["TargetArn"]
    assert function["Concurrency"]["ReservedConcurrentExecutions"] == 3


@pytest.mark.parametrize(("names", "has_names"), [("", False), ("one", True), ("one,two", True)])
def test_a_condition_tells_an_empty_list_from_others(cloud, names, has_names):
    template = {
        "Parameters": {"Names": {"Type": "CommaDelimitedList", "Default": names}},
        "Conditions": {
            "HasNames": {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "Names"}]}, ""]}]},
        },
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {"Queue": {"Value": {"Ref": "Queue"}}, "Names": {"Condition": "HasNames", "Value": "yes"}},
    }

    assert ("Names" in created(cloud, template)) is has_names


@pytest.mark.parametrize(("region", "is_here"), [("us-east-1", True), ("eu-west-1", False)])
def test_a_condition_compares_the_region(cloud, region, is_here):
    template = {
        "Conditions": {"Here": {"Fn::Equals": [{"Ref": "AWS::Region"}, region]}},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {"Queue": {"Value": {"Ref": "Queue"}}, "Here": {"Condition": "Here", "Value": "yes"}},
    }

    assert ("Here" in created(cloud, template)) is is_here


def test_a_function_for_another_processor_fails_the_deployment_in_one_sentence(cloud):
    here = ARCHITECTURES[platform.machine().lower()]
    [other] = set(ARCHITECTURES.values()) - {here}
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handle",
            "Role": ROLE,
            "Architectures": [other],
            "Code": {"ZipFile": "def handle(event, context): return event"},
        },
    }
    stack = unique("stack")
    client = cloud.client("cloudformation")

    client.create_stack(StackName=stack, TemplateBody=json.dumps({"Resources": {"Mover": function}}))

    eventually(lambda: client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE")
    events = client.describe_stack_events(StackName=stack)["StackEvents"]
    reasons = [event["ResourceStatusReason"] for event in events if event["ResourceStatus"] == "CREATE_FAILED"]
    assert any(f"expected a function for {here}" in why and f"Architecture={here}" in why for why in reasons)


def test_the_generated_name_of_a_parameter_can_be_put_into_an_arn(cloud):
    parameter = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "on"}}

    outputs = created(cloud, {"Resources": {"Switch": parameter}, "Outputs": {"Name": {"Value": {"Ref": "Switch"}}}})

    found = cloud.client("ssm").get_parameter(Name=outputs["Name"])["Parameter"]
    assert found["ARN"].endswith(f":parameter/{outputs['Name']}")
    assert outputs["Name"].startswith("CFN-Switch-")
