"""Hints that name a command which works for the installation that runs."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli import install
from tests.conftest import ROOT


def test_from_a_checkout_the_command_names_its_folder() -> None:
    assert install.install_command("aws") == f"pip install -e {shlex.quote(f'{ROOT}[aws]')}"
    said = shlex.split(install.install_command("aws").removeprefix("pip "))
    done = subprocess.run(
        [sys.executable, "-m", "pip", *said, "--dry-run", "--no-deps", "--no-build-isolation", "--no-index"],
        capture_output=True,
        text=True,
    )
    assert f"Obtaining file://{ROOT}" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        (None, "pip install 'mlops-cli[local]'"),
        ({"url": "file:///a%20b/c", "dir_info": {}}, "pip install '/a b/c[local]'"),
        (
            {"url": "https://example.com/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'mlops-cli[local] @ git+https://example.com/x.git@abc'",
        ),
        (
            {"url": "https://example.com/mlops_cli-1-py3-none-any.whl", "archive_info": {}},
            "pip install 'mlops-cli[local] @ https://example.com/mlops_cli-1-py3-none-any.whl'",
        ),
    ],
)
def test_from_elsewhere_it_names_that(
    origin: object, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "mlops_cli-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mlops-cli\nVersion: 1\n")
    if origin:
        (info / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert install.install_command("local") == said
