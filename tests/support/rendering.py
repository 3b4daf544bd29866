"""Renders the template: intrinsic functions worked out, or transformed by SAM as CloudFormation would.

Used by the tests of the template. In rendered values, a resource's logical ID stands for its own reference, and
`Resource.Attribute` for an attribute.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.definitions import ROOT, TEMPLATE, template

_VALUES = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/stack/1a2b3c4d-0000-0000-0000-000000000000",
    "AWS::StackName": "stack",
}
_NO_VALUE = "AWS::NoValue"
# The transform itself, with the managed policies that SAM looks up by name. The SAM CLI has an environment of its own.
_TRANSFORM = """
import json, sys
from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse

class ManagedPolicies:
    def load(self):
        names = ("service-role/AWSLambdaBasicExecutionRole", "service-role/AWSLambdaSQSQueueExecutionRole",
                 "AWSXrayWriteOnlyAccess")
        return {name: f"arn:aws:iam::aws:policy/{name}" for name in names}

template = SamTemplateValidator(yaml_parse(sys.stdin.read()), ManagedPolicies(), region="us-east-1")
json.dump(yaml_parse(template.get_translated_template_if_valid()), sys.stdout)
"""
_SAM_LOCK = ROOT / "requirements" / "sam.txt"
# What was transformed, by a hash of everything that it depends on, and how long it's kept.
_TRANSFORMED = ROOT / "build" / "transformed"
_KEPT_SECONDS = 86_400.0
_PLACE = re.compile(r"\$\{(!?)([^}]*)\}")


def rendered(value: Any, *, examples: bool, values: dict[str, str] | None = None) -> Any:
    """Return a part of the template as it is after deployment, with every condition true or every one false.

    Conditions guard the examples and what is off by default. `values` are what parameters and pseudo parameters have
    instead of their defaults.
    """
    if isinstance(value, list):
        parts = [rendered(part, examples=examples, values=values) for part in value]
        return [part for part in parts if part != _NO_VALUE]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Fn::If": [condition, yes, no]}:
            assert condition in template()["Conditions"], condition
            return rendered(yes if examples else no, examples=examples, values=values)
        case {"Ref": name}:
            return _reference(name, values or {})
    return _worked_out(
        {key: rendered(part, examples=examples, values=values) for key, part in value.items()}, values or {}
    )


def holds(condition: Any, values: dict[str, str]) -> bool:
    """Return whether a condition of the template holds with these values of parameters and pseudo parameters."""
    match condition:
        case str(name) | {"Condition": name}:
            found = holds(template()["Conditions"][name], values)
        case {"Fn::And": parts}:
            found = all(holds(part, values) for part in parts)
        case {"Fn::Or": parts}:
            found = any(holds(part, values) for part in parts)
        case {"Fn::Not": [part]}:
            found = not holds(part, values)
        case {"Fn::Equals": parts}:
            found = len({str(rendered(part, examples=True, values=values)) for part in parts}) == 1
        case _:
            raise ValueError(f"expected a function of conditions, found {condition}")
    return found


def _worked_out(function: dict[str, Any], values: dict[str, str]) -> Any:
    found: Any = function
    match function:
        case {"Fn::GetAtt": path}:
            found = ".".join(path)
        case {"Fn::Join": [separator, parts]}:
            found = str(separator).join(parts)
        case {"Fn::Split": [separator, text]}:
            found = text.split(separator)
        case {"Fn::Select": [index, parts]}:
            found = parts[int(index)]
        case {"Fn::FindInMap": [name, first, second]}:
            found = template()["Mappings"][name][first][second]
        case {"Fn::Sub": [text, places]}:
            found = _filled(text, values | places)
        case {"Fn::Sub": text}:
            found = _filled(text, values)
    return found


def _filled(text: str, places: dict[str, Any]) -> str:
    def fill(found: re.Match[str]) -> str:
        escaped, name = found.groups()
        return f"${{{name}}}" if escaped else str(_reference(name, places))

    return _PLACE.sub(fill, text)


def _reference(name: str, values: dict[str, Any]) -> Any:
    parameter = template()["Parameters"].get(name, {})
    return values.get(name, _VALUES.get(name, parameter.get("Default", name)))


@cache
def transformed(path: Path = TEMPLATE) -> dict[str, Any]:
    """Return a template as SAM transforms it, with every resource that CloudFormation creates."""
    text = path.read_text()
    made = hashlib.sha256("\0".join([_TRANSFORM, _SAM_LOCK.read_text(), text]).encode()).hexdigest()
    kept = _TRANSFORMED / f"{made}.json"
    _TRANSFORMED.mkdir(parents=True, exist_ok=True)
    # The workers of pytest-xdist want it at the same time.
    with (_TRANSFORMED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            for old in _TRANSFORMED.glob("*.json"):
                if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
                    old.unlink()
            part = kept.with_suffix(".part")
            part.write_text(_transform(text))
            part.rename(kept)
    answer: dict[str, Any] = json.loads(kept.read_text())
    return answer


def _transform(text: str) -> str:
    done = subprocess.run(
        [ROOT / ".venvs" / "sam" / "bin" / "python", "-c", _TRANSFORM],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
