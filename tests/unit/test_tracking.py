"""The MLflow record of a run, and the messages if it cannot be logged."""

from __future__ import annotations

import io
import math
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mlops_cli.backends.aws.runs.pipeline_runs import PipelineRuns
from mlops_cli.backends.aws.stages.jobs.job_outputs import own_files
from mlops_cli.core.models.decision import Actor, Decision
from mlops_cli.core.runs import Run, StageRun, Status, new_run
from mlops_cli.core.stages import STAGES
from mlops_cli.errors import MlopsError
from mlops_cli.packaging.install_hint import install_command, packages_command
from mlops_cli.project.settings.values import resolve
from mlops_cli.project.usecase.reader import load_use_case
from mlops_cli.project.usecase.use_case import UseCase
from mlops_cli.tracking import mlflow as mlflow_module
from mlops_cli.tracking import track
from mlops_cli.tracking.mlflow import Tracker
from mlops_cli.tracking.run_record import RunRecord, run_record
from tests.conftest import ROOT, USE_CASES

RENT = load_use_case(USE_CASES / "rent" / "training" / "usecase.toml")
METRICS = {"rent": {"rmse": 91.5, "mae": None, "rows": 300}, "old town": {"mae (€)": 12, "worst": math.inf}}


def a_run(**stages: Status) -> Run:
    stage_runs = [StageRun(stage.name, stages.get(stage.name.replace("-", "_"), Status.PENDING)) for stage in STAGES]
    return Run("1a2b3c4d", 1_700_000_000.0, Status.WAITING, stage_runs)


def trained_run(metrics: Any = METRICS, history: Any = ()) -> Run:
    run = a_run(preprocess=Status.DONE, pre_training_tests=Status.REUSED, train=Status.DONE, approval=Status.WAITING)
    prepared, gate, trained = run.stages[:3]
    prepared.cache_inputs = {"the data": "d" * 64, "test_fraction": "0.25", "package polars": "polars 2.1"}
    prepared.detail = {"dataset": {"source": "rent.csv", "rows": 900}}
    prepared.output = "p" * 64
    gate.detail = {"passed": 3, "failed": 0}
    trained.cache_inputs = {"bootstraps": "7", "seed": "1", "training/train.py": "c" * 64}
    trained.output, trained.key = "m" * 64, "k" * 64
    trained.detail = {"metrics": {"test": metrics}, "history": history}
    trained.started_at, trained.finished_at = 1_700_000_000.0, 1_700_000_008.5
    return run


def recorded(run: Run) -> RunRecord:
    return run_record(run, RENT, "local", "dev")


def test_parameters_are_those_that_the_stages_were_called_with() -> None:
    assert recorded(trained_run()).parameters == {
        "preprocess.test_fraction": "0.25",
        "train.bootstraps": "7",  # usecase.toml says 60
        "train.seed": "1",
        "data.source": "rent.csv",
        "data.rows": "900",
    }


def test_metrics_are_named_by_split_and_row_and_only_numbers() -> None:
    result = {(measure.name, measure.step): measure.value for measure in recorded(trained_run()).measures}
    assert {name: value for name, value in result.items() if not name[0].startswith("seconds/")} == {
        ("test/rent/rmse", 0): 91.5,
        ("test/rent/rows", 0): 300,
        ("test/old town/mae ___", 0): 12,
    }
    assert result["seconds/train", 0] == 8.5


def test_training_curves_are_by_epoch() -> None:
    history = [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0, "note": "best"}]
    measures = [
        measure for measure in recorded(trained_run(history=history)).measures if measure.name == "history/loss"
    ]
    assert [(measure.step, measure.value) for measure in measures] == [(1, 3.0), (2, 2.0)]


@pytest.mark.parametrize("metrics", [None, [], "text", {"rent": 3}])
def test_metrics_of_another_form_are_left_out(metrics: Any) -> None:
    names = [measure.name for measure in recorded(trained_run(metrics, history={"loss": 1})).measures]
    assert [name for name in names if not name.startswith("seconds/")] == []


def test_tags_have_digests_gates_limits_and_decision() -> None:
    run = trained_run()
    run.decision = Decision(run.id, False, Actor("kim"), "too dear\n" + "!" * 9000, 0.0, "key", "m" * 64)
    tags = recorded(run).tags
    assert (tags["mlops.run"], tags["mlops.status"], tags["mlops.target"]) == ("1a2b3c4d", "waiting", "local")
    assert (tags["mlops.data_digest"], tags["mlops.model_digest"]) == ("d" * 64, "m" * 64)
    assert tags["mlops.gate.pre-training-tests"] == "3 passed, 0 failed"
    assert "rent: r2 is not in metrics.json" in tags["mlops.limits"]
    assert (tags["mlops.decision"], tags["mlops.decided_by"]) == ("rejected", "kim")
    assert len(tags["mlops.decision_comment"]) == 5000


