"""Copies of the app whose mover breaks a safety rule on purpose, to show that the judge notices it.

Used by `tests.faults.test_faults`.
"""

from __future__ import annotations

import copy
import urllib.request

from tests.faults.suite import Stage
from tests.support.packages import with_changed

_HANDLER = "redrive/handlers/mover.py"
_ROLE = "arn:aws:iam::000000000000:role/any"
_PERFORM = """

# The rest breaks a safety rule on purpose (tests/faults/broken_mover.py).
from redrive.adapters import pipeline as _pipeline
from redrive.domain.moving.actions import BatchResult as _BatchResult, Send as _Send

_perform = _pipeline.Pipeline._perform
_late = []


def _broken(self, action):
{body}


_pipeline.Pipeline._perform = _broken
# Otherwise, most requests are made without it.
_pipeline.Pipeline._sent = lambda self, action: None
"""
# What `_broken` does, by the rule that it breaks.
BROKEN = {
    # A message counts as sent whatever its destination answers, and is deleted.
    "send-before-delete": """
    outcome = _perform(self, action)
    return _BatchResult() if isinstance(action, _Send) else outcome
""",
    # Every batch is sent twice.
    "send-once": """
    if isinstance(action, _Send):
        _perform(self, action)
    return _perform(self, action)
""",
    # The first batch is sent after the second one.
    "keep-order": """
    if isinstance(action, _Send) and not _late:
        _late.append(action)
        return _BatchResult()
    outcome = _perform(self, action)
    if isinstance(action, _Send) and len(_late) == 1:
        _late.append(_perform(self, _late[0]))
    return outcome
""",
}


def broken(stage: Stage, rule: str) -> Stage:
    """Return a stage whose runs use a copy of the mover that breaks a rule."""
    functions, workflow = stage.cloud.client("lambda"), stage.cloud.client("stepfunctions")
    original = functions.get_function(FunctionName=stage.stack.resource("MoverFunction"))
    configuration = original["Configuration"]
    arn = functions.create_function(
        FunctionName=f"broken-{rule}",
        Runtime=configuration["Runtime"],
        Role=configuration["Role"],
        Handler=configuration["Handler"],
        Timeout=configuration["Timeout"],
        Environment={"Variables": configuration["Environment"]["Variables"]},
        Code={"ZipFile": _patched(original["Code"]["Location"], BROKEN[rule])},
    )["FunctionArn"]
    definition = workflow.describe_state_machine(stateMachineArn=stage.machine)["definition"]
    assert configuration["FunctionArn"] in definition
    other = copy.copy(stage)
    other.machine = workflow.create_state_machine(
        name=f"broken-{rule}", definition=definition.replace(configuration["FunctionArn"], arn), roleArn=_ROLE
    )["stateMachineArn"]
    return other


def _patched(location: str, body: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(location, timeout=30) as response:
        return with_changed(response.read(), _HANDLER, lambda source: source + _PERFORM.format(body=body).encode())
