"""The two buildspecs: their form, their variables, and bash's syntax of each command."""

from __future__ import annotations

import json
import re
import subprocess
from copy import deepcopy
from typing import Any

import pytest
import yaml

from mlops_cli.backends.aws.stack_outputs import VARIABLES
from tests.templates.references.buildspec import OF_CODEBUILD, commands, problems, variables
from tests.templates.template import FOLDER, Resolved, variant

BUILDSPEC: dict[str, Any] = yaml.safe_load((FOLDER / "buildspec.yml").read_text(encoding="utf-8"))
PROJECTS = variant("pipeline-codecommit").of_type("AWS::CodeBuild::Project")
# What the steps that decide do stands in the pipeline's own template, out of reach of the repository.
DECISIONS: dict[str, Any] = yaml.safe_load(PROJECTS["DecisionProject"]["Source"]["BuildSpec"])


def given(resolved: Resolved, action: dict[str, Any]) -> set[str]:
    """Return the variables that a step gets from its CodeBuild project and its action."""
    projects = resolved.of_type("AWS::CodeBuild::Project").values()
    (project,) = (
        project["Environment"]["EnvironmentVariables"]
        for project in projects
        if project["Name"] == action["Configuration"]["ProjectName"]
    )
    own = json.loads(action["Configuration"]["EnvironmentVariables"])
    return {project["Name"] for project in project} | {variable["name"] for variable in own}


def command_steps(resolved: Resolved) -> list[dict[str, Any]]:
    stages = resolved.resources["Pipeline"]["Properties"]["Stages"][1:]
    actions = [action for stage in stages for action in stage["Actions"]]
    return [action for action in actions if action["ActionTypeId"]["Provider"] == "CodeBuild"]


@pytest.mark.parametrize("document", [BUILDSPEC, DECISIONS], ids=["steps", "decisions"])
def test_it_has_the_form_of_a_buildspec(document: dict[str, Any]) -> None:
    assert list(problems(document)) == []


def test_deciding_steps_run_no_code_of_the_repository() -> None:
    """With -I Python imports no file of the checkout. The variables and outputs of these steps have other paths."""
    text = "\n".join(commands(DECISIONS))
    assert "python -I -m " in text
    assert not re.search(r"(?<!\.)python(?! -I -m )", text)  # .python-version is removed
    assert commands(DECISIONS)[0].startswith("rm -rf .mlops .env .python-version ")
    assert not re.search(r"training|requirements|templates", " ".join(commands(DECISIONS)))


def change(document: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split("/")
    for name in parents:
        document = document[name]
    document[last] = value


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("version", 0.1, "version: 0.2 was expected"),
        ("phases/deploy", {"commands": ["true"]}, "phases: .*'deploy' was unexpected"),
        ("phases/build/commands", [{"echo done": "in time"}], "phases/build/commands/0: .* is not of type 'string'"),
        ("phases/build/command", ["true"], "phases/build: .*'command' was unexpected"),
        ("phases/install/runtime-versions/pyton", "3.12", "phases/install/runtime-versions: 'pyton' is not one of"),
        ("phases/install/runtime-versions/python", 3.12, "phases/install/runtime-versions/python: 3.12 is not of type"),
        ("artifacts", {"base-directory": "x"}, "artifacts: 'files' is a required property"),
    ],
)
def test_an_invalid_buildspec_is_found(path: str, value: Any, expected: str) -> None:
    document = deepcopy(BUILDSPEC)
    change(document, path, value)
    (problem,) = problems(document)
    assert re.match(expected, problem), problem


def test_python_is_the_one_of_the_training_image() -> None:
    training = variant("pipeline-codecommit").outputs["TrainingImage"]
    for document in (BUILDSPEC, DECISIONS):
        python = document["phases"]["install"]["runtime-versions"]["python"]
        assert training.endswith("py" + python.replace(".", ""))


@pytest.mark.parametrize("command", [*commands(BUILDSPEC), *commands(DECISIONS)])
def test_bash_understands_each_command(command: str) -> None:
    done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_step_is_given_every_variable_that_is_read() -> None:
    stored, token = variant("pipeline-company"), variant("pipeline-company-token")
    for step, same in zip(command_steps(stored), command_steps(token), strict=True):
        read = variables(DECISIONS if step["Configuration"]["ProjectName"].endswith("-decisions") else BUILDSPEC)
        either = given(stored, step) | given(token, same)
        missing = (read | set(VARIABLES.values())) - either - OF_CODEBUILD
        assert not missing, f"{step['Name']} lacks {', '.join(sorted(missing))}"


def test_an_undefined_variable_is_found() -> None:
    document = deepcopy(BUILDSPEC)
    document["phases"]["build"]["commands"].append('echo "${MLOPS_STAGENAME}"')
    resolved = [variant(name) for name in ("pipeline-company", "pipeline-company-token")]
    either = set[str]().union(*(given(each, command_steps(each)[0]) for each in resolved))
    assert variables(document) - either - OF_CODEBUILD == {"MLOPS_STAGENAME"}
