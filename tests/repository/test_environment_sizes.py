"""What the template puts into the environment of a function fits, and the guides say how much a deployer may add.

Lambda takes 4 KB for all variables of a function (Lambda developer guide, "Lambda quotas"), measured as JSON.
"""

import json
import re
from typing import Any

import pytest

from tests.support.definitions import ROOT, functions, template
from tests.support.rendering import rendered, transformed

LIMIT = 4_096
ACCOUNT = "us-gov-west-1:123456789012"
# The longest names that CloudFormation gives: a stack's name, the logical ID, and 13 characters, as far as they fit.
STACK_NAME = 128
QUEUE, FUNCTION, TABLE = "q" * 80, "f" * 64, "t" * (STACK_NAME + len("-RunTable-") + 13)
VALUES = {
    "AWS::SQS::Queue": {"": QUEUE, ".QueueName": QUEUE, ".Arn": f"arn:aws-us-gov:sqs:{ACCOUNT}:{QUEUE}"},
    "AWS::Lambda::Function": {"": FUNCTION, ".Arn": f"arn:aws-us-gov:lambda:{ACCOUNT}:function:{FUNCTION}"},
    "AWS::DynamoDB::Table": {"": TABLE},
    "AWS::IAM::Role": {".RoleId": "AROA1234567890EXAMPLE"},
    "AWS::S3::Bucket": {"": "b" * 63},
    "AWS::SNS::Topic": {"": f"arn:aws-us-gov:sns:{ACCOUNT}:{'s' * 256}"},
}
# An ARN of a function of yours with a name of 30 characters, and a pair of names of 30.
ARN = f"arn:aws:lambda:us-east-1:123456789012:function:{'n' * 30}"
PAIR = f"{'n' * 30}=ssm:/sqs-redrive/contracts/{'n' * 30}"


def size_of(function: Any, *, everything: bool) -> int:
    """Return the bytes of a function's variables: as it is by default, or with all conditions true."""
    variables = rendered(
        {**template()["Globals"]["Function"]["Environment"]["Variables"], **declared(function)}, examples=everything
    )
    text = json.dumps(variables, separators=(",", ":"))
    text = re.sub(r"\b(\w+)(\.Arn|\.QueueName|\.RoleId|)(?=\W)", longest, text)
    return len(text.encode())


def declared(function: Any) -> dict[str, Any]:
    found: dict[str, Any] = function.properties.get("Environment", {}).get("Variables", {})
    return found


def longest(found: re.Match[str]) -> str:
    resource = transformed()["Resources"].get(found[1])
    values = VALUES.get(resource["Type"], {}) if resource else {}
    return values.get(found[2], found[0])


@pytest.mark.parametrize("everything", [True, False], ids=["with everything", "without examples"])
@pytest.mark.parametrize("function", functions().values(), ids=lambda function: function.name)
def test_the_environment_fits_with_the_longest_names(function, everything):
    assert size_of(function, everything=everything) <= LIMIT


@pytest.mark.parametrize(
    ("guide", "sentence", "added"),
    [
        ("contracts", "has room for about {} such pairs next to the examples, {} without them", PAIR),
        ("deploy", "has room for about {} ARNs next to the examples and chat, {} without", ARN),
    ],
)
def test_the_documentation_says_how_many_contracts_and_destinations_fit(guide, sentence, added):
    room = [
        LIMIT - max(size_of(function, everything=everything) for function in functions().values())
        for everything in (True, False)
    ]
    expected = sentence.format(*(bytes_left // len(f"{added},") for bytes_left in room))
    assert expected in " ".join((ROOT / "docs" / "guides" / f"{guide}.md").read_text().split())
