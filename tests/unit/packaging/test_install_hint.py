"""Hints name a command for the running installation."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from mlops_cli.packaging import install_hint
from tests.conftest import ROOT

PYTHON = shlex.quote(sys.executable)
WHEEL = "https://example.com/mlops_cli-1-py3-none-any.whl"
GIT = {"url": "https://example.com/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
FOLDER = {"url": "file:///a%20b/c", "dir_info": {}}
NUMPY = "numpy<3,>=1.26; (sys_platform != 'darwin' and python_version >= '3.11')"
METADATA = f"""Metadata-Version: 2.1
Name: mlops-cli
Version: 1
Requires-Dist: rich>=13
Requires-Dist: falcon>=4; extra == 'local'
Requires-Dist: {NUMPY} and extra == "local"
Requires-Dist: kaggle>=2; extra == 'kaggle'
"""


def installed(folder: Path, origin: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an mlops of this origin (PEP 610) first on the path."""
    info = folder / "mlops_cli-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    if origin:
        (info / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(str(folder))


def test_from_a_checkout_the_command_names_its_folder_and_its_interpreter() -> None:
    command = install_hint.install_command("aws")
    assert command == f"{PYTHON} -m pip install -e {shlex.quote(f'{ROOT}[aws]')}"
    options = ["--dry-run", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*shlex.split(command), *options], capture_output=True, text=True)
    assert f"Obtaining file://{ROOT}" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("origin", "arguments"),
    [
        (None, f"'falcon>=4' {shlex.quote(NUMPY)}"),
        (FOLDER, "'/a b/c[local]'"),
        (GIT, "'mlops-cli[local] @ git+https://example.com/x.git@abc'"),
        ({"url": WHEEL, "archive_info": {}}, f"'mlops-cli[local] @ {WHEEL}'"),
        ({"url": WHEEL, "archive_info": {"hashes": {"sha256": "12"}}}, f"'mlops-cli[local] @ {WHEEL}#sha256=12'"),
    ],
    ids=str,
)
def test_from_elsewhere_it_names_that_and_never_a_name_on_an_index(
    origin: object, arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, origin, monkeypatch)
    assert install_hint.install_command("local") == f"{PYTHON} -m pip install {arguments}"
    assert install_hint.install_arguments("local") == f"install {arguments}"


@pytest.mark.parametrize(
    ("receipt", "content", "origin", "command"),
    [
        (
            "uv-receipt.toml",
            '[tool]\nrequirements = [{ name = "mlops-cli", extras = ["aws", "kaggle"], directory = "/a b/c" }]\n',
            FOLDER,
            "uv tool install --force '/a b/c[aws,kaggle,local]'",
        ),
        (
            "uv-receipt.toml",
            '[tool]\nrequirements = [{ name = "mlops-cli" }]\n',
            {**FOLDER, "dir_info": {"editable": True}},
            "uv tool install --force -e '/a b/c[local]'",
        ),
        (
            "pipx_metadata.json",
            '{"main_package": {"package_or_url": "/a b/c[aws]", "package": "mlops-cli"}}',
            FOLDER,
            "pipx install --force '/a b/c[aws,local]'",
        ),
        (
            "pipx_metadata.json",
            "{}",
            {**FOLDER, "dir_info": {"editable": True}},
            "pipx install --force --editable '/a b/c[local]'",
        ),
        (
            "pipx_metadata.json",
            "{}",
            GIT,
            "pipx install --force 'mlops-cli[local] @ git+https://example.com/x.git@abc'",
        ),
    ],
    ids=str,
)
def test_an_environment_of_uv_or_pipx_is_created_again_with_its_extras(
    receipt: str, content: str, origin: object, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, origin, monkeypatch)
    (tmp_path / receipt).write_text(content)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert install_hint.install_command("local") == command


def test_an_environment_without_a_pip_of_its_own_and_one_of_pipx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert install_hint.packages_command("mlflow") == f"uv pip install --python {PYTHON} mlflow"
    (tmp_path / "pipx_metadata.json").write_text("{}")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert install_hint.packages_command("mlflow") == "pipx inject mlops-cli mlflow"


@pytest.mark.parametrize(
    ("prefix", "command"),
    [
        ("/home/a/.cache/uv/archive-v0/f00", "uvx --from '/a b/c[local]' mlops ..."),
        ("/home/a/.cache/uv/environments-v2/f00", "uvx --from '/a b/c[local]' mlops ..."),
        ("/home/a/.local/pipx/.cache/f00", "pipx run --spec '/a b/c[local]' mlops ..."),
        ("/home/a/uv/project/.venv", f"{PYTHON} -m pip install '/a b/c[local]'"),
        ("/home/a/.cache/venv", f"{PYTHON} -m pip install '/a b/c[local]'"),
    ],
)
def test_an_environment_for_one_call_is_not_installed_into(
    prefix: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, FOLDER, monkeypatch)
    monkeypatch.setattr(sys, "prefix", prefix)
    assert install_hint.install_command("local") == command


def test_the_systems_python_needs_the_option_of_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    assert "--break-system-packages" not in install_hint.pip_install()
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    assert install_hint.pip_install() == f"{PYTHON} -m pip install --break-system-packages"


def test_no_text_installs_an_unowned_package_name() -> None:
    """No text installs mlops from a package index, or with another environment's pip."""
    files = [
        *(ROOT / "mlops_cli").rglob("*.py"),
        *(ROOT / "mlops_cli").rglob("*.yml"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "templates").iterdir(),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
    ]
    lines = [line for file in files for line in file.read_text().splitlines() if re.search(r"pip install\b", line)]
    assert len(lines) > 5
    assert [line for line in lines if "mlops-cli" in line or "mlops_cli[" in line] == []
    bare = [line for line in lines if not any(pip in line for pip in ("-m pip install", "/bin/pip install", "uv pip"))]
    assert bare == []
