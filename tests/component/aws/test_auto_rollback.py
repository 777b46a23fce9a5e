"""The way back on AWS that is broken off: what is live is not rejected for nothing, and the same command goes on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.codepipeline import Revision
from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.runs.rollback import AwsModels
from mlops_cli.backends.aws.runs.start import StartRequest
from mlops_cli.core.decision import Actor, Decision
from mlops_cli.core.model_versions import Interval, ModelVersion
from mlops_cli.core.runs import Run, Status, new_run
from mlops_cli.errors import EXIT_INTERRUPTED, MlopsError
from mlops_cli.project.paths import Project
from mlops_cli.project.settings import resolve
from mlops_cli.project.usecase import load_use_case
from tests.conftest import USE_CASES

GOOD, BAD = "a" * 64, "b" * 64
START, REJECT, FOLLOW = "start from run-of-good", "reject bbbb: rollback to v1: too rude", "follow back"


class Ground:
    """Version 2 is live. Notes in order what is done, and breaks off where it is told to."""

    def __init__(self, folder: Path) -> None:
        self.done: list[str] = []
        self.broken_off: dict[str, BaseException] = {}
        self.resume_command = ""
        use_case = load_use_case(USE_CASES / "tiny" / "training" / "usecase.toml")
        deployed: Any = DeployedProject(Project(folder), use_case, resolve({}, {}, {}))
        self.models = AwsModels(
            deployed, prepare=lambda request: StartRequest(Revision("COMMIT_ID", "c1"), "d1", request)
        )
        self.services = deployed.services = SimpleNamespace(
            endpoint=SimpleNamespace(deployed_model=lambda: SimpleNamespace(digest=BAD)),
            run_store=SimpleNamespace(runs=lambda: iter([run_of_good()])),
            versions=SimpleNamespace(
                list_versions=versions, reject=lambda digest, why: self._do(f"reject {digest[:4]}: {why}")
            ),
            starter=SimpleNamespace(
                start=lambda request: (self._do(f"start from {request.source}"), ("back", True))[1]
            ),
            runs=SimpleNamespace(follow=self._follow),
        )

    def _do(self, what: str) -> None:
        if what in self.broken_off:
            raise self.broken_off.pop(what)
        self.done.append(what)

    def _follow(self, run_id: str, _: object, resume_command: str, **__: object) -> Run:
        self._do(f"follow {run_id}")
        self.resume_command = resume_command
        return Run(run_id, 1.0, Status.DONE, [])

    def rollback(self, version: str = "") -> Run:
        found: Run = self.models.rollback(version, "too rude", None)
        return found


def run_of_good() -> Run:
    run = new_run("run-of-good", {})
    for stage in run.stages:
        stage.status, stage.output = Status.DONE, GOOD
    return run


def versions() -> list[ModelVersion]:
    said = Decision("r", True, Actor("anna"), "", 1.0, "k", "m")
    return [
        ModelVersion(number, digest, "r", 1.0, "", "", {}, {}, said, (Interval(number, None),))
        for number, digest in ((2, BAD), (1, GOOD))
    ]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_the_run_is_there_before_what_is_live_is_rejected(ground: Ground) -> None:
    assert ground.rollback().id == "back"
    assert ground.done == [START, REJECT, FOLLOW]
    assert ground.resume_command == "mlops rollback --to v1", "who stops to follow is told how to return"


def test_without_an_endpoint_the_model_that_was_deployed_last_is_the_one_that_goes(ground: Ground) -> None:
    ground.services.endpoint = SimpleNamespace(deployed_model=lambda: SimpleNamespace(digest=""))
    ground.services.runs.deployed = lambda: BAD
    ground.rollback()
    assert ground.done == [START, REJECT, FOLLOW], "not deployed once more"


@pytest.mark.parametrize(("where", "done"), [(START, []), (REJECT, [START])])
def test_broken_off_by_ctrl_c_the_command_that_it_names_completes_it(
    ground: Ground, where: str, done: list[str]
) -> None:
    ground.broken_off[where] = KeyboardInterrupt()
    with pytest.raises(MlopsError, match="Stopped before the rollback was complete") as caught:
        ground.rollback()
    assert (caught.value.exit_code, ground.done) == (EXIT_INTERRUPTED, done)
    assert caught.value.hint == "Go on with it: mlops rollback --to v1"
    ground.rollback("v1")
    assert ground.done == [*done, START, REJECT, FOLLOW]


def test_a_run_that_cannot_be_started_leaves_the_live_model_approved(ground: Ground) -> None:
    ground.broken_off[START] = AwsError("AWS asks for patience", "Wait a minute, then repeat the command.")
    with pytest.raises(AwsError):
        ground.rollback()
    assert ground.done == []
