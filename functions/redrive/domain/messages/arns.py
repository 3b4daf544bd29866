"""Reads ARNs.

Used by selection and sampling to show and match the name that people know a resource by, and to link to it.
"""

from __future__ import annotations

import re

# What the names of queues, functions, rules, schedules, pipes, topics, and buckets consist of. Anything else in an ARN
# was made up, and may be anything.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}", re.ASCII)

#: Console hosts by partition (AWS General Reference, "AWS service endpoints"; China and GovCloud user guides).
CONSOLES = {
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-eusc": "console.amazonaws-eusc.eu",
}


def console_address(arn: str, service: str, page: str) -> str:
    """Return the URL of a page in the AWS console, in the partition and Region of an ARN."""
    _, partition, _, region, *_ = arn.split(":")
    host = CONSOLES.get(partition, "console.aws.amazon.com")
    return f"https://{region}.{host}/{service}/home?region={region}#{page}"


def arn_name(arn: str | None) -> str | None:
    """Return the resource name in an ARN: without a function's qualifier, a schedule's group, and a subscriber's id.

    None for anything that isn't an ARN, which an envelope may hold instead.
    """
    parts = arn.split(":") if arn is not None and arn.startswith("arn:") else ()
    if len(parts) < 6:
        return None
    kind, *names = parts[-1].split("/")
    if parts[2] == "lambda" and len(parts) > 6:
        name = parts[6]
    elif (parts[2], kind) == ("events", "subscriber") and names:
        name = names[0]
    else:
        name = names[-1] if names else kind
    return name if _NAME.fullmatch(name) else None
