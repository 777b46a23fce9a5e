"""The content of the wheel."""

from __future__ import annotations

import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

from tests.conftest import ROOT


def test_the_simulated_aws_is_in_the_wheel_without_its_tests(tmp_path: Path) -> None:
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        assert "Provides-Extra: rehearse" in wheel.read(metadata).decode()
    files = {
        *("aws_simulator/README.md", "aws_simulator/__main__.py", "aws_simulator/services/sagemaker/jobs/container.py"),
        *("mlops_cli/rehearsal/images/tensorflow-training.txt", "mlops_cli/backends/aws/infra/image_table.json"),
    }
    assert files <= names
    simulator = {name for name in names if name.startswith("aws_simulator/")}
    assert {name for name in simulator if "test" in name or name.endswith(("fixture.py", "accounts.py"))} == set()
    assert not any(name.startswith("tests/") for name in names)
