"""The running mlops as a wheel: complete, deterministic, and installable without an index."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import mlops_cli
from mlops_cli import __version__
from mlops_cli.packaging import wheel

PACKAGE = Path(mlops_cli.__file__).parent


def sources() -> dict[str, bytes]:
    paths = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {f"mlops_cli/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes() for path in paths}


def test_it_holds_exactly_the_running_package(tmp_path: Path) -> None:
    path = wheel.build(tmp_path)
    assert path.name == f"mlops_cli-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if name.startswith("mlops_cli/")}
    assert packed == sources()


def test_it_is_the_same_each_time(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    entry, two = (wheel.build(folder).read_bytes() for folder in folders)
    assert entry == two


def test_pip_installs_it_and_it_runs_as_the_same_version(tmp_path: Path) -> None:
    target = tmp_path / "site"
    path = wheel.build(tmp_path)
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*install, str(path)], check=True, cwd=tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import mlops_cli;"
        "assert mlops_cli.__file__.startswith(sys.path[0]); from mlops_cli.__main__ import main; main()"
    )
    run = [sys.executable, "-c", code, str(target), "--version"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"mlops {__version__}\n"), done.stderr
    installed = {path.relative_to(target).as_posix(): path for path in target.rglob("*.py")}
    assert {name: path.read_bytes() for name, path in installed.items()} == {
        name: content for name, content in sources().items() if name.endswith(".py")
    }
    assert (target / "bin" / "mlops").exists()
    assert (target / f"mlops_cli-{__version__}.dist-info" / "METADATA").exists()
