"""What a verification makes, and removes: queues, and for one scenario a function with its role.

Everything has a name with the prefix and the run's ID, and a tag with that ID. Nothing else is ever changed or removed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from verify.aws import Aws, code_of, is_denied, sentence
from verify.errors import MismatchError

# Not redrive:verify: a tag that begins with "redrive:" and isn't redrive:max-rate ends a run (docs/design/moving.md).
TAG = "sqs-redrive:verify"
# IAM reference, "IAM identifiers": ListRoles takes a path, and no prefix of a name.
ROLE_PATH = "/sqs-redrive-verify/"
ROLE_POLICY = "send-to-its-queues"
_RETENTION_SECONDS = 3600
_CREATION_SECONDS = 30
_GONE = {
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
    "NoSuchEntity",
}
_PAUSES_SECONDS = (1, 2, 0)


@dataclass(frozen=True)
class Queue:
    """A queue, by all its names."""

    name: str
    url: str
    arn: str


@dataclass(frozen=True)
class Thing:
    """Something that the verification made: `queue`, `function`, or `role`, and what it takes to remove it."""

    kind: str
    name: str
    #: The URL of a queue, the name of anything else.
    reference: str
    #: The run that made it.
    run_id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def command(self) -> str:
        """The AWS CLI command that removes it."""
        if self.kind == "queue":
            return f"aws sqs delete-queue --queue-url {self.reference}"
        if self.kind == "function":
            return f"aws lambda delete-function --function-name {self.reference}"
        return (
            f"aws iam delete-role-policy --role-name {self.reference} --policy-name {ROLE_POLICY}; "
            f"aws iam delete-role --role-name {self.reference}"
        )


@dataclass
class Owned:
    """Makes things for one scenario of a run, and removes them."""

    aws: Aws
    prefix: str
    run_id: str
    _things: list[Thing] = field(default_factory=list)

    def queue(self, name: str, *, fifo: bool = False, **attributes: str) -> Queue:
        """Create a queue for one hour's messages, encrypted by SQS."""
        name = f"{self.prefix}-{self.run_id}-{name}" + (".fifo" if fifo else "")
        attributes = {
            "MessageRetentionPeriod": str(_RETENTION_SECONDS),
            "SqsManagedSseEnabled": "true",
            **({"FifoQueue": "true"} if fifo else {}),
            **attributes,
        }
        url = self.aws.sqs.create_queue(QueueName=name, Attributes=attributes, tags={TAG: self.run_id})["QueueUrl"]
        self._things.append(Thing("queue", name, url, self.run_id))
        return Queue(name, url, self._arn_of(url))

    def _arn_of(self, url: str) -> str:
        # "You must wait at least one second after the queue is created" (SQS API reference, "CreateQueue").
        for _ in range(_CREATION_SECONDS):
            try:
                found = self.aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
                return str(found["QueueArn"])
            except ClientError as error:
                if code_of(error) not in _GONE:
                    raise
            time.sleep(1)
        raise MismatchError(f"Expected a new queue to exist within {_CREATION_SECONDS} seconds; it didn't.")

    def role(self, trust: dict[str, Any], policy: dict[str, Any], boundary: str) -> str:
        """Create a role and return its ARN."""
        name = f"{self.prefix}-{self.run_id}"
        options = {"PermissionsBoundary": boundary} if boundary else {}
        arn: str = self.aws.iam.create_role(
            Path=ROLE_PATH,
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(trust),
            Tags=[{"Key": TAG, "Value": self.run_id}],
            **options,
        )["Role"]["Arn"]
        self._things.append(Thing("role", name, name, self.run_id))
        self.aws.iam.put_role_policy(RoleName=name, PolicyName=ROLE_POLICY, PolicyDocument=json.dumps(policy))
        return arn

    def function(self, name: str, **settings: Any) -> None:
        """Create a function."""
        self.aws.functions.create_function(FunctionName=name, Tags={TAG: self.run_id}, **settings)
        self._things.append(Thing("function", name, name, self.run_id))

    def remove(self) -> dict[Thing, str]:
        """Remove what was made, the last first; return what is left, each with the reason."""
        left = remove(self.aws, list(reversed(self._things)))
        self._things = list(left)
        return left


def remove(aws: Aws, things: list[Thing]) -> dict[Thing, str]:
    """Remove things; return what is left, each with the reason."""
    left: dict[Thing, str] = {}
    for thing in things:
        for pause in _PAUSES_SECONDS:
            try:
                _remove(aws, thing)
                left.pop(thing, None)
                break
            except (ClientError, BotoCoreError) as error:
                if isinstance(error, ClientError) and code_of(error) in _GONE:
                    left.pop(thing, None)
                    break
                left[thing] = sentence(error)
                if isinstance(error, ClientError) and is_denied(error):
                    break
                time.sleep(pause)
    return left


def _remove(aws: Aws, thing: Thing) -> None:
    match thing.kind:
        case "queue":
            aws.sqs.delete_queue(QueueUrl=thing.reference)
        case "function":
            aws.functions.delete_function(FunctionName=thing.reference)
        case _:
            try:
                aws.iam.delete_role_policy(RoleName=thing.reference, PolicyName=ROLE_POLICY)
            except ClientError as error:
                if code_of(error) not in _GONE:
                    raise
            aws.iam.delete_role(RoleName=thing.reference)


def leftovers(aws: Aws, prefix: str, function_name: str) -> list[Thing]:
    """Return what other runs have made with this prefix and not removed, by its tag."""
    return [
        *_tagged_queues(aws, prefix),
        *_tagged_functions(aws, function_name),
        *_tagged_roles(aws, prefix),
    ]


def _tagged_queues(aws: Aws, prefix: str) -> Iterator[Thing]:
    pages = aws.sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix=f"{prefix}-", PaginationConfig={"PageSize": 1000}
    )
    for page in pages:
        for url in page.get("QueueUrls", []):
            try:
                tags = aws.sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
            except ClientError as error:
                # It is still listed for up to 60 seconds after it was deleted (SQS API reference, "DeleteQueue").
                if code_of(error) in _GONE:
                    continue
                raise
            if TAG in tags:
                yield Thing("queue", url.rsplit("/", 1)[1], url, tags[TAG])


def _tagged_functions(aws: Aws, name: str) -> Iterator[Thing]:
    try:
        tags = aws.functions.get_function(FunctionName=name).get("Tags", {})
    except ClientError as error:
        # Whoever may not read it hasn't made it.
        if code_of(error) in _GONE or is_denied(error):
            return
        raise
    if TAG in tags:
        yield Thing("function", name, name, tags[TAG])


def _tagged_roles(aws: Aws, prefix: str) -> Iterator[Thing]:
    try:
        pages = list(aws.iam.get_paginator("list_roles").paginate(PathPrefix=ROLE_PATH))
    except ClientError as error:
        if is_denied(error):
            return
        raise
    for role in (role for page in pages for role in page["Roles"]):
        if role["Path"] == ROLE_PATH and role["RoleName"].startswith(f"{prefix}-"):
            tags = {tag["Key"]: tag["Value"] for tag in aws.iam.list_role_tags(RoleName=role["RoleName"])["Tags"]}
            if TAG in tags:
                yield Thing("role", role["RoleName"], role["RoleName"], tags[TAG])