def test_a_run_that_has_just_begun_logs_only_known_values() -> None:
    record = recorded(a_run(preprocess=Status.RUNNING))
    assert (record.parameters, record.measures) == ({}, [])
    assert [name for name in record.tags if "digest" in name or "limits" in name or "gate" in name] == []


@pytest.mark.parametrize(
    ("uri", "absent", "message", "hint"),
    [
        ("http://127.0.0.1:5000", "mlflow", "MLflow is not installed", install_command("mlflow")),
        ("sqlite:///a.db", "sqlalchemy", "a database needs the whole of MLflow", packages_command("mlflow")),
        (
            "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/team",
            "sagemaker_mlflow",
            "SageMaker's MLflow needs a plug-in",
            packages_command("sagemaker-mlflow"),
        ),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, uri: str, absent: str, message: str, hint: str
) -> None:
    monkeypatch.setattr(mlflow_module, "find_spec", lambda name: None if name == absent else object())
    with pytest.raises(MlopsError) as caught:
        Tracker(uri, "e", Path("/project")).check()
    assert (caught.value.message, caught.value.hint) == (message, f"Install it: {hint}")


@pytest.mark.parametrize(
    ("uri", "anchored"),
    [
        ("sqlite:///mlflow.db", "sqlite:////project/mlflow.db"),
        ("sqlite:////var/mlflow.db", "sqlite:////var/mlflow.db"),
        ("./mlruns", "file:///project/mlruns"),
        ("file:/var/mlruns", "file:/var/mlruns"),
        ("databricks", "databricks"),
        ("arn:aws:sagemaker:x", "arn:aws:sagemaker:x"),
        ("https://mlflow.example.org", "https://mlflow.example.org"),
    ],
)
def test_a_relative_path_is_one_in_the_project(uri: str, anchored: str) -> None:
    assert Tracker(uri, "e", Path("/project")).uri == anchored


class NoRuns:
    def own_files(self, run: Run, scratch: Path) -> Path | None:
        return None

    def list_runs(self) -> list[Run]:
        return []


def test_a_server_that_is_down_is_reported_in_one_line_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    settings = resolve({}, {"MLFLOW_TRACKING_URI": "http://kim:s3cr3t@127.0.0.1:9"}, {})
    track(trained_run(), NoRuns(), settings, RENT, lines.append)
    (line,) = lines
    assert line.startswith("run 1a2b3c4d is not logged to MLflow at http://…@127.0.0.1:9: it cannot be reached: ")
    assert line.endswith("Connection refused. Start it, or unset MLFLOW_TRACKING_URI")
    assert "s3cr3t" not in str(settings.to_dict())


def test_without_the_setting_mlflow_is_neither_imported_nor_mentioned() -> None:
    track(trained_run(), NoRuns(), resolve({}, {}, {}), RENT, pytest.fail)


def test_the_comments_metrics_have_names_that_mlflow_takes() -> None:
    comments: UseCase = load_use_case(ROOT / "training" / "usecase.toml")
    run = trained_run({"severe_toxic": {"roc_auc": 0.9}, "macro": {"roc_auc": 0.9}})
    names = [measure.name for measure in run_record(run, comments, "local", "dev").measures]
    assert {"test/severe_toxic/roc_auc", "test/macro/roc_auc"} <= set(names)


class ArchiveOnly:
    """A bucket with the archive of a training's output."""

    def __init__(self, files: dict[str, bytes]) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        self.archive = out.getvalue()

    def get(self, key: str, version: str = "") -> bytes | None:
        return self.archive if key.startswith("artifacts/train/") else None


def test_a_trainings_own_files_come_from_its_archive_on_aws_and_stay_in_their_folder(tmp_path: Path) -> None:
    inside = {"files/a.png": b"png", "files/deep/b.txt": b"b", "metrics.json": b"{}"}
    files = {**inside, "files/../../evil": b"x", f"files/{tmp_path}/evil": b"x"}
    deployed: Any = SimpleNamespace(bucket=ArchiveOnly(files))
    runs = PipelineRuns(deployed, cast("Any", None), cast("Any", None))
    run = new_run("r1", {})
    assert runs.own_files(run, tmp_path / "scratch") is None
    run.training.artifact = "artifacts/train/k/job/"
    folder = runs.own_files(run, tmp_path / "scratch")
    assert folder is not None
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "a.png",
        "deep/b.txt",
    }
    assert not (tmp_path / "evil").exists()
    assert set(own_files(deployed.bucket, run.training, "files", 9, 9)) == {"a.png", "deep/b.txt"}, "of a report, too"
