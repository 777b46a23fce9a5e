"""The parts of pipeline.yaml that follow from the list of stages: the pipeline's stages, and the roles' keys in S3.

In the template, each part stands between two marks. `deploy-infra` writes these parts again from `core/stages.py`, so a
new stage is one line there, on AWS, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from mlops_cli.backends.aws.infra.compact_template import compact
from mlops_cli.backends.aws.runs.pipeline_variables import CHECKPOINTS, RECORD
from mlops_cli.backends.aws.runs.status import COMMAND, DECIDING, DECISION, ENDPOINT, GATE_RESULT, JOB, ROLLBACK
from mlops_cli.backends.aws.runs.store import DECIDED
from mlops_cli.core.stages import DEPLOYMENT, ENDPOINT_GATE, STAGES, Kind, Stage
from mlops_cli.errors import ConfigurationError

# CodePipeline uses this number of characters of an artifact's name as its folder.
ARTIFACT_LENGTH = 10
# The metadata of one resource.
CHECKERS_NOTES = re.compile(r"^( +)Metadata:\n\1  checkov:\n(?:\1 {3,}.*\n)+", re.MULTILINE)
# The order in which the console asks for parameters.
INTERFACE = re.compile(r"^Metadata:\n(?: .*\n)+", re.MULTILINE)
# The parameters and outputs, and a description in them: only `mlops` sets and reads them.
PARAMETERS = re.compile(r"^(?:Parameters|Outputs):\n(?: .*\n)+", re.MULTILINE)
DESCRIPTION = re.compile(r"^( +)(?:Constraint)?Description: .*\n(?:\1 +.*\n)*", re.MULTILINE)
# A list of actions, one on each line.
ACTIONS = re.compile(r"^( +)Action:\n((?:\1  - [\w:-]+\n)+)", re.MULTILINE)
# The name of a statement, before its other keys.
STATEMENT_NAME = re.compile(r"^( *)- Sid: \w+\n\1  (?=\S)", re.MULTILINE)
# Keys within one line, where a comma needs no space.
FLOW_KEY = re.compile(r", ([A-Z]\w*): ")
ARN = "- !Sub arn:${AWS::Partition}:s3:::${BucketName}"
RUN_ID = {"MLOPS_RUN_ID": "#{codepipeline.PipelineExecutionId}"}
OPTIONS = {
    "MLOPS_OVERRIDES": "#{variables.overrides}",
    "MLOPS_FROM": "#{variables.from}",
    "MLOPS_FORCE": "#{variables.force}",
}


def render(text: str, stages: Sequence[Stage] = STAGES) -> str:
    """Return the template with its marked parts generated for these stages."""
    steps = [stage.name for stage in stages] + [ROLLBACK]
    code_steps = [stage.name for stage in stages if stage.kind not in (Kind.APPROVAL, Kind.DEPLOY)]
    _check_artifacts(code_steps)
    parts = {
        "stages": "".join(_stage(stage, _step_before(stage, stages)) for stage in stages),
        "artifacts of code steps": _artifacts(code_steps),
        "records of code steps": _records(stage.name for stage in stages if stage.name not in DECIDED),
        "artifacts of decisions": _artifacts(name for name in steps if name in DECIDING),
        "records of decisions": _records(sorted(stage.name for stage in stages if stage.name in DECIDED)),
    }
    for name, part in parts.items():
        text = _replace(text, name, part)
    return text


def as_sent(text: str) -> str:
    """Return the template without comments and descriptions: CloudFormation limits its length."""
    lines = text.splitlines(keepends=True)
    short = "".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    short = ACTIONS.sub(_in_one_line, CHECKERS_NOTES.sub("", INTERFACE.sub("", short)))
    short = PARAMETERS.sub(lambda parameters: DESCRIPTION.sub("", parameters[0]), short)
    short = STATEMENT_NAME.sub(r"\1- ", FLOW_KEY.sub(r",\1: ", short))
    return compact(re.sub(r'"},\n *\{"name"', '"}, {"name"', short))


def _in_one_line(actions: re.Match[str]) -> str:
    names = (line.strip(" -") for line in actions[2].splitlines())
    return f"{actions[1]}Action: [{','.join(names)}]\n"


def _replace(text: str, name: str, part: str) -> str:
    marked = re.compile(rf"^( *)# begin: {name}\n.*?^ *# end: {name}\n", re.MULTILINE | re.DOTALL)
    if not marked.search(text):
        raise ConfigurationError(
            f"templates/pipeline.yaml has no lines '# begin: {name}' and '# end: {name}'.",
            "Move it away, then add it anew: mlops init . --aws",
        )

    def indented(match: re.Match[str]) -> str:
        margin = match[1]
        lines = [margin + line if line.strip() else line for line in part.splitlines(keepends=True)]
        return f"{margin}# begin: {name}\n{''.join(lines)}{margin}# end: {name}\n"

    return marked.sub(indented, text)


def _check_artifacts(code_steps: Sequence[str]) -> None:
    """Raise ConfigurationError if a step that runs the repository's code could write the files of decisions."""
    decisions = {name[:ARTIFACT_LENGTH]: name for name in DECIDING}
    for name in code_steps:
        if decision := decisions.get(name[:ARTIFACT_LENGTH]):
            raise ConfigurationError(
                f"The stages {name} and {decision} begin with the same {ARTIFACT_LENGTH} characters: "
                "CodePipeline keeps their artifacts in one folder.",
                f"Rename {name} in core/stages.py.",
            )


