"""The records of steps on the simulated S3."""

from __future__ import annotations

import json
import tarfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.infra.dataset import dataset_prefix
from mlops_cli.backends.aws.runs.store import S3RunStore
from mlops_cli.backends.aws.stages.jobs import job_outputs
from mlops_cli.backends.aws.state_format import MARKER, check_format, write_format
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.models.decision import Actor, Decision
from mlops_cli.core.runs import Run, StageRun, Status, new_run
from mlops_cli.core.stages import stage_named
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file, digest_folder

PREPROCESS, TRAIN = stage_named("preprocess"), stage_named("train")


def stage(name: str = "train", key: str = "k1", output: str = "o1", run_id: str = "r1") -> StageRun:
    return StageRun(name, Status.DONE, "first run", key, {"epochs": "1"}, output, detail={"a": 1.5}, run_id=run_id)


def test_a_run_is_read_as_it_was_written(bucket: Bucket) -> None:
    run = new_run("r1", {"train.epochs": "2"}, "train")
    run.stages[2] = stage()
    run.status, run.decision = Status.WAITING, Decision("r1", True, Actor("anna"), "good", 1.5, "k", "m")
    records = S3RunStore(bucket)
    assert records.load("r1") is None
    records.save(run)
    assert records.load("r1") == run
    assert [item.key for item in bucket.list_objects()] == ["runs/r1/run.json"]


def test_runs_come_with_the_one_written_last_first(bucket: Bucket) -> None:
    records = S3RunStore(bucket)
    items = {}

    def at(run: Run, second: int) -> None:
        records.save(run)
        items[f"runs/{run.id}/run.json"] = second

    for second, name in enumerate(("b", "a", "c")):
        at(new_run(name, {}), second)
    at(new_run("b", {}), 3)
    bucket.put_json("runs/a/evidence.json", {})
    listed = list(bucket.list_objects("runs/"))
    bucket.list_objects = lambda prefix: iter([replace(entry, modified=items.get(entry.key, 9)) for entry in listed])  # type: ignore[method-assign,assignment]
    assert [run.id for run in records.recorded_runs()] == ["b", "c", "a"]


def test_a_finished_stage_is_found_by_its_key_and_as_the_latest(bucket: Bucket) -> None:
    records = S3RunStore(bucket, decides=True)
    assert records.find_stage("train", "k1") is records.latest_stage("train") is None
    records.save_stage(stage())
    records.save_stage(stage(key="k2", output="o2"))
    assert records.find_stage("train", "k1") == stage()
    assert records.latest_stage("train") == stage(key="k2", output="o2")
    assert records.latest_stage("preprocess") is None


def test_a_reused_stage_is_the_latest_but_no_new_execution(bucket: Bucket) -> None:
    records = S3RunStore(bucket, decides=True)
    records.save_stage(stage())
    repeated = replace(stage(run_id="r2"), status=Status.REUSED)
    records.save_stage(repeated)
    assert records.find_stage("train", "k1") == stage()
    assert records.latest_stage("train") == repeated


@pytest.mark.parametrize("name", ["pre-training-tests", "approval"])
def test_of_a_gate_and_of_an_approval_the_latest_is_kept_alone(bucket: Bucket, name: str) -> None:
    records, finished = S3RunStore(bucket, decides=name == "approval"), stage(name)
    records.save_stage(finished)
    assert records.latest_stage(name) == finished
    assert [item.key for item in bucket.list_objects("records/")] == [f"records/{name}/latest.json"]


def test_a_step_with_the_repositorys_code_records_no_model(bucket: Bucket) -> None:
    S3RunStore(bucket).save_stage(stage())
    S3RunStore(bucket, decides=True).save_stage(stage("preprocess"))
    assert list(bucket.list_objects("records/")) == []


def run_with(run_id: str, status: Status, **outputs: str) -> Run:
    """Return a run with stages in this status and with these outputs."""
    run = new_run(run_id, {})
    for stage in run.stages:
        stage.status, stage.output = status, outputs.get(stage.name.replace("-", "_"), "")
    return run


