"""Two more stages are two more lines in core/stages.py, on either target: a job with two inputs and a gate on both.

The dataset is a folder of files without a schema. The job gets it unchanged.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aws_simulator.fixture import Aws
from tests.conftest import ROOT, Cli
from tests.harness.cloud import Cloud, project
from tests.harness.lifecycle import statuses

pytestmark = pytest.mark.slow
__all__ = ["project"]

BEFORE = '    Stage("train", Kind.TRAINING,'
LINES = """\
    Stage("enrich", Kind.PROCESSING, "enrich.py", ("preprocess", DATA)),
    Stage("enriched-checks", Kind.GATE, "tests/test_enriched.py", ("enrich", "preprocess")),
"""
ENRICH = """\
import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--input-dir", type=Path, required=True)
parser.add_argument("--input-dir-data", type=Path, required=True)
parser.add_argument("--output-dir", type=Path, required=True)
parser.add_argument("--factor", type=int, default=1)
arguments = parser.parse_args()
counts = [
    len((folder / "dataset.csv").read_text().splitlines()) - 1
    for folder in (arguments.input_dir / "train", arguments.input_dir_data)
]
assert (arguments.input_dir_data / "images" / "1.png").read_bytes() == b"PNG"
(arguments.output_dir / "counts.txt").write_text(" ".join(str(count * arguments.factor) for count in counts))
"""
CHECKS = """\
import os
from pathlib import Path


def test_the_job_gets_both_inputs():
    counts = Path(os.environ["MLOPS_DATA_DIR"], "counts.txt").read_text()
    assert counts == "60 60"


def test_so_is_the_other_stages_output():
    assert Path(os.environ["MLOPS_DATA_DIR_PREPROCESS"], "test", "dataset.csv").is_file()
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Provide a mlops_cli with the two lines."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "mlops_cli", folder / "mlops_cli", ignore=shutil.ignore_patterns("__pycache__"))
    stages = folder / "mlops_cli" / "core" / "stages.py"
    assert stages.read_text().count(BEFORE) == 1
    stages.write_text(stages.read_text().replace(BEFORE, LINES + BEFORE))
    return folder


def add_scripts(folder: Path) -> Path:
    """Add the stages' scripts. Return a folder with data without a schema."""
    training, data = folder / "training", folder.parent / "files"
    (data / "images").mkdir(parents=True)
    (data / "images" / "1.png").write_bytes(b"PNG")
    shutil.copyfile(folder / "tiny.csv", data / "dataset.csv")
    (training / "enrich.py").write_text(ENRICH)
    (training / "tests" / "test_enriched.py").write_text(CHECKS)
    settings = training / "usecase.toml"
    tables = "[hyperparameters.enrich]\nfactor = 3\n\n[hyperparameters.train]"
    text = settings.read_text().replace("[hyperparameters.train]", tables)
    schema = text[text.index("[data.columns]") : text.index("[hyperparameters.preprocess]")]
    settings.write_text(text.replace(schema, ""))
    return data


def check_lifecycle(cli: Cli) -> None:
    """Check everything from run to report, and a failed gate."""
    run = cli.json("run")
    assert run["status"] == "waiting"
    assert statuses(run) | {"enrich": "done", "enriched-checks": "done", "train": "done"} == statuses(run)
    evidence = cli.json("approve", "--run-id", run["id"], "--yes")["evidence"]
    assert (evidence["gates"]["enriched-checks"]["passed"], evidence["gates"]["enriched-checks"]["failed"]) == (2, 0)
    assert cli.json("test-endpoint")["endpoint"]["is_what_was_approved"] is True
    assert "enriched-checks" in cli("status")
    assert cli.json("report", run["id"])["report"]
    assert "assert '40 40' == '60 60'" in cli("run", "--set", "enrich.factor=2", code=3)
    failed = statuses(cli.json("status")["run"])
    assert (failed["preprocess"], failed["enrich"], failed["enriched-checks"]) == ("reused", "done", "failed")


def test_on_one_machine(tiny: Cli, package: Path) -> None:
    data = add_scripts(tiny.folder)
    tiny.environment = {"PYTHONPATH": str(package)}
    assert "2 files" in tiny("download-data", "--source", str(data))
    check_lifecycle(tiny)


def test_on_aws(project: Path, aws: Aws, package: Path) -> None:
    data = add_scripts(project)
    with (project / "training" / "usecase.toml").open("a") as settings:
        settings.write("\n[aws.enrich]\nvolume_gb = 41\n")
    cloud = Cloud(project, aws, SOURCE="s3", PYTHONPATH=str(package))
    shutil.make_archive(str(data), "gztar", data)
    assert cloud.json("download-data", "--source", f"{data}.tar.gz")["changed"] is True
    assert cloud.json("download-data", "--source", f"{data}.tar.gz")["changed"] is False
    cloud("deploy-infra", "--yes")
    check_lifecycle(cloud)
    jobs = aws.client("sagemaker").list_processing_jobs()["ProcessingJobSummaries"]
    name = next(job["ProcessingJobName"] for job in jobs if "-enrich-" in job["ProcessingJobName"])
    job = aws.client("sagemaker").describe_processing_job(ProcessingJobName=name)
    assert job["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"] == 41
    inputs = {
        processing_input["InputName"]: processing_input["S3Input"]["S3Uri"]
        for processing_input in job["ProcessingInputs"]
    }
    assert inputs.keys() == {"code", "data", "data-data"}
    assert "/artifacts/preprocess/" in inputs["data"]
    assert "/data/files-" in inputs["data-data"]
    assert aws.denials() == []
    assert cloud("cleanup", "--yes")
