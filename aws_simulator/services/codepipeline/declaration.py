"""Checks of a pipeline's declaration beyond the shapes of CodePipeline's model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from aws_simulator.errors import ServiceError
from aws_simulator.services.codepipeline.providers import MODES, PROVIDERS, Provider
from aws_simulator.services.codepipeline.variables import references

Declaration = Mapping[str, Any]
SERVICE_VARIABLES = {"PipelineExecutionId"}
CONDITIONS = ("onFailure", "onSuccess", "beforeEntry")


def check(pipeline: Declaration) -> None:
    """Raise ServiceError as CreatePipeline and UpdatePipeline do."""
    stages = pipeline["stages"]
    v2 = pipeline.get("pipelineType", "V1") == "V2"
    if not v2 and (pipeline.get("variables") or pipeline.get("triggers")):
        raise _structure("Pipeline variables and triggers need pipeline type V2")
    if not v2 and pipeline.get("executionMode", "SUPERSEDED") != "SUPERSEDED":
        raise _structure("Execution modes QUEUED and PARALLEL need pipeline type V2")
    if pipeline.get("executionMode") == "PARALLEL":
        raise _structure("the simulator does not do execution mode PARALLEL")
    if len(stages) < 2:
        raise _structure("Pipeline should have at least 2 stages")
    if not pipeline.get("artifactStore"):
        raise _structure("the simulator does only pipelines with one artifactStore")
    _unique("stage", (stage["name"] for stage in stages), "InvalidStageDeclarationException")
    for number, stage in enumerate(stages):
        _check_stage(stage, first=number == 0)
    _check_flow(pipeline)


def _check_stage(stage: Declaration, first: bool) -> None:
    name = stage["name"]
    if unknown := [condition for condition in CONDITIONS if condition in stage]:
        raise _stage(f"the simulator does not do {unknown[0]} of a stage")
    if not stage["actions"]:
        raise _stage(f"Stage '{name}' must have at least one action")
    _unique("action", (action["name"] for action in stage["actions"]), "InvalidActionDeclarationException")
    for action in stage["actions"]:
        if (action["actionTypeId"]["category"] == "Source") != first:
            where = "The first stage may only contain" if first else f"Stage {name} may not contain"
            raise _stage(f"{where} source actions: {action['name']}")
        _check_action(action)


def _check_action(action: Declaration) -> None:
    kind, name = action["actionTypeId"], action["name"]
    provider = PROVIDERS.get((kind["category"], kind["provider"]))
    if provider is None or (kind["owner"], kind["version"]) != ("AWS", "1"):
        shown = "/".join(kind[part] for part in ("category", "owner", "provider", "version"))
        raise _action(f"ActionType ({shown}) is not available in region for action {name}")
    if not 1 <= action.get("runOrder", 1) <= 999:
        raise _action(f"Action {name}: runOrder must be from 1 to 999")
    _check_configuration(action, provider)
    for label, artifacts, (least, most) in (
        ("input", action.get("inputArtifacts", []), provider.inputs),
        ("output", action.get("outputArtifacts", []), provider.outputs),
    ):
        if not least <= len(artifacts) <= most:
            limits = f"between {least} and {most}" if least != most else str(least)
            raise _action(f"Action '{name}' must have {limits} {label} artifacts, not {len(artifacts)}")


def _check_configuration(action: Declaration, provider: Provider) -> None:
    configuration, name = action.get("configuration", {}), action["name"]
    mode = configuration.get("ActionMode", "")
    required = provider.required | MODES.get(mode, set())
    if "ActionMode" in provider.required and mode and mode not in MODES:
        raise _action(f"Action configuration for action '{name}' has an unknown ActionMode '{mode}'")
    if unknown := sorted(set(configuration) - provider.required - provider.optional):
        raise _action(f"Action configuration for action '{name}' contains unknown configuration '{unknown[0]}'")
    if missing := sorted(required - set(configuration)):
        raise _action(f"Action configuration for action '{name}' is missing required configuration '{missing[0]}'")
    if len(action.get("inputArtifacts", [])) > 1 and action["actionTypeId"]["provider"] == "CodeBuild":
        inputs = {artifact["name"] for artifact in action["inputArtifacts"]}
        if configuration.get("PrimarySource") not in inputs:
            raise _action(f"Action '{name}' has several inputs: PrimarySource must name one of them")


def _check_flow(pipeline: Declaration) -> None:
    """Check that artifacts and variables come from actions that run earlier."""
    produced: set[str] = set()
    namespaces = {"codepipeline", "variables"}
    declared = {variable["name"] for variable in pipeline.get("variables", [])}
    for stage in pipeline["stages"]:
        for order in sorted({action.get("runOrder", 1) for action in stage["actions"]}):
            group = [action for action in stage["actions"] if action.get("runOrder", 1) == order]
            for action in group:
                _check_inputs(action, produced)
                _check_references(action, namespaces, declared)
            outputs = [
                output_artifact["name"] for action in group for output_artifact in action.get("outputArtifacts", [])
            ]
            _unique("output artifact", [*produced, *outputs], "InvalidActionDeclarationException")
            produced.update(outputs)
            group_namespaces = [action["namespace"] for action in group if action.get("namespace")]
            _unique("namespace", [*namespaces, *group_namespaces], "InvalidStructureException")
            namespaces.update(group_namespaces)


def _check_inputs(action: Declaration, produced: set[str]) -> None:
    for artifact in action.get("inputArtifacts", []):
        if artifact["name"] not in produced:
            raise _action(f"Input Artifact Bundle {artifact['name']} in action {action['name']} is not declared as "
                          "Output Artifact Bundle in any of the preceding actions")  # fmt: skip


def _check_references(action: Declaration, namespaces: set[str], declared: set[str]) -> None:
    for value in action.get("configuration", {}).values():
        for namespace, name in references(value):
            variables = {"codepipeline": SERVICE_VARIABLES, "variables": declared}.get(namespace)
            if namespace not in namespaces or (variables is not None and name not in variables):
                raise _structure(f"Invalid variable #{{{namespace}.{name}}} in action {action['name']}")


def _unique(label: str, names: Iterable[str], code: str) -> None:
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ServiceError(code, f"The {label} name {twice[0]} is not unique")


def _structure(message: str) -> ServiceError:
    return ServiceError("InvalidStructureException", message)


def _stage(message: str) -> ServiceError:
    return ServiceError("InvalidStageDeclarationException", message)


def _action(message: str) -> ServiceError:
    return ServiceError("InvalidActionDeclarationException", message)
