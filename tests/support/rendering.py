"""Renders the template: intrinsic functions worked out, or transformed by SAM as CloudFormation would.

Used by the tests of the template. In rendered values, a resource's logical ID stands for its own reference, and
`Resource.Attribute` for an attribute.
"""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.definitions import ROOT, TEMPLATE, template

_VALUES = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
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
_PLACE = re.compile(r"\$\{(!?)([^}]*)\}")


def rendered(value: Any, *, examples: bool) -> Any:
    """Return a part of the template as it is after deployment, with every condition true or every one false.

    Conditions guard the examples and what is off by default.
    """
    if isinstance(value, list):
        parts = [rendered(part, examples=examples) for part in value]
        return [part for part in parts if part != _NO_VALUE]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Fn::If": [condition, yes, no]}:
            assert condition in template()["Conditions"], condition
            return rendered(yes if examples else no, examples=examples)
        case {"Ref": name}:
            return _reference(name)
    return _worked_out({key: rendered(part, examples=examples) for key, part in value.items()})


def _worked_out(function: dict[str, Any]) -> Any:
    match function:
        case {"Fn::GetAtt": path}:
            return ".".join(path)
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(parts)
        case {"Fn::Split": [separator, text]}:
            return text.split(separator)
        case {"Fn::Sub": [text, places]}:
            return _filled(text, places)
        case {"Fn::Sub": text}:
            return _filled(text, {})
    return function


def _filled(text: str, places: dict[str, Any]) -> str:
    def fill(found: re.Match[str]) -> str:
        escaped, name = found.groups()
        return f"${{{name}}}" if escaped else str(places.get(name, _reference(name)))

    return _PLACE.sub(fill, text)


def _reference(name: str) -> Any:
    parameter = template()["Parameters"].get(name, {})
    return _VALUES.get(name, parameter.get("Default", name))


@cache
def transformed(path: Path = TEMPLATE) -> dict[str, Any]:
    """Return a template as SAM transforms it, with every resource that CloudFormation creates."""
    done = subprocess.run(
        [ROOT / ".venvs" / "sam" / "bin" / "python", "-c", _TRANSFORM],
        input=path.read_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
