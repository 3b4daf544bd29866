"""Works out CloudFormation's intrinsic functions, with names of resources in place of what they become.

Used by the tests of what the template puts into strings: a resource stands for its own reference, and
`Resource.Attribute` for an attribute.
"""

from __future__ import annotations

import re
from typing import Any

from tests.support.definitions import template

_VALUES = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "stack",
}
_NO_VALUE = "AWS::NoValue"
_PLACE = re.compile(r"\$\{(!?)([^}]*)\}")


def rendered(value: Any, *, examples: bool) -> Any:
    """Return a part of the template as it is after deployment, with all that has a condition or without.

    What has a condition are the examples first of all, and what is off unless it is asked for.
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
    told = {key: rendered(part, examples=examples) for key, part in value.items()}
    return _worked_out(told)


def _worked_out(function: dict[str, Any]) -> Any:
    match function:
        case {"Fn::GetAtt": path}:
            return ".".join(path)
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(parts)
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
