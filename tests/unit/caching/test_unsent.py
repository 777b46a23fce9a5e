"""Files that a stage on this machine has read and a job on AWS would not get are reported before the upload."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.infrastructure import AwsInfrastructure
from mlops_cli.caching.unsent import describe_unsent, record_unsent
from mlops_cli.cli.commands.infrastructure.deploy_infra import show_and_deploy
from mlops_cli.cli.cost_approval import CostApproval
from mlops_cli.console import Console
from mlops_cli.core.costs import Costs, Limits
from mlops_cli.core.jobs.script_environment import PassedVariables
from mlops_cli.core.jobs.time_limits import TimeLimits
from mlops_cli.core.plan import Action, Change, Plan
from mlops_cli.project.paths import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.training.mkdir()
    project.state.mkdir()
    for name in ("preprocess", "train"):
        (project.training / f"{name}.py").write_text("import numpy\n")
    return project


def notes(project: Project) -> list[str]:
    return describe_unsent(project.root, project.state)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("-e ../lib", "../lib"),
        ("--editable=/src/lib", "/src/lib"),
        ("../lib[extra]", "../lib[extra]"),
        ("lib @ file:///src/lib", "/src/lib"),
        ("./wheels/lib.whl", ""),
        ("numpy>=1", ""),
        ("# ../lib", ""),
    ],
)
def test_a_requirement_outside_of_training_is_named(project: Project, line: str, path: str) -> None:
    (project.training / "requirements.txt").write_text(f"{line}\n")
    described = f"training/requirements.txt names {path}, which is not uploaded: a job on AWS cannot install it"
    assert notes(project) == ([described] if path else [])


def test_many_files_are_named_in_one_line_of_each_stage(project: Project) -> None:
    names = [f"lib/{number}.txt" for number in range(7)]
    (project.root / "lib").mkdir()
    for name in names:
        (project.root / name).write_text("a")
    record_unsent(project.state, "train", names)
    record_unsent(project.state, "preprocess", names[:1])
    assert notes(project) == [
        f"on this machine train has read {', '.join(names[:5])} and 2 more: a job on AWS gets only training/",
        "on this machine preprocess has read lib/0.txt: a job on AWS gets only training/",
    ]
    record_unsent(project.state, "train", [])
    record_unsent(project.state, "preprocess", [])
    assert notes(project) == []


class Infrastructure(AwsInfrastructure):
    """The infrastructure of AWS, as far as the plan of a deployment shows it. No account is needed."""

    sent = False

    def account_label(self) -> str:
        return "account 1, region r, as me"

    def plan(self, *_: Any) -> Plan:
        return Plan((Change(Action.ADD, "stack", "new"),))

    def costs(self, *_: Any) -> Costs:
        return Costs()

    def deploy(self, *_: Any) -> None:
        print("deployed")

    def discard_plan(self) -> None: ...


@pytest.mark.parametrize("dry_run", [False, True])
def test_deploy_infra_names_unsent_files_before_the_upload(
    project: Project, capsys: pytest.CaptureFixture[str], dry_run: bool
) -> None:
    (project.root / "words.txt").write_text("a")
    record_unsent(project.state, "train", ["words.txt"])
    use_case = SimpleNamespace(passed=PassedVariables(), time_limits=TimeLimits())
    deployed: Any = SimpleNamespace(project=project, use_case=use_case)
    console = Console(False, False, False)
    show_and_deploy(
        Infrastructure(deployed, list), console, dry_run, True, CostApproval(console, Limits({}), True, True)
    )
    output = capsys.readouterr().out
    assert "note: on this machine train has read words.txt: a job on AWS gets only training/" in output
    assert output.index("words.txt") < output.index("dry run" if dry_run else "deployed")
