"""The installation of a build step, executed by the buildspec, with a package index that an attacker controls."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from aws_simulator.services.codebuild import image
from mlops_cli import __version__
from mlops_cli.backends.aws.runs.status import DECIDING
from mlops_cli.core.stages import stage_named
from mlops_cli.files.hashing import digest_file
from mlops_cli.packaging import wheel
from tests.conftest import ROOT
from tests.package_index import taken_over
from tests.templates.test_buildspec import DECISIONS

SPEC: dict[str, Any] = yaml.safe_load((ROOT / "templates" / "buildspec.yml").read_text())
pytestmark = pytest.mark.slow


class Build:
    """A checkout, a folder instead of a bucket, and an image with all packages except mlops."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bucket = folder / "bucket"
        self.bucket.mkdir()
        self.wheel = wheel.build(self.bucket)
        self.key = f"s3://bucket/tiny-dev/cli/{digest_file(self.wheel)}/{self.wheel.name}"
        self.source = folder / "source"
        (self.source / "training").mkdir(parents=True)
        self.programs = image.make(folder / "image", image.packages(folder / "packages", ROOT / "mlops_cli" / "locks"))
        copy = f'#!/bin/sh\nmkdir -p "$5" && cp "{self.bucket}/${{4##*/}}" "$5"\n'
        (self.programs / "aws").unlink()
        (self.programs / "aws").write_text(copy)
        (self.programs / "aws").chmod(0o755)

    def install(self, stage: str) -> subprocess.CompletedProcess[str]:
        """Run the commands of the phase in order, until one fails."""
        kind = stage_named(stage).kind.value
        variables = {"MLOPS_STAGE_NAME": stage, "MLOPS_STAGE_KIND": kind, "MLOPS_WHEEL": self.key}
        variables["HOME"] = str(self.folder)
        index = {"PIP_INDEX_URL": (self.folder / "index").as_uri(), "PATH": f"{self.programs}:{os.defpath}"}
        spec = DECISIONS if stage in DECIDING else SPEC
        for command in spec["phases"]["install"]["commands"]:
            argv = ["bash", "-c", command]
            done = subprocess.run(argv, cwd=self.source, env={**variables, **index}, capture_output=True, text=True)
            if done.returncode:
                break
        return done

    def python(self, *arguments: str) -> str:
        done = subprocess.run([self.programs / "python", *arguments], cwd=self.source, capture_output=True, text=True)
        return done.stdout + done.stderr


@pytest.fixture
def build(tmp_path: Path) -> Build:
    taken_over(tmp_path / "index", {"mlops-cli": "99.0"})
    return Build(tmp_path)


@pytest.mark.parametrize("stage", ["train", "pre-training-tests", "approval"])
def test_a_step_installs_the_deployed_wheel_and_its_dependencies(build: Build, stage: str) -> None:
    shutil.copytree(ROOT / "training" / "tests", build.source / "training" / "tests")
    done = build.install(stage)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert build.python("-I", "-m", "mlops_cli", "--version") == f"mlops {__version__}\n"


def test_a_deciding_step_imports_no_file_of_the_checkout(build: Build) -> None:
    for name in ("mlops_cli", "pip", "numpy", "typer"):
        (build.source / name).mkdir()
        for module in ("__init__", "__main__"):
            (build.source / name / f"{module}.py").write_text("raise SystemExit('hostile')")
    (build.source / ".mlops" / "cli").mkdir(parents=True)
    (build.source / ".mlops" / "cli" / "evil-1.0-py3-none-any.whl").write_text("hostile")
    (build.source / ".env").write_text("STAGE=prod\n")
    done = build.install("deploy")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert build.python("-I", "-m", "mlops_cli", "--version") == f"mlops {__version__}\n"
    assert not (build.source / ".env").exists()


@pytest.mark.parametrize("stage", ["train", "deploy"])
def test_a_wheel_that_was_exchanged_in_the_bucket_is_not_taken(build: Build, stage: str) -> None:
    build.wheel.write_bytes(build.wheel.read_bytes() + b" ")
    done = build.install(stage)
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "No module named mlops_cli" in build.python("-I", "-m", "mlops_cli", "--version")


@pytest.mark.parametrize("folder", ["training", "training/tests"])
@pytest.mark.parametrize("lines", [["polars>=1"], ["iniconfig", "polars==0.0.1 --hash=sha256:" + "0" * 64]])
def test_a_gate_installs_nothing_without_a_hash(build: Build, folder: str, lines: list[str]) -> None:
    file = build.source / folder / "requirements.txt"
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(["taken-over", *lines]))
    taken_over(build.folder / "index", {"taken-over": "1.0", "polars": "0.0.1"})
    done = build.install("post-training-tests")
    assert done.returncode == 1
    assert "hashes" in done.stderr


@pytest.mark.parametrize("added", ["polars>=99", "taken-over"])
def test_requirements_beyond_their_lock_fail_and_install_nothing(build: Build, added: str) -> None:
    shutil.copytree(ROOT / "training" / "tests", build.source / "training" / "tests")
    with (build.source / "training" / "tests" / "requirements.txt").open("a") as file:
        file.write(f"{added}\n")
    taken_over(build.folder / "index", {"taken-over": "1.0", "polars": "99.0"})
    done = build.install("pre-training-tests")
    assert done.returncode == 1
    assert added in done.stderr
    assert "hash" not in done.stderr, "its lock is installed"
