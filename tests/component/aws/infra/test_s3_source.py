"""Data from S3 on the local target: one object, a folder, a change, missing objects."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.fixture import Aws
from mlops_cli.backends import object_store
from mlops_cli.data.metadata import read_dataset_info
from mlops_cli.data.sources.catalog import state_of
from mlops_cli.data.sources.source import State
from mlops_cli.project.settings.values import resolve
from tests.conftest import USE_CASES, Cli

ROWS = b"id,text,long\n1,a,0\n2,b,1\n"


def origin_in(folder: Path) -> Any:
    return (read_dataset_info(folder / ".mlops" / "data") or {})["origins"][0]


def test_objects_are_downloaded_and_a_change_is_reported(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "project"
    shutil.copytree(USE_CASES / "tiny" / "training", folder / "training")
    cli, s3 = Cli(folder, aws.environment), aws.client("s3")
    s3.create_bucket(Bucket="lake")
    for key in ("rows/2026/rows.csv", "rows/2026/_more.csv", "rows-old/rows.csv"):
        s3.put_object(Bucket="lake", Key=key, Body=ROWS.replace(b"1,", b"x,") if "more" in key else ROWS)
    dataset = cli.json("download-data", "--source", "s3://lake/rows/2026/rows.csv")
    assert (dataset["rows"], dataset["source"], dataset["changed"]) == (2, "s3://lake/rows/2026/rows.csv", True)
    origin, objects = origin_in(folder), object_store(resolve({"AWS_REGION": "us-east-1"}, {}, {}))
    assert cli.json("download-data", "--source", "s3://lake/rows/2026/rows.csv", "--refresh")["changed"] is False
    assert state_of(origin, [], 2, objects) is State.SAME
    s3.put_object(Bucket="lake", Key="rows/2026/rows.csv", Body=ROWS + b"3,c,0\n")
    assert state_of(origin, [], 2, objects) is State.CHANGED
    assert cli.json("download-data", "--source", "s3://lake/rows/2026/rows.csv")["rows"] == 2
    assert cli.json("download-data", "--source", "s3://lake/rows/2026/rows.csv", "--refresh")["rows"] == 3

    error = cli.json("download-data", "--source", "s3://lake/nothing", code=1)["error"]
    assert error["message"] == "there is nothing at s3://lake/nothing"
    error = cli.json("download-data", "--source", "s3://no-such-lake/a", code=1)["error"]
    assert error["message"] == "there is no bucket no-such-lake"
    assert "names no bucket" in cli("download-data", "--source", "s3://", code=2)

    settings = folder / "training" / "usecase.toml"
    text = settings.read_text()
    schema = text[text.index("[data.columns]") : text.index("[hyperparameters.preprocess]")]
    settings.write_text(text.replace(schema, ""))
    for source in ("s3://lake/rows", "s3://lake/rows/"):
        assert cli.json("download-data", "--source", source)["files"] == 2
    files = [path for path in (folder / ".mlops" / "data" / "files").rglob("*") if path.is_file()]
    assert {path.relative_to(folder / ".mlops" / "data" / "files").as_posix() for path in files} == {
        "2026/rows.csv",
        "2026/_more.csv",
    }
