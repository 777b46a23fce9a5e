"""The pipeline as CodePipeline and Step Functions read it: valid actions, our stages, and the end of a job's wait."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from mlops_cli.backends.aws.runs.status import DECIDING
from mlops_cli.core.stages import APPROVAL, STAGES, Kind
from tests.templates.references.action_types import problems
from tests.templates.template import VARIANTS, variant

PIPELINES = [name for name, (template, _) in VARIANTS.items() if template == "pipeline"]
NATIVE = {
    Kind.PROCESSING: "StepFunctions",
    Kind.TRAINING: "StepFunctions",
    Kind.APPROVAL: "Manual",
    Kind.DEPLOY: "CloudFormation",
}


def pipeline(name: str = "pipeline-codecommit") -> dict[str, Any]:
    return variant(name).resources["Pipeline"]["Properties"]


@pytest.mark.parametrize("name", PIPELINES)
def test_every_action_is_one_that_codepipeline_knows(name: str) -> None:
    assert list(problems(pipeline(name))) == []


def put(document: Any, path: str, value: Any) -> None:
    *parents, last = path.split("/")
    for name in parents:
        document = document[int(name) if name.isdecimal() else name]
    if value is None:
        del document[last]
    else:
        document[last] = value


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("1/Actions/0/Configuration/ProjectNam", "x", "preprocess/command: CodeBuild does not know ProjectNam"),
        ("1/Actions/0/Configuration/ProjectName", None, "preprocess/command: CodeBuild needs ProjectName"),
        ("1/Actions/0/ActionTypeId/Provider", "CodeMake", "there is no action type Build AWS CodeMake 1"),
        ("1/Actions/0/ActionTypeId/Category", "Invoke", "there is no action type Invoke AWS CodeBuild 1"),
        ("1/Actions/0/ActionTypeId/Owner", "Custom", "there is no action type Build Custom CodeBuild 1"),
        ("1/Actions/0/ActionTypeId/Version", "2", "there is no action type Build AWS CodeBuild 2"),
        ("1/Actions/0/InputArtifacts", [], "CodeBuild takes 1 to 5 input artifacts, not 0"),
        ("1/Actions/0/Configuration/EnvironmentVariables", "x" * 1001, "EnvironmentVariables has 1001 characters"),
        ("1/Actions/1/Configuration/InputType", "Path", "InputType is 'Path', not one of Literal, FilePath"),
        ("1/Actions/1/Configuration/Input", None, "StepFunctions needs Input"),
        ("1/Actions/1/InputArtifacts", [{"Name": "train"}], "preprocess/job: no earlier action makes train"),
        ("3/Actions/0/OutputArtifacts", [{"Name": "preprocess"}], "an earlier action makes preprocess too"),
        ("5/Actions/1/Configuration/RoleArn", None, "deploy/endpoint: CloudFormation needs RoleArn"),
        ("5/Actions/1/Configuration/TemplatePath", "Other::x", "TemplatePath names Other, which is no input artifact"),
    ],
)
def test_an_action_that_codepipeline_would_refuse_is_found(path: str, value: Any, expected: str) -> None:
    broken = deepcopy(pipeline())
    put(broken["Stages"], path, value)
    assert [problem for problem in problems(broken) if expected in problem]


@pytest.mark.parametrize("name", PIPELINES)
def test_the_pipelines_stages_are_those_of_every_target(name: str) -> None:
    names = [stage["Name"] for stage in pipeline(name)["Stages"]]
    assert names == ["Source", *(stage.name for stage in STAGES)]


def test_each_stage_is_a_command_and_the_action_that_waits_for_its_result() -> None:
    for stage, declared in zip(STAGES, pipeline()["Stages"][1:], strict=True):
        command, *native = sorted(declared["Actions"], key=lambda action: action["RunOrder"])
        assert (command["Name"], command["ActionTypeId"]["Provider"]) == ("command", "CodeBuild")
        way_back = ["CodeBuild", "CloudFormation", "StepFunctions"] if stage is STAGES[-1] else []
        expected = [NATIVE[stage.kind]] if stage.kind in NATIVE else way_back
        assert [action["ActionTypeId"]["Provider"] for action in native] == expected


def builds() -> list[tuple[str, dict[str, Any]]]:
    """Return each step by its command: its stage, or the command after the last gate."""
    stages = [(stage["Name"], action) for stage in pipeline()["Stages"][1:] for action in stage["Actions"]]
    steps = [(stage, item) for stage, item in stages if item["ActionTypeId"]["Provider"] == "CodeBuild"]
    return [(stage if step["Name"] == "command" else step["Name"], step) for stage, step in steps]


ROLLBACK = "#{variables.rollback}"
KINDS = {stage.name: stage.kind.value for stage in STAGES}


# What the steps before have exported: the version of the run's record, and the name of its checkpoints' folder.
TOLD: dict[str, set[str]] = {
    "preprocess": set(),
    "pre-training-tests": {"#{preprocess.MLOPS_RECORD}"},
    "train": {"#{pre-training-tests.MLOPS_RECORD}", "#{preprocess.MLOPS_CHECKPOINTS}"},
    "approval": {"#{train.MLOPS_RECORD}", "#{preprocess.MLOPS_CHECKPOINTS}"},
    "deploy": set(),
    "post-training-tests": {"#{train.MLOPS_RECORD}"},
    "rollback": {"#{post-training-tests.MLOPS_RECORD}"},
}


def test_each_command_gets_its_stage_and_the_first_one_the_runs_variables() -> None:
    """The deployment step gets the rollback for which the run was started: it rejects the replaced model."""
    declared = {f"#{{variables.{variable['Name']}}}" for variable in pipeline()["Variables"]}
    for name, step in builds():
        values = {load["name"]: load["value"] for load in json.loads(step["Configuration"]["EnvironmentVariables"])}
        assert values.pop("MLOPS_STAGE_NAME") == name
        assert values.pop("MLOPS_STAGE_KIND") == {**KINDS, "rollback": "gate"}[name]
        assert values.pop("MLOPS_RUN_ID") == "#{codepipeline.PipelineExecutionId}"
        started = declared - {ROLLBACK}
        expected = {STAGES[0].name: started, APPROVAL.name: started, "deploy": {ROLLBACK}}
        assert set(values.values()) - TOLD[name] == expected.get(name, set())
        assert TOLD[name] <= set(values.values())


def test_deciding_steps_have_their_own_project_and_only_it_names_the_deployed_model() -> None:
    projects = {name: step["Configuration"]["ProjectName"] for name, step in builds()}
    deciding = pipeline_resources()["DecisionProject"]["Properties"]["Name"]
    assert {name for name, project in projects.items() if project == deciding} == set(DECIDING)
    artifacts = {
        output_artifact["Name"]
        for name, step in builds()
        if name in DECIDING
        for output_artifact in step["OutputArtifacts"]
    }
    deployments = [
        action
        for stage in pipeline()["Stages"]
        for action in stage["Actions"]
        if action["ActionTypeId"]["Provider"] == "CloudFormation"
    ]
    assert len(deployments) == 2
    for action in deployments:
        assert {input_artifact["Name"] for input_artifact in action["InputArtifacts"]} <= artifacts


def pipeline_resources() -> dict[str, Any]:
    return variant("pipeline-codecommit").resources


def state_machine() -> dict[str, Any]:
    return variant("pipeline-s3").resources["StateMachine"]["Properties"]["Definition"]


def dangling(machine: dict[str, Any]) -> set[str]:
    """Return the missing states that others name as the next one; cfn-lint does not check a Definition."""
    choices = [choice for state in machine["States"].values() for choice in state.get("Choices", ())]
    following = [state.get(key) for state in (*machine["States"].values(), *choices) for key in ("Next", "Default")]
    return {machine["StartAt"], *filter(None, following)} - set(machine["States"])


def test_every_state_leads_to_one_that_is_there() -> None:
    assert dangling(state_machine()) == set()


def test_a_state_that_leads_nowhere_is_found() -> None:
    machine = state_machine()
    machine["States"]["Kind"]["Choices"][0]["Next"] = "Reus"
    assert dangling(machine) == {"Reus"}


def test_the_way_back_deploys_as_the_deployment_does() -> None:
    deploy, back = (pipeline()["Stages"][5 + item]["Actions"][1 + item]["Configuration"] for item in (0, 1))
    own = {"TemplatePath": "rollback::endpoint.yaml", "TemplateConfiguration": "rollback::endpoint.json"}
    assert back == {**deploy, **own}


def test_a_refused_model_fails_the_stage() -> None:
    states = state_machine()["States"]
    (choice,) = (choice for choice in states["Kind"]["Choices"] if "'refused'" in choice["Condition"])
    assert states[choice["Next"]]["Type"] == "Fail"


@pytest.mark.parametrize("kind", ["processing", "training"])
def test_the_state_machine_waits_for_a_job(kind: str) -> None:
    states = state_machine()["States"]
    (choice,) = (choice for choice in states["Kind"]["Choices"] if f"'{kind}'" in choice["Condition"])
    task = states[choice["Next"]]
    assert task["Resource"] == f"arn:aws:states:::sagemaker:create{kind.capitalize()}Job.sync"
    assert task["Arguments"] == "{% $states.input.request %}"


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("pipeline-codecommit", ["CommitTrigger"]),
        ("pipeline-s3", ["UploadTrigger"]),
        ("pipeline-s3-quiet", []),
        ("pipeline-connection", []),
    ],
)
def test_the_automatic_starts_of_the_pipeline(name: str, rules: list[str]) -> None:
    result = variant(name).of_type("AWS::Events::Rule")
    assert list(result) == rules
    for rule in result.values():
        (target,) = rule["Targets"]
        assert target["Arn"].endswith(f":{pipeline(name)['Name']}")
