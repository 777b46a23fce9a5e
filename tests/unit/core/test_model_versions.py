"""The model versions that runs and decisions give."""

from __future__ import annotations

import pytest

from mlops_cli.core.models.decision import Actor, Decision
from mlops_cli.core.models.model_versions import Interval, ModelVersion, find_version, rollback_target, versions_of
from mlops_cli.core.runs import Run, StageRun, Status
from mlops_cli.core.stages import STAGES
from mlops_cli.errors import MlopsError


def run_of(name: str, at: float, digest: str, deployed_at: float | None = None, trained: Status = Status.DONE) -> Run:
    stages = {stage.name: StageRun(stage.name, Status.DONE, run_id=name) for stage in STAGES}
    stages["preprocess"].cache_inputs = {"the data": "d" * 64}
    code = {"training/train.py": "c" * 64, "package x": "x 1", "epochs": "2", "interpreter": "CPython"}
    stages["train"] = StageRun("train", trained, output=digest, cache_inputs=code, finished_at=at, run_id=name)
    status = Status.DONE if deployed_at else Status.PENDING
    stages["deploy"] = StageRun("deploy", status, output=digest if deployed_at else "", finished_at=deployed_at)
    return Run(name, at, Status.DONE, list(stages.values()))


def said(digest: str, approved: bool = True) -> Decision:
    return Decision("r", approved, Actor("ann"), "because", 5.0, f"key of {digest}", digest)


A, B, C = (letter * 64 for letter in "abc")


@pytest.fixture
def versions() -> list[ModelVersion]:
    """Return three versions: A was live, then B, then A again. C was never live and is not approved."""
    runs = [run_of("r1", 1, A, 10), run_of("r2", 2, B, 20), run_of("r3", 3, A, 30, Status.REUSED), run_of("r4", 4, C)]
    return versions_of(runs[::-1], [said(B), said(A)])


def test_versions_count_in_the_order_of_training(versions: list[ModelVersion]) -> None:
    assert [(version.version, version.digest, version.run_id) for version in versions] == [
        (3, C, "r4"),
        (2, B, "r2"),
        (1, A, "r1"),
    ]


def test_a_model_was_live_until_another_one_was_deployed(versions: list[ModelVersion]) -> None:
    assert versions[2].live == (Interval(10, 20), Interval(30, None))
    assert versions[1].live == (Interval(20, 30),)
    assert versions[0].live == ()


def test_deploying_the_live_model_again_does_not_end_its_time_in_service() -> None:
    (version,) = versions_of([run_of("r1", 1, A, 10), run_of("r2", 2, A, 20)], [])
    assert version.live == (Interval(10, None),)


def test_lineage_is_data_code_and_hyperparameters(versions: list[ModelVersion]) -> None:
    version = versions[0]
    assert (version.data_digest, dict(version.hyperparameters)) == ("d" * 64, {"epochs": "2"})
    other_run = run_of("r5", 5, C)
    other_run.stage("train").cache_inputs["training/train.py"] = "e" * 64
    assert versions_of([other_run], [])[0].code_digest != version.code_digest


def test_the_last_decision_about_a_model_counts() -> None:
    (version,) = versions_of([run_of("r1", 1, A)], [said(A, approved=False), said(A)])
    assert not version.approved


@pytest.mark.parametrize("name", ["2", "v2", "bbbb", B])
def test_a_version_is_found_by_number_and_by_digest(versions: list[ModelVersion], name: str) -> None:
    assert find_version(versions, name).version == 2


@pytest.mark.parametrize("name", ["9", "v0", "", "b", "dddd", "-1", "\u0662", "v\u0662", "\uff12", " 2", "2\n"])
def test_an_unknown_version_is_reported(versions: list[ModelVersion], name: str) -> None:
    with pytest.raises(MlopsError, match="does not exist"):
        find_version(versions, name)


def test_a_rollback_goes_to_the_previously_live_model(versions: list[ModelVersion]) -> None:
    assert rollback_target(versions, A).version == 2
    assert rollback_target(versions, B).version == 1
    assert rollback_target(versions, A, "v2").version == 2


@pytest.mark.parametrize(("name", "words"), [("1", "is deployed already"), ("3", "was never approved")])
def test_not_every_version_can_be_gone_back_to(versions: list[ModelVersion], name: str, words: str) -> None:
    with pytest.raises(MlopsError, match=words):
        rollback_target(versions, A, name)


def test_without_an_earlier_model_there_is_no_way_back() -> None:
    with pytest.raises(MlopsError, match="no earlier approved model"):
        rollback_target(versions_of([run_of("r1", 1, A, 10)], [said(A)]), A)
