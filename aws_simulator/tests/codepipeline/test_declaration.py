"""Declarations that CodePipeline refuses, with its codes."""

from __future__ import annotations

from typing import Any

import pytest

from aws_simulator.errors import ServiceError
from aws_simulator.services.codepipeline import declaration
from aws_simulator.tests.codepipeline.lines import action, gate, source

BUILD = {"ProjectName": "p"}
ACTION, STAGE, STRUCTURE = (
    f"Invalid{kind}Exception" for kind in ("ActionDeclaration", "StageDeclaration", "Structure")
)


def pipeline(*actions: dict[str, Any], **more: Any) -> dict[str, Any]:
    stages = [{"name": "Source", "actions": [source()]}, {"name": "second", "actions": list(actions)}]
    return {"name": "p", "pipelineType": "V2", "artifactStore": {"location": "b"}, "stages": stages, **more}


def test_one_that_is_right() -> None:
    declaration.check(
        pipeline(
            action("build", "Build/CodeBuild", BUILD, inputs=["SourceOutput"], outputs=["Out"], namespace="made"),
            gate(runOrder=2, configuration={"CustomData": "#{made.version} #{codepipeline.PipelineExecutionId}"}),
        )
    )


def build(configuration: dict[str, str] = BUILD, **more: Any) -> dict[str, Any]:
    return action("a", "Build/CodeBuild", configuration, **{"inputs": ["SourceOutput"], **more})


def deploy(**configuration: str) -> dict[str, Any]:
    return action("a", "Deploy/CloudFormation", {"StackName": "s", **configuration}, inputs=["SourceOutput"])


@pytest.mark.parametrize(
    ("code", "message", "declared"),
    [
        (ACTION, "unknown configuration 'ProjectNam'", build({**BUILD, "ProjectNam": "x"})),
        (ACTION, "missing required configuration 'ProjectName'", build({})),
        (ACTION, "Build/AWS/CodeBild/1", action("a", "Build/CodeBild", BUILD, inputs=["SourceOutput"])),
        (ACTION, "Deploy/AWS/CodeBuild/1", action("a", "Deploy/CodeBuild", BUILD, inputs=["SourceOutput"])),
        (ACTION, "between 1 and 5 input artifacts, not 0", build(inputs=[])),
        (ACTION, "Input Artifact Bundle Nothing", build(inputs=["Nothing"])),
        (ACTION, "output artifact name SourceOutput is not unique", build(outputs=["SourceOutput"])),
        (ACTION, "'TemplatePath'", deploy(ActionMode="CREATE_UPDATE", RoleArn="r")),
        (ACTION, "unknown ActionMode 'CREATE'", deploy(ActionMode="CREATE")),
        (ACTION, "runOrder", gate(runOrder=1000)),
        (STAGE, "may not contain source actions", source()),
        (STRUCTURE, "#{variables.epochs}", gate(configuration={"CustomData": "#{variables.epochs}"})),
        (STRUCTURE, "#{nowhere.x}", gate(configuration={"CustomData": "#{nowhere.x}"})),
        (STRUCTURE, "#{codepipeline.Id}", gate(configuration={"CustomData": "#{codepipeline.Id}"})),
        (STRUCTURE, "namespace name variables is not unique", gate(namespace="variables")),
        (STAGE, "onFailure", None),
    ],
)
def test_one_that_is_refused(code: str, message: str, declared: dict[str, Any] | None) -> None:
    submitted = pipeline(declared or gate())
    if declared is None:
        submitted["stages"][1]["onFailure"] = {"result": "ROLLBACK"}
    with pytest.raises(ServiceError) as refused:
        declaration.check(submitted)
    assert refused.value.code == code
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("message", "more"),
    [
        ("QUEUED", {"pipelineType": "V1", "executionMode": "QUEUED"}),
        ("variables", {"pipelineType": "V1", "variables": [{"name": "a", "defaultValue": "b"}]}),
        ("at least 2 stages", {"stages": [{"name": "Source", "actions": [source()]}]}),
    ],
)
def test_a_structure_that_is_refused(message: str, more: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match=message) as refused:
        declaration.check(pipeline(gate(), **more))
    assert refused.value.code == STRUCTURE


def test_two_actions_of_one_group_do_not_see_each_other() -> None:
    first = action("a", "Build/CodeBuild", BUILD, inputs=["SourceOutput"], outputs=["A"])
    second = action("b", "Build/CodeBuild", BUILD, inputs=["A"])
    with pytest.raises(ServiceError, match="Input Artifact Bundle A"):
        declaration.check(pipeline(first, second))
    declaration.check(pipeline(first, {**second, "runOrder": 2}))