def test_approval_and_deployment_are_read_only_from_the_records_of_deciding_steps(bucket: Bucket) -> None:
    claimed = run_with("r1", Status.DONE, train="evil", approval="evil", deploy="evil", post_training_tests="k")
    claimed.stages[-1].detail = {"passed": 3, "returned": {"version": "v1", "digest": "evil"}}
    S3RunStore(bucket).save(claimed)
    S3RunStore(bucket, decides=True).save(run_with("r1", Status.RUNNING, train="good", approval="good", deploy="good"))
    run = S3RunStore(bucket).load("r1")
    assert run is not None
    assert [stage.output for stage in run.stages] == ["", "", "good", "good", "good", "k"]
    gate = run.stage("post-training-tests")
    assert (gate.status, gate.detail) == (Status.DONE, {"passed": 3}), "what it has said is its own step's to say"


def test_a_step_reads_the_version_that_the_step_before_it_has_named(versioned: Bucket) -> None:
    records = S3RunStore(versioned)
    records.save(run_with("r1", Status.DONE, preprocess="good"))
    named = records.saved_version
    S3RunStore(versioned).save(run_with("r1", Status.DONE, preprocess="evil"))
    assert [run and run.preparation.output for run in (records.named("r1", named), records.load("r1"))] == [
        "good",
        "evil",
    ]
    assert records.named("r1", "") is records.named("r1", "3" * 32) is records.named("r2", named) is None


def test_a_run_without_a_record_of_a_deciding_step_is_not_verified(versioned: Bucket) -> None:
    steps = S3RunStore(versioned)
    steps.save(run_with("r1", Status.DONE, train="evil"))
    assert steps.verified("r1") is None
    S3RunStore(versioned, decides=True).save(run_with("r1", Status.DONE, train="good"))
    verified = steps.verified("r1")
    assert verified is not None
    assert verified.training.output == "good"


def test_a_commit_cannot_forge_the_list_of_live_models(versioned: Bucket) -> None:
    """Otherwise a run with a forged deployment could choose the rollback's target."""
    decisions, steps = S3RunStore(versioned, decides=True), S3RunStore(versioned)
    decisions.save(run_with("r1", Status.DONE, train="good", deploy="good"))
    steps.save(run_with("r1", Status.FAILED, deploy="evil"))
    steps.save(replace(run_with("r2", Status.DONE, train="good", deploy="evil"), forced_from="post-training-tests"))
    (run,) = steps.runs()
    assert (run.id, run.deployment.output, run.endpoint_gate.status) == ("r1", "good", Status.DONE)
    assert {run.id for run in steps.recorded_runs()} == {"r1", "r2"}


def test_the_last_gate_has_the_result_that_the_deciding_step_has_verified(versioned: Bucket) -> None:
    steps, decisions = S3RunStore(versioned), S3RunStore(versioned, decides=True)
    decisions.save(run_with("r1", Status.PENDING, train="m1"))
    passed = run_with("r1", Status.PENDING)
    passed.endpoint_gate.status, passed.endpoint_gate.detail = Status.DONE, {"passed": 3}
    steps.save(passed)
    named, lie = steps.saved_version, run_with("r1", Status.PENDING)
    lie.endpoint_gate.status, lie.endpoint_gate.detail = Status.FAILED, {"failed": 9}
    S3RunStore(versioned).save(lie)
    verified = decisions.named("r1", named)
    assert verified is not None
    assert (verified.training.output, verified.endpoint_gate.detail) == ("m1", {"passed": 3})
    decisions.save(verified)
    shown = steps.load("r1")
    assert shown is not None
    assert (shown.endpoint_gate.status, shown.endpoint_gate.detail) == (Status.DONE, {"passed": 3})


def test_a_record_with_another_runs_id_is_read_with_the_id_of_its_key(bucket: Bucket) -> None:
    forged = run_with("r-old", Status.WAITING, approval="evil")
    bucket.put_json("runs/r-new/run.json", asdict(forged))
    run = S3RunStore(bucket).load("r-new")
    assert run is not None
    assert {run.id, *(stage.run_id for stage in run.stages)} == {"r-new"}


