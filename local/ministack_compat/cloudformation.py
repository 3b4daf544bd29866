"""Makes CloudFormation accept more properties, definitions, and conditions, and name parameters as AWS does.

It refuses functions that this machine's processor can't run.

``local.ministack_compat.apply`` calls :func:`apply`.
"""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Callable
from typing import Any

import yaml
from ministack.services import cloudwatch, lambda_svc, stepfunctions
from ministack.services.cloudformation import changesets, engine, handlers, provisioners, stacks

from local.ministack_compat.fit import replace
from local.sam_deployment import ARCHITECTURES

Provisioned = tuple[str, dict[str, Any]]

_upstream_create = provisioners._lambda_create
_upstream_update = provisioners._lambda_update
_upstream_parameter = provisioners._ssm_create
_upstream_conditions = engine._evaluate_conditions


def apply() -> None:
    """Put the patches of this module in place."""
    # It warns at each deployment that its metrics of the template weren't published.
    logging.getLogger("samtranslator.metrics.metrics").setLevel(logging.ERROR)
    functions = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    functions["create"] = create_function
    functions["update"] = update_function
    for module in (engine, changesets, handlers, stacks):
        replace(module, _evaluate_conditions=evaluate_conditions)
    machines = provisioners._RESOURCE_HANDLERS["AWS::StepFunctions::StateMachine"]
    for step in ("create", "update"):
        machines[step] = _with_json_definition(machines[step])
    provisioners._RESOURCE_HANDLERS["AWS::SSM::Parameter"]["create"] = create_parameter
    provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::CompositeAlarm"] = {
        "create": create_composite_alarm,
        "update": update_composite_alarm,
        "delete": delete_composite_alarm,
    }


def evaluate_conditions(template: dict[str, Any], parameters: dict[str, Any]) -> dict[str, bool]:
    """Return whether each condition of a template holds.

    Conditions may compare what Fn::Join returns and pseudo parameters (AWS CloudFormation Template Reference,
    "Fn::Join", "Condition functions"); ministack compares the function and the pseudo parameter's name.
    """

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(part) for part in value]
        if not isinstance(value, dict):
            return value
        if "Fn::Join" in value or str(value.get("Ref")).startswith("AWS::"):
            return engine._resolve_refs(value, {}, parameters, {}, template.get("Mappings") or {}, "", "")
        return {key: resolved(part) for key, part in value.items()}

    conditions = resolved(template.get("Conditions") or {})
    holding: dict[str, bool] = _upstream_conditions({**template, "Conditions": conditions}, parameters)
    return holding


def create_composite_alarm(logical_id: str, properties: dict[str, Any], stack_name: str) -> Provisioned:
    """Create a composite alarm.

    ministack evaluates composite alarms, but its CloudFormation doesn't support their type (AWS CloudFormation Template
    Reference, AWS::CloudWatch::CompositeAlarm).

    Raises
    ------
    ValueError
        The alarm's rule cannot be parsed or names an alarm that does not exist.
    """
    name = properties.get("AlarmName") or provisioners._physical_name(stack_name, logical_id, max_len=255)
    return _put_composite_alarm(name, properties)


def update_composite_alarm(
    physical_id: str, _old_properties: dict[str, Any], properties: dict[str, Any], _stack_name: str
) -> Provisioned:
    """Update a composite alarm in place; its state stays if the new rule agrees with it."""
    return _put_composite_alarm(physical_id, properties)


def delete_composite_alarm(physical_id: str, _properties: dict[str, Any]) -> None:
    """Delete a composite alarm."""
    cloudwatch._composite_alarms.pop(physical_id, None)
    cloudwatch._composite_triggers.pop(physical_id, None)


def _put_composite_alarm(name: str, properties: dict[str, Any]) -> Provisioned:
    request = {**properties, "AlarmName": name}
    status, _headers, body = cloudwatch._put_composite_alarm({}, request, is_cbor=False, is_json=True)
    if status >= 400:
        raise ValueError(f"AWS::CloudWatch::CompositeAlarm {name}: {json.loads(body)['message']}")
    return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}


def create_parameter(logical_id: str, properties: dict[str, Any], stack_name: str) -> Provisioned:
    """Create a parameter; without a name, CloudFormation's begins with `CFN-`.

    ministack's begins with a slash, which an ARN leaves out (Systems Manager user guide, "Restricting access to
    Parameter Store parameters using IAM policies"), so a policy that puts the name into an ARN names another parameter.
    """
    name = properties.get("Name") or provisioners._physical_name("CFN", logical_id)
    created: Provisioned = _upstream_parameter(logical_id, {**properties, "Name": name}, stack_name)
    return created


def _with_json_definition(provision: Callable[..., Provisioned]) -> Callable[..., Provisioned]:
    """Let the definition of a state machine be YAML, as AWS does.

    ministack keeps the text as it is, and every execution fails to parse it (AWS CloudFormation Template Reference,
    AWS::StepFunctions::StateMachine: "DefinitionS3Location … in either JSON or YAML format").
    """

    def provision_with_json(*arguments: Any, **named: Any) -> Provisioned:
        arn, attributes = provision(*arguments, **named)
        machine = stepfunctions._state_machines[arn]
        if not machine["definition"].lstrip().startswith("{"):
            machine["definition"] = json.dumps(yaml.safe_load(machine["definition"]))
        return arn, attributes

    return provision_with_json


def create_function(logical_id: str, properties: dict[str, Any], stack_name: str) -> Provisioned:
    """Create a function with its dead-letter queue and its reserved concurrency.

    Raises
    ------
    ValueError
        The function is for another processor than this machine's, so its native code can't run.
    """
    _check_architecture(logical_id, properties)
    name, attributes = _upstream_create(logical_id, properties, stack_name)
    _apply_left_out(name, properties)
    return name, attributes


def update_function(
    physical_id: str,
    old_properties: dict[str, Any],
    properties: dict[str, Any],
    stack_name: str,
    logical_id: str | None = None,
) -> Provisioned:
    """Update a function with its dead-letter queue and its reserved concurrency.

    Raises
    ------
    ValueError
        The function is for another processor than this machine's, so its native code can't run.
    """
    _check_architecture(logical_id or physical_id, properties)
    name, attributes = _upstream_update(physical_id, old_properties, properties, stack_name, logical_id)
    _apply_left_out(name, properties)
    return name, attributes


def _check_architecture(logical_id: str, properties: dict[str, Any]) -> None:
    # Without the property, it's x86_64 (AWS CloudFormation Template Reference, AWS::Lambda::Function). Code that isn't
    # native runs on both.
    architectures = properties.get("Architectures")
    here = ARCHITECTURES[platform.machine().lower()]
    if architectures and architectures != [here]:
        raise ValueError(
            f"{logical_id}: expected a function for {here}, this machine's processor, found {architectures[0]}. "
            f"Build and deploy with Architecture={here} in --parameter-overrides."
        )


def _apply_left_out(name: str, properties: dict[str, Any]) -> None:
    function = lambda_svc._functions[name]
    if properties.get("DeadLetterConfig"):
        function["config"]["DeadLetterConfig"] = properties["DeadLetterConfig"]
    else:
        function["config"].pop("DeadLetterConfig", None)
    reserved = properties.get("ReservedConcurrentExecutions")
    function["concurrency"] = None if reserved is None else int(reserved)