def _artifacts(names: Iterable[str]) -> str:
    folders = dict.fromkeys(name[:ARTIFACT_LENGTH] for name in names)
    return "".join(f"{ARN}/${{ArtifactFolder}}/{folder}/*\n" for folder in folders)


def _records(names: Iterable[str]) -> str:
    return "".join(f"{ARN}/${{KeyPrefix}}records/{name}/*\n" for name in names)


def _step_before(stage: Stage, stages: Sequence[Stage]) -> str:
    """Return the last earlier step that runs the repository's code; empty for the first one."""
    before = [candidate.name for candidate in stages[: stages.index(stage)] if candidate.name not in DECIDING]
    return before[-1] if before else ""


def _stage(stage: Stage, before: str) -> str:
    options = OPTIONS if not before or stage.kind is Kind.APPROVAL else {}
    record = {} if stage.kind is Kind.DEPLOY else _exported(RECORD, before)
    checkpoints = _exported(CHECKPOINTS, STAGES[0].name) if stage.kind in (Kind.TRAINING, Kind.APPROVAL) else {}
    actions = [_command(stage.name, stage, COMMAND, 1, {**options, **record, **checkpoints}), *_native(stage)]
    return f"- Name: {stage.name}\n  Actions:\n" + "".join(_indented(action, 2) for action in actions)


def _native(stage: Stage) -> list[str]:
    """Return the actions after the step."""
    if stage.kind in (Kind.PROCESSING, Kind.TRAINING):
        return [_state_machine(JOB, 2, stage.name)]
    if stage.kind is Kind.APPROVAL:
        return [MANUAL_APPROVAL]
    if stage.kind is Kind.DEPLOY:
        return [_cloudformation(2, stage.name)]
    if stage.name == ENDPOINT_GATE.name:
        return [
            "# The gate's result comes from the repository; its consequence is decided without the repository's code.\n"
            + _command(ROLLBACK, stage, ROLLBACK, 2, _exported(RECORD, stage.name)),
            "# No change after a passed gate; otherwise the previous model is deployed.\n"
            + _cloudformation(3, ROLLBACK),
            _state_machine(GATE_RESULT, 4, ROLLBACK),
        ]
    return []


def _exported(name: str, step: str) -> dict[str, str]:
    """Return a variable that an earlier step of the same run exports; none for the first step."""
    return {name: f"#{{{step}.{name}}}"} if step else {}


def _command(step: str, stage: Stage, action: str, order: int, options: Mapping[str, str]) -> str:
    """Return the CodeBuild action that runs `mlops stage`. Its output artifact has the step's name."""
    values = {"MLOPS_STAGE_NAME": step, "MLOPS_STAGE_KIND": stage.kind.value, **RUN_ID, **options}
    if step == DEPLOYMENT.name:  # it rejects the model that a rollback replaces
        values["MLOPS_ROLLBACK"] = "#{variables.rollback}"
    variables = ",\n      ".join(f'{{"name":"{name}","value":"{value}"}}' for name, value in values.items())
    project, namespace = ("DecisionProject", "") if step in DECIDING else ("BuildProject", f"\n  Namespace: {step}")
    return f"""\
- Name: {action}
  RunOrder: {order}
  ActionTypeId: {{Category: Build, Owner: AWS, Provider: CodeBuild, Version: "1"}}
  InputArtifacts: [{{Name: SourceOutput}}]
  OutputArtifacts: [{{Name: {step}}}]{namespace}
  Configuration:
    ProjectName: !Ref {project}
    EnvironmentVariables: >-
      [{variables}]
"""


def _state_machine(action: str, order: int, artifact: str) -> str:
    return f"""\
- Name: {action}
  RunOrder: {order}
  ActionTypeId: {{Category: Invoke, Owner: AWS, Provider: StepFunctions, Version: "1"}}
  InputArtifacts: [{{Name: {artifact}}}]
  Configuration:
    StateMachineArn: !Ref StateMachine
    InputType: FilePath
    Input: request.json
"""


def _cloudformation(order: int, artifact: str) -> str:
    return f"""\
- Name: {ENDPOINT}
  RunOrder: {order}
  ActionTypeId: {{Category: Deploy, Owner: AWS, Provider: CloudFormation, Version: "1"}}
  InputArtifacts: [{{Name: {artifact}}}]
  Configuration:
    ActionMode: CREATE_UPDATE
    StackName: !Ref EndpointStackName
    RoleArn: !GetAtt DeployRole.Arn
    TemplatePath: {artifact}::endpoint.yaml
    TemplateConfiguration: {artifact}::endpoint.json
"""


MANUAL_APPROVAL = f"""\
- Name: {DECISION}
  RunOrder: 2
  ActionTypeId: {{Category: Approval, Owner: AWS, Provider: Manual, Version: "1"}}
  Configuration:
    NotificationArn: !Ref Topic
    CustomData: >-
      A model waits for a decision. See the evidence and decide:
      mlops --target aws approve #{{codepipeline.PipelineExecutionId}}
    ExternalEntityLink: !Sub "https://${{AWS::Region}}.console.aws.amazon.com/s3/object/${{BucketName}}\\
      ?region=${{AWS::Region}}&prefix=${{KeyPrefix}}decisions/#{{codepipeline.PipelineExecutionId}}/report.html"
"""


def _indented(text: str, width: int) -> str:
    return "".join(" " * width + line for line in text.splitlines(keepends=True))