def test_without_a_record_of_a_deciding_step_a_run_has_no_approval_and_no_deployment(bucket: Bucket) -> None:
    S3RunStore(bucket).save(run_with("r1", Status.DONE, approval="evil", deploy="evil"))
    run = S3RunStore(bucket).load("r1")
    assert run is not None
    assert (run.stage("approval"), run.stage("deploy")) == (new_run("r1", {}).stages[3], new_run("r1", {}).stages[4])


def test_a_copied_approval_and_deployment_are_marked_as_reused(bucket: Bucket) -> None:
    S3RunStore(bucket).save(
        replace(run_with("r1", Status.DONE, approval="m1", deploy="m1"), forced_from="post-training-tests")
    )
    run = S3RunStore(bucket).load("r1")
    assert run is not None
    assert [run.stage(name).status for name in ("approval", "deploy")] == [Status.REUSED] * 2, (
        "it was not deployed here"
    )


@pytest.mark.parametrize("content", [b"{", b"[]", b"null", b'{"id": "r1"}', b'{"stages": 5}', b'"x"'])
def test_an_object_that_is_no_record_is_ignored(bucket: Bucket, content: bytes) -> None:
    bucket.put("runs/r1/run.json", content)
    assert S3RunStore(bucket).load("r1") is None


def test_approval_requests_are_found_by_their_model(bucket: Bucket) -> None:
    records = S3RunStore(bucket)
    for run_id in ("r1", "r2"):
        records.save_approval_request(stage("approval", output="m1", run_id=run_id))
    records.save_approval_request(stage("approval", output="m2", run_id="r3"))
    assert {gate.run_id for gate in records.approval_requests("m1")} == {"r1", "r2"}
    assert records.approval_requests("m") == []


def test_reports_are_read_in_their_verified_version(versioned: Bucket, tmp_path: Path) -> None:
    """The reports of a live model are compared with those of each later model."""

    def put(text: str) -> str:
        archive = tmp_path / "output.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(files(tmp_path / text, predictions__csv=text), arcname=".")
        return versioned.put("artifacts/train/k/job/output/output.tar.gz", archive.read_bytes())

    verified = put("good")
    put("evil")
    trained = stage(output="m1")
    trained.artifact = "artifacts/train/k/job/"
    trained.detail = {"reports_version": verified}
    assert job_outputs.training_outputs(versioned, trained, "predictions/csv") == [b"good"]
    trained.detail = {"reports_version": ""}
    assert job_outputs.training_outputs(versioned, trained, "predictions/csv") == [None], "it has written none"


def test_the_facts_of_a_reused_output_are_read_from_the_output(bucket: Bucket) -> None:
    bucket.put_json("artifacts/preprocess/k/job/profile.json", {"rows": 20})
    record = stage("preprocess")
    record.artifact = "artifacts/preprocess/k/job/"
    record.detail = {"job": "job", "files": "f", "rows": 9999, "dataset": {"rows": 9999}, "evil": True}
    assert job_outputs.reread(bucket, record) == {"job": "job", "files": "f", "rows": 20}


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
    made_files = files(tmp_path / "made", train__a="1", test__b="2")
    (made_files / "profile.json").write_text('{"rows": 2, "rate": NaN}')
    upload(bucket, made_files, "artifacts/p/")
    outcome = job_outputs.outcome(PREPROCESS, bucket, "artifacts/p/", tmp_path / "got")
    assert outcome.output == digest_folder(made_files) == digest_folder(tmp_path / "got")
    assert (outcome.detail["rows"], outcome.detail["rate"], outcome.artifact) == (2, None, "artifacts/p/")
    assert outcome.detail["files"] == job_outputs.listing_digest(bucket.list_objects("artifacts/p/"))
    bucket.put("artifacts/p/train/c", b"more")
    assert outcome.detail["files"] != job_outputs.listing_digest(bucket.list_objects("artifacts/p/"))


