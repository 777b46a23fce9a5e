"""What steps write down in S3 and read from it, against the simulated S3."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_cli.backends.aws import results
from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.bucket import Bucket
from mlops_cli.backends.aws.records import Records
from mlops_cli.config import resolve
from mlops_cli.decision import Actor, Decision
from mlops_cli.digest import digest_file, digest_folder
from mlops_cli.lifecycle import StageFailed
from mlops_cli.runs import Run, StageRun, Status, new_run
from mlops_cli.stages import stage_named
from tests.aws_simulator.fixture import Aws

PREPROCESS, TRAIN = stage_named("preprocess"), stage_named("train")


@pytest.fixture
def bucket(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    aws.client("s3").create_bucket(Bucket="ours")
    return Bucket(Account(resolve({}, {}, {})).client("s3"), "ours", "tiny-dev/")


def stage(name: str = "train", key: str = "k1", output: str = "o1", run_id: str = "r1") -> StageRun:
    return StageRun(name, Status.DONE, "first run", key, {"epochs": "1"}, output, detail={"a": 1.5}, run_id=run_id)


def test_a_run_is_read_as_it_was_written(bucket: Bucket) -> None:
    run = new_run("r1", {"train.epochs": "2"}, "train")
    run.stages[2] = stage()
    run.status, run.decision = Status.WAITING, Decision("r1", True, Actor("anna"), "good", 1.5, "k", "m")
    records = Records(bucket)
    assert records.load("r1") is None
    records.save(run)
    assert records.load("r1") == run
    assert [item.key for item in bucket.items()] == ["runs/r1/run.json"]


def test_runs_come_with_the_one_written_last_first(bucket: Bucket) -> None:
    records = Records(bucket)
    items = {}

    def at(run: Run, second: int) -> None:
        records.save(run)
        items[f"runs/{run.id}/run.json"] = second

    for second, name in enumerate(("b", "a", "c")):
        at(new_run(name, {}), second)
    at(new_run("b", {}), 3)
    bucket.put_json("runs/a/evidence.json", {})
    listed = list(bucket.items("runs/"))
    bucket.items = lambda prefix: iter([replace(one, modified=items.get(one.key, 9)) for one in listed])  # type: ignore[method-assign,assignment]
    assert [run.id for run in records.runs()] == ["b", "c", "a"]


def test_a_finished_stage_is_found_by_its_key_and_as_the_latest(bucket: Bucket) -> None:
    records = Records(bucket)
    assert records.finished("train", "k1") is records.latest("train") is None
    records.remember(stage())
    records.remember(stage(key="k2", output="o2"))
    assert records.finished("train", "k1") == stage()
    assert records.latest("train") == stage(key="k2", output="o2")
    assert records.latest("preprocess") is None


def test_a_reused_stage_is_the_latest_but_no_new_execution(bucket: Bucket) -> None:
    records = Records(bucket)
    records.remember(stage())
    again = replace(stage(run_id="r2"), status=Status.REUSED)
    records.remember(again)
    assert records.finished("train", "k1") == stage()
    assert records.latest("train") == again


def test_who_was_asked_about_a_model_is_found_by_the_model(bucket: Bucket) -> None:
    records = Records(bucket)
    for run_id in ("r1", "r2"):
        records.note_asked(stage("approval", output="m1", run_id=run_id))
    records.note_asked(stage("approval", output="m2", run_id="r3"))
    assert {gate.run_id for gate in records.asked("m1")} == {"r1", "r2"}
    assert records.asked("m") == []


def files(folder: Path, **contents: str) -> Path:
    for name, text in contents.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def upload(bucket: Bucket, folder: Path, artifact: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            bucket.upload(path, artifact + path.relative_to(folder).as_posix())


def test_prepared_data_has_the_digest_that_it_has_on_this_machine(bucket: Bucket, tmp_path: Path) -> None:
    made = files(tmp_path / "made", train__a="1", test__b="2")
    (made / "profile.json").write_text('{"rows": 2, "rate": NaN}')
    upload(bucket, made, "artifacts/p/")
    found = results.outcome(PREPROCESS, bucket, "artifacts/p/", tmp_path / "got")
    assert found.output == digest_folder(made) == digest_folder(tmp_path / "got")
    assert (found.detail["rows"], found.detail["rate"], found.artifact) == (2, None, "artifacts/p/")
    assert found.detail["files"] == results.fingerprint(bucket.items("artifacts/p/"))
    bucket.put("artifacts/p/train/c", b"more")
    assert found.detail["files"] != results.fingerprint(bucket.items("artifacts/p/"))


def test_data_that_was_not_written_is_a_failure(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="wrote nothing into --output-dir"):
        results.outcome(PREPROCESS, bucket, "artifacts/p/", tmp_path / "got")


def archive(folder: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as opened:
        opened.add(folder, arcname=".")


def trained(tmp_path: Path, metrics: str | None = '{"metrics": {}}', **model: str) -> Path:
    job = tmp_path / "job" / "output"
    (tmp_path / "model").mkdir()
    archive(files(tmp_path / "model", **model), job / "model.tar.gz")
    if metrics is not None:
        (tmp_path / "reports").mkdir()
        (tmp_path / "reports" / "metrics.json").write_text(metrics)
        archive(tmp_path / "reports", job / "output.tar.gz")
    return tmp_path / "job"


def test_a_models_identity_is_the_digest_of_the_archive_that_sagemaker_packed(bucket: Bucket, tmp_path: Path) -> None:
    job = trained(tmp_path, **{"1__saved_model.pb": "x"})
    upload(bucket, job, "artifacts/t/")
    found = results.outcome(TRAIN, bucket, "artifacts/t/", tmp_path / "got")
    assert found.output == digest_file(job / "output" / "model.tar.gz")
    assert found.detail["metrics"] == {}


def test_a_script_need_not_write_metrics(bucket: Bucket, tmp_path: Path) -> None:
    upload(bucket, trained(tmp_path, None, a="x"), "artifacts/t/")
    assert "metrics" not in results.outcome(TRAIN, bucket, "artifacts/t/", tmp_path / "got").detail


@pytest.mark.parametrize(
    ("model", "metrics", "said"),
    [({}, "{}", "wrote no model into SM_MODEL_DIR"), ({"a": "x"}, "{", "metrics.json is not valid JSON")],
)
def test_what_a_training_lacks_is_said(
    bucket: Bucket, tmp_path: Path, model: dict[str, str], metrics: str, said: str
) -> None:
    upload(bucket, trained(tmp_path, metrics, **model), "artifacts/t/")
    with pytest.raises(StageFailed, match=said):
        results.outcome(TRAIN, bucket, "artifacts/t/", tmp_path / "got")


def test_records_are_plain_json(bucket: Bucket) -> None:
    Records(bucket).remember(stage())
    text = bucket.get("records/train/k1.json")
    assert text is not None
    assert json.loads(text)["status"] == "done"
