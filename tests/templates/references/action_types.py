"""What CodePipeline knows of the action types that the pipeline uses, as data: cfn-lint does not look at it.

Source: AWS CodePipeline User Guide, "Action structure reference" and its page on each action (action-reference-
CodeCommit, -S3, -CodestarConnectionSource, -CodeBuild, -StepFunctions, -CloudFormation) and "Valid action providers"
and "Manual approval" in "Pipeline structure reference" (reference-pipeline-structure), read in November 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ActionType:
    """``inputs`` and ``outputs``:

    the lowest and the highest number of artifacts; ``choices``: the accepted values of a key.
    """

    category: str
    provider: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    choices: Mapping[str, tuple[str, ...]]
    owner: str = "AWS"
    version: str = "1"


BOOLEAN = ("true", "false")
ACTION_TYPES = (
    ActionType(
        "Source",
        "CodeCommit",
        ("RepositoryName", "BranchName"),
        ("PollForSourceChanges", "OutputArtifactFormat"),
        (0, 0),
        (1, 1),
        {"PollForSourceChanges": BOOLEAN, "OutputArtifactFormat": ("CODE_ZIP", "CODEBUILD_CLONE_REF")},
    ),
    ActionType(
        "Source",
        "S3",
        ("S3Bucket", "S3ObjectKey"),
        ("PollForSourceChanges", "AllowOverrideForS3ObjectKey"),
        (0, 0),
        (1, 1),
        {"PollForSourceChanges": BOOLEAN, "AllowOverrideForS3ObjectKey": BOOLEAN},
    ),
    ActionType(
        "Source",
        "CodeStarSourceConnection",
        ("ConnectionArn", "FullRepositoryId", "BranchName"),
        ("OutputArtifactFormat", "DetectChanges"),
        (0, 0),
        (1, 1),
        {"DetectChanges": BOOLEAN, "OutputArtifactFormat": ("CODE_ZIP", "CODEBUILD_CLONE_REF")},
    ),
    ActionType(
        "Build",
        "CodeBuild",
        ("ProjectName",),
        ("PrimarySource", "BatchEnabled", "CombineArtifacts", "EnvironmentVariables", "BuildspecOverride"),
        (1, 5),
        (0, 5),
        {"BatchEnabled": BOOLEAN, "CombineArtifacts": BOOLEAN},
    ),
    ActionType(
        "Invoke",
        "StepFunctions",
        ("StateMachineArn",),
        ("ExecutionNamePrefix", "InputType", "Input"),
        (0, 1),
        (0, 1),
        {"InputType": ("Literal", "FilePath")},
    ),
    ActionType(
        "Approval",
        "Manual",
        (),
        ("NotificationArn", "ExternalEntityLink", "CustomData"),
        (0, 0),
        (0, 0),
        {},
    ),
    ActionType(
        "Deploy",
        "CloudFormation",
        ("ActionMode", "StackName"),
        (
            "Capabilities",
            "ChangeSetName",
            "RoleArn",
            "TemplatePath",
            "TemplateConfiguration",
            "OutputFileName",
            "ParameterOverrides",
        ),
        (0, 10),
        (0, 1),
        {
            "ActionMode": (
                "CHANGE_SET_EXECUTE",
                "CHANGE_SET_REPLACE",
                "CREATE_UPDATE",
                "DELETE_ONLY",
                "REPLACE_ON_FAILURE",
            )
        },
    ),
)
# What some values make necessary besides: (key, value) to the keys that must be there then.
THEN_REQUIRED = {
    ("ActionMode", "CREATE_UPDATE"): ("RoleArn", "TemplatePath"),
    ("ActionMode", "REPLACE_ON_FAILURE"): ("RoleArn", "TemplatePath"),
    ("InputType", "FilePath"): ("Input",),
}
VALUE_LENGTH = 1000


def problems(pipeline: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors that CodePipeline would report about the actions of a pipeline's (resolved) properties."""
    produced: set[str] = set()
    for stage in pipeline["Stages"]:
        for action in sorted(stage["Actions"], key=lambda item: item.get("RunOrder", 1)):
            for problem in _problems(action, produced):
                yield f"{stage['Name']}/{action['Name']}: {problem}"
            produced |= {output_artifact["Name"] for output_artifact in action.get("OutputArtifacts", ())}


def _problems(action: Mapping[str, Any], produced: set[str]) -> Iterator[str]:
    type_id = action["ActionTypeId"]
    for kind in ACTION_TYPES:
        if all(getattr(kind, name.lower()) == str(value) for name, value in type_id.items()):
            yield from _configuration_problems(kind, action.get("Configuration", {}))
            yield from _artifact_problems(kind, action, produced)
            return
    yield f"there is no action type {' '.join(map(str, type_id.values()))}"


def _configuration_problems(kind: ActionType, configuration: Mapping[str, Any]) -> Iterator[str]:
    also = [key for item in configuration.items() for key in THEN_REQUIRED.get(item, ())]
    for key in (*kind.required, *also):
        if not configuration.get(key):
            yield f"{kind.provider} needs {key}"
    for key, value in configuration.items():
        if key not in kind.required + kind.optional:
            yield f"{kind.provider} does not know {key}"
        elif key in kind.choices and value not in kind.choices[key]:
            yield f"{key} is {value!r}, not one of {', '.join(kind.choices[key])}"
        elif not 1 <= len(str(value)) <= VALUE_LENGTH:
            yield f"{key} has {len(str(value))} characters, not 1 to {VALUE_LENGTH}"


def _artifact_problems(kind: ActionType, action: Mapping[str, Any], produced: set[str]) -> Iterator[str]:
    inputs = [input_artifact["Name"] for input_artifact in action.get("InputArtifacts", ())]
    outputs = [output_artifact["Name"] for output_artifact in action.get("OutputArtifacts", ())]
    for word, names, (least, most) in (("input", inputs, kind.inputs), ("output", outputs, kind.outputs)):
        if not least <= len(names) <= most:
            yield f"{kind.provider} takes {least} to {most} {word} artifacts, not {len(names)}"
    for name in inputs:
        if name not in produced:
            yield f"no earlier action makes {name}"
    for name in outputs:
        if name in produced:
            yield f"an earlier action makes {name} too"
    for key in ("TemplatePath", "TemplateConfiguration"):
        artifact = action.get("Configuration", {}).get(key, "").partition("::")[0]
        if artifact and artifact not in inputs:
            yield f"{key} names {artifact}, which is no input artifact"