def test_a_jobs_files_are_written_only_into_their_folder(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("artifacts/p/../../../evil.py", b"raise SystemExit")
    with pytest.raises(StageFailed, match="is a path outside of its folder"):
        job_outputs.outcome(PREPROCESS, bucket, "artifacts/p/", tmp_path / "a" / "b" / "got")
    assert not list(tmp_path.rglob("evil.py"))


def test_data_that_was_not_written_is_a_failure(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="wrote nothing into --output-dir"):
        job_outputs.outcome(PREPROCESS, bucket, "artifacts/p/", tmp_path / "got")


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
        (tmp_path / "reports" / "metrics.json").write_bytes(metrics.encode("utf-8", "surrogateescape"))
        archive(tmp_path / "reports", job / "output.tar.gz")
    return tmp_path / "job"


def test_a_models_identity_is_the_digest_of_the_archive_that_sagemaker_packed(bucket: Bucket, tmp_path: Path) -> None:
    job = trained(tmp_path, **{"1__saved_model.pb": "x"})
    upload(bucket, job, "artifacts/t/")
    outcome = job_outputs.outcome(TRAIN, bucket, "artifacts/t/", tmp_path / "got")
    assert outcome.output == digest_file(job / "output" / "model.tar.gz")
    assert outcome.detail["metrics"] == {}


def test_a_script_need_not_write_metrics(bucket: Bucket, tmp_path: Path) -> None:
    upload(bucket, trained(tmp_path, None, a="x"), "artifacts/t/")
    assert "metrics" not in job_outputs.outcome(TRAIN, bucket, "artifacts/t/", tmp_path / "got").detail


@pytest.mark.parametrize(
    ("model", "metrics", "message"),
    [
        ({}, "{}", "wrote no model into SM_MODEL_DIR"),
        ({"a": "x"}, "{", "metrics.json is not valid JSON"),
        ({"a": "x"}, "{\udcff", "metrics.json is not valid JSON"),  # a byte that is no UTF-8
    ],
)
def test_a_missing_file_of_a_training_is_reported(
    bucket: Bucket, tmp_path: Path, model: dict[str, str], metrics: str, message: str
) -> None:
    upload(bucket, trained(tmp_path, metrics, **model), "artifacts/t/")
    with pytest.raises(StageFailed, match=message):
        job_outputs.outcome(TRAIN, bucket, "artifacts/t/", tmp_path / "got")


def test_records_are_plain_json(bucket: Bucket) -> None:
    S3RunStore(bucket, decides=True).save_stage(stage())
    text = bucket.get("records/train/k1.json")
    assert text is not None
    assert json.loads(text)["status"] == "done"


@pytest.mark.parametrize("content", [b'{"format": 999}', b'{"format": "2"}', b"{}", b"[]", b"no JSON", None])
def test_records_of_another_format_are_refused(bucket: Bucket, content: bytes | None) -> None:
    """A record without the format's marker is refused, too."""
    check_format(bucket)
    write_format(bucket)
    S3RunStore(bucket).save(new_run("r1", {}))
    check_format(bucket)
    if content is None:
        bucket.client.delete_object(Bucket=bucket.name, Key=bucket.full_key(MARKER))
    else:
        bucket.put(MARKER, content)
    message = r"s3://ours/tiny-dev/ was written by another version of mlops .format (999|2|unknown)"
    with pytest.raises(MlopsError, match=message):
        check_format(bucket)
    write_format(bucket)
    if content is not None:
        assert bucket.get(MARKER) == content, "another version's marker stays"


def test_a_table_is_downloaded_without_other_objects(bucket: Bucket, tmp_path: Path) -> None:
    table = {"sha256": "d" * 64, "bytes": 3}
    for key in ("dataset.csv", "dataset.json", f"shards-{'d' * 16}-2/0.csv", f"files-{'e' * 16}/a.csv"):
        bucket.put(f"data/{key}", b"a,b")
    prefix = dataset_prefix(bucket, table, 1)
    assert [item.key for item in bucket.list_objects(prefix)] == ["data/dataset.csv"]
    assert [path.name for path in job_outputs.download(bucket, prefix, tmp_path).iterdir()] == ["dataset.csv"]
    files = {"sha256": "e" * 64, "files": 1, "bytes": 3}
    assert [item.key for item in bucket.list_objects(dataset_prefix(bucket, files, 2))] == [
        f"data/files-{'e' * 16}/a.csv"
    ]
