"""The packages of this machine, limited to those of an image with known content."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from aws_simulator.packages import entries, is_installed, requirements_of, with_dependencies
from aws_simulator.services.codebuild import image


def test_requirements_without_options_comments_and_hashes() -> None:
    lines = ("-r other.txt", "# comment", "rich>=13  # tables", "typer==1 \\", "    --hash=sha256:abc", "", "numpy")
    content = "\n".join([*lines, "polars; python_version < '3'", ""]).encode()
    assert requirements_of(content) == ["rich>=13", "typer==1", "numpy", "polars; python_version < '3'"]


@pytest.mark.parametrize(
    ("requirement", "installed"),
    [
        ("rich", True),
        (f"rich=={version('rich')}", True),
        ("rich==0.1", False),
        ("no-such-package", False),
        ("no-such-package; python_version < '3'", True),
        ("git+https://example.com/x", False),
    ],
)
def test_versions_that_meet_a_requirement(requirement: str, installed: bool) -> None:
    assert is_installed(requirement) is installed


def test_a_package_brings_its_dependencies_and_those_of_its_extras() -> None:
    assert {"rich", "markdown-it-py", "pygments"} <= with_dependencies(["rich>=13"])
    assert "numpy" not in with_dependencies(["rich"])
    assert {"uvicorn", "click"} <= with_dependencies(["uvicorn[standard]"])
    assert "rich" in entries({"rich"})


def test_an_image_of_known_content_can_import_only_its_packages(tmp_path: Path) -> None:
    linked = image.packages(tmp_path / "images", None, ["rich"])
    python = image.make(tmp_path / "container", linked) / "python"
    subprocess.run([python, "-c", "import rich, pygments"], check=True)
    failed = subprocess.run([python, "-c", "import numpy"], capture_output=True, text=True)
    assert "No module named 'numpy'" in failed.stderr


def test_an_image_has_the_versions_that_its_content_pins(tmp_path: Path) -> None:
    content = ["rich==0.0.1", "numpy==9 ; sys_platform == 'win32'", "typer==0.*", "./lib", "pygments"]
    linked = image.packages(tmp_path / "images", None, content)
    python = image.make(tmp_path / "container", linked) / "python"
    code = "from importlib.metadata import version; print(version('rich'), version('pygments'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.0.1", version("pygments")]
