"""ARNs: the name that a person knows a resource by."""

import pytest

from redrive.domain.messages.arns import arn_name


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:sqs:us-east-1:123456789012:orders", "orders"),
        ("arn:aws:lambda:us-east-1:123456789012:function:on-order", "on-order"),
        ("arn:aws:lambda:us-east-1:123456789012:function:on-order:live", "on-order"),
        ("arn:aws:scheduler:us-east-1:123456789012:schedule/group/nightly", "nightly"),
        ("arn:aws:events:us-east-1:123456789012:rule/bus/on-order", "on-order"),
        ("arn:aws:s3:::bucket", "bucket"),
        ("arn:aws:events:us-east-1:123456789012:subscriber/large-orders/EXAMPLEabcdef1234567890", "large-orders"),
        ("arn:aws:pipes:us-east-1:123456789012:pipe/orders", "orders"),
        ("arn:aws:sns:us-east-1:123456789012:", None),
        ("arn:aws:sns:us-east-1:123456789012:alice@example.com", None),
        ("arn:aws:s3:::\ud800", None),
        ("arn:aws:s3:::a\n", None),
        ("arn:short", None),
        ("orders", None),
        (None, None),
    ],
)
def test_the_name_is_without_qualifier_and_group(arn, name):
    assert arn_name(arn) == name
