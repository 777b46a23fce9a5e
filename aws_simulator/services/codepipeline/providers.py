"""The known action providers, with every configuration key of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Provider:
    required: frozenset[str]
    optional: frozenset[str]
    inputs: tuple[int, int]
    outputs: tuple[int, int]


def _provider(required: str, optional: str, inputs: tuple[int, int], outputs: tuple[int, int]) -> Provider:
    return Provider(frozenset(required.split()), frozenset(optional.split()), inputs, outputs)


_CODEBUILD = _provider(
    "ProjectName", "PrimarySource BatchEnabled BuildspecOverride CombineArtifacts EnvironmentVariables", (1, 5), (0, 5)
)

# (category, provider); the owner is always AWS, the version always 1.
PROVIDERS: dict[tuple[str, str], Provider] = {
    ("Source", "S3"): _provider(
        "S3Bucket S3ObjectKey", "PollForSourceChanges AllowOverrideForS3ObjectKey", (0, 0), (1, 1)
    ),
    ("Source", "CodeCommit"): _provider(
        "RepositoryName BranchName", "PollForSourceChanges OutputArtifactFormat", (0, 0), (1, 1)
    ),
    ("Source", "CodeStarSourceConnection"): _provider(
        "ConnectionArn FullRepositoryId BranchName", "OutputArtifactFormat DetectChanges", (0, 0), (1, 1)
    ),
    ("Build", "CodeBuild"): _CODEBUILD,
    ("Test", "CodeBuild"): _CODEBUILD,
    ("Invoke", "StepFunctions"): _provider("StateMachineArn", "ExecutionNamePrefix InputType Input", (0, 1), (0, 1)),
    ("Deploy", "CloudFormation"): _provider(
        "ActionMode StackName",
        "Capabilities ChangeSetName RoleArn TemplatePath TemplateConfiguration OutputFileName ParameterOverrides",
        (0, 10),
        (0, 1),
    ),
    ("Approval", "Manual"): _provider("", "NotificationArn CustomData ExternalEntityLink", (0, 0), (0, 0)),
}

# The additional keys that each of CloudFormation's modes requires.
MODES = {
    "CREATE_UPDATE": {"RoleArn", "TemplatePath"},
    "REPLACE_ON_FAILURE": {"RoleArn", "TemplatePath"},
    "CHANGE_SET_REPLACE": {"RoleArn", "TemplatePath", "ChangeSetName"},
    "CHANGE_SET_EXECUTE": {"ChangeSetName"},
    "DELETE_ONLY": {"RoleArn"},
}
