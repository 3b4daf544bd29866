"""Reads template.yaml and the workflows' definitions as data, with CloudFormation's short forms written out.

Used by the tests of both, and by those that run handlers with the environment and permissions of the template.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"
DEFINITIONS = {
    path.name.removesuffix(".asl.yaml"): path for path in sorted((ROOT / "statemachines").glob("*.asl.yaml"))
}


class _TemplateLoader(yaml.SafeLoader):
    """YAML with CloudFormation's tags."""


def _long_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if tag == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


_TemplateLoader.add_multi_constructor("!", _long_form)


@cache
def template() -> dict[str, Any]:
    """Return template.yaml."""
    loaded: dict[str, Any] = yaml.load(TEMPLATE.read_text(), _TemplateLoader)
    return loaded


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of all resources of a type, by name."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template()["Resources"].items()
        if resource["Type"] == kind
    }


@cache
def definition(name: str = "redrive") -> dict[str, Any]:
    """Return a workflow by the name of its file, with `${...}` as they stand."""
    loaded: dict[str, Any] = yaml.safe_load(DEFINITIONS[name].read_text())
    return loaded


def statements(found: Any) -> Iterator[dict[str, Any]]:
    """Return every policy statement in a part of the template."""
    if isinstance(found, dict):
        if "Effect" in found:
            yield found
            return
        found = list(found.values())
    if isinstance(found, list):
        for part in found:
            yield from statements(part)


def listed(value: Any) -> list[Any]:
    """Return a list, where the template may also have a single value."""
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Function:
    """A Lambda function of the template."""

    name: str
    properties: dict[str, Any]

    @property
    def module(self) -> str:
        """The module of its handler."""
        path: str = self.properties["Handler"]
        return path.removesuffix(".handler")

    @property
    def variables(self) -> set[str]:
        """The names in its environment, without those that all functions share."""
        return set(self.properties.get("Environment", {}).get("Variables", {}))

    @property
    def timeout(self) -> int:
        """Seconds until Lambda ends it."""
        seconds: int = self.properties.get("Timeout", template()["Globals"]["Function"]["Timeout"])
        return seconds

    @property
    def allowed(self) -> set[str]:
        """The actions that its role allows, besides what SAM adds for logs and traces."""
        attached = [
            policy["PolicyDocument"]
            for policy in resources("AWS::IAM::Policy").values()
            if {"Ref": f"{self.name}Role"} in policy["Roles"]
        ]
        policies = [self.properties.get("Policies", []), *attached]
        return {action for statement in statements(policies) for action in listed(statement["Action"])}

    def task_models(self, step: str | None = None) -> tuple[Any, Any]:
        """Return the models of its event and of its answer; for a function of several steps, those of one."""
        handler: Any = importlib.import_module(self.module).handler
        task = handler if step is None else handler.steps[step]
        hints = get_type_hints(task.__wrapped__)
        return hints["event"], hints["return"]


def functions() -> dict[str, Function]:
    """Return the functions of the template, by name."""
    return {name: Function(name, found) for name, found in resources("AWS::Serverless::Function").items()}
