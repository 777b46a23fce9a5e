""" "Nothing changed" is never false: each thing that a stage may depend on is changed, one by one, and so is each that
cannot matter. The scripts are plain and fast; a model is a text file."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.local.process import Children
from mlops_cli.backends.local.store import Store
from mlops_cli.backends.local.workbench import LocalWorkbench
from mlops_cli.data.manifest import Dataset, write_facts
from mlops_cli.lifecycle import judge, settle
from mlops_cli.project import Project
from mlops_cli.runs import Run, new_run
from mlops_cli.stages import STAGES
from mlops_cli.usecase import load_use_case

EXECUTED = STAGES[:3]
PREPROCESS, GATE, TRAIN = (stage.name for stage in EXECUTED)
ALL = {PREPROCESS, GATE, TRAIN}
COPY = """
import argparse, pathlib, shutil
parser = argparse.ArgumentParser()
parser.add_argument("--input-dir"), parser.add_argument("--output-dir")
given = parser.parse_args()
(pathlib.Path(given.output_dir) / "train").mkdir()
shutil.copy(given.input_dir + "/dataset.csv", given.output_dir + "/train/data.csv")
"""
FILES = {
    "training/usecase.toml": """
name = "plain"
[data]
source = "data.csv"
[data.columns]
a = "any"
[metrics]
primary = "accuracy"
[files]
"config.yaml" = ["train"]
"notes.txt" = []
"drafts/" = []
""",
    "training/preprocess.py": "import cleaning\n" + COPY,
    "training/cleaning.py": "",
    "training/train.py": "import model\nimport os, pathlib\n"
    "pathlib.Path(os.environ['SM_MODEL_DIR'], 'model').write_text(model.NAME)\n",
    "training/model.py": "NAME = 'plain'\n",
    "training/inference.py": "import serving\n",
    "training/serving.py": "",
    "training/helper.py": "print('run as a process')\n",
    "training/requirements.txt": "falcon\n",
    "training/words.csv": "a\n",
    "training/queries/all.sql": "select\n",
    "training/config.yaml": "hidden: 16\n",
    "training/notes.txt": "to do\n",
    "training/README.md": "read me\n",
    "training/drafts/one.py": "draft = 1\n",
    "training/.gitignore": "*.log\n/scratch/\n",
    "training/tests/conftest.py": "",
    "training/tests/test_pretraining.py": "import samples\ndef test_a(): assert True\n",
    "training/tests/test_posttraining.py": "def test_b(): assert True\n",
    "training/tests/samples.py": "",
    "training/tests/expected.json": "{}\n",
    "README.md": "the project\n",
}


class Bench:
    """A project of plain scripts, whose first three stages are executed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in FILES.items():
            self.write(name, text)
        self.project = Project(root)
        self.project.data.mkdir(parents=True)
        self.write(".mlops/data/dataset.csv", "a\n1\n")
        content = (self.project.data / "dataset.csv").read_bytes()
        dataset = Dataset(
            "data.csv", hashlib.sha256(content).hexdigest(), 1, {}, len(content), False, "", [],
            self.project.data / "dataset.csv",
        )  # fmt: skip
        write_facts(dataset, "", dataset.path.stat().st_mtime_ns, self.project.data / "dataset.json")
        self.store = Store(self.project.database)

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    @property
    def workbench(self) -> LocalWorkbench:
        """As a command makes it: what another one has in memory is gone."""
        use_case = load_use_case(self.project.training / "usecase.toml")
        endpoint: Any = SimpleNamespace()
        return LocalWorkbench(self.project, use_case, self.store, endpoint, Children(self.project.state / "children"))

    def run(self) -> Run:
        run, view = (
            new_run(os.urandom(4).hex(), {}),
            SimpleNamespace(stage_changed=lambda *_: None, progress=lambda *_: None),
        )
        for stage in EXECUTED:
            settle(stage, run, self.workbench, view, STAGES)
        return run

    def again(self) -> dict[str, str]:
        """The stages that would be executed now, each with the reason, judged beside the same inputs as before."""
        latest = self.store.runs()[0]
        run = new_run("again", latest.overrides)
        for stage in EXECUTED:
            run.stage(stage.name).output = latest.stage(stage.name).output
        verdicts = {stage.name: judge(stage, run, self.workbench) for stage in EXECUTED}
        return {name: verdict.reason for name, verdict in verdicts.items() if not verdict.reuse}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Executed once; whoever changes something takes it back."""
    bench = Bench(tmp_path_factory.mktemp("plain") / "project")
    bench.run()
    return bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "project")


def test_an_unchanged_project_is_not_executed_again(shared: Bench) -> None:
    assert shared.again() == {}


@pytest.mark.parametrize("git", [False, True])
@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("training/preprocess.py", {PREPROCESS}),
        ("training/cleaning.py", {PREPROCESS}),
        ("training/train.py", {TRAIN}),
        ("training/model.py", {TRAIN}),
        ("training/inference.py", {TRAIN}),
        ("training/serving.py", {TRAIN}),
        ("training/helper.py", ALL),
        ("training/requirements.txt", ALL),
        ("training/words.csv", ALL),
        ("training/queries/all.sql", ALL),
        ("training/new.yaml", ALL),
        ("training/config.yaml", {TRAIN}),
        ("training/tests/conftest.py", {GATE}),
        ("training/tests/test_pretraining.py", {GATE}),
        ("training/tests/samples.py", {GATE}),
        ("training/tests/expected.json", {GATE}),
        ("training/usecase.toml", {GATE}),
        ("training/tests/test_posttraining.py", set()),
        ("training/notes.txt", set()),
        ("training/README.md", set()),
        ("training/drafts/one.py", set()),
        ("training/any.log", set()),
        ("training/scratch/any.txt", set()),
        ("training/__pycache__/model.cpython-311.pyc", set()),
        ("training/.ipynb_checkpoints/a-checkpoint.ipynb", set()),
        ("training/.model.py.swp", set()),
        ("training/model.py~", set()),
        ("training/.#model.py", set()),
        ("training/.DS_Store", set()),
        ("training/.vscode/settings.json", set()),
        ("README.md", set()),
        ("data.csv", set()),
    ],
)
def test_each_file_counts_for_its_stages_and_is_named(shared: Bench, name: str, stages: set[str], git: bool) -> None:
    path = shared.root / name
    before = path.read_text() if path.exists() else None
    if git:
        subprocess.run(["git", "-C", str(shared.root), "init", "-q"], check=True)
        subprocess.run(["git", "-C", str(shared.root), "add", "training/train.py", "training/words.csv"], check=True)
    try:
        shared.write(name, f"{before or ''}# changed\n")
        again = shared.again()
        assert again.keys() == stages
        assert all(name in reason for reason in again.values()), again
    finally:
        path.unlink()
        if before is not None:
            shared.write(name, before)
        subprocess.run(["rm", "-rf", str(shared.root / ".git")], check=True)
    assert shared.again() == {}


def test_a_time_alone_changes_nothing(shared: Bench) -> None:
    for path in (shared.root / "training").rglob("*"):
        os.utime(path, (1, 1))
    assert shared.again() == {}


def test_a_file_that_is_gone_or_renamed_counts(shared: Bench) -> None:
    words = shared.root / "training" / "words.csv"
    words.rename(words.with_name("other.csv"))
    try:
        assert shared.again().keys() == ALL
        assert "training/words.csv is gone" in shared.again()[TRAIN]
    finally:
        words.with_name("other.csv").rename(words)


@pytest.mark.parametrize("git", [False, True])
def test_a_link_counts_by_what_it_leads_to(bench: Bench, tmp_path: Path, git: bool) -> None:
    if git:
        subprocess.run(["git", "-C", str(bench.root), "init", "-q"], check=True)
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "words.txt").write_text("a")
    (outside / "one.txt").write_text("a")
    (bench.root / "training" / "folder").symlink_to(outside)
    (bench.root / "training" / "one.txt").symlink_to(outside / "one.txt")
    (bench.root / "training" / "loop").symlink_to(bench.root / "training")
    bench.run()
    assert bench.again() == {}
    (outside / "deep" / "words.txt").write_text("b")
    assert "training/folder/deep/words.txt changed" in bench.again()[TRAIN]
    (outside / "deep" / "words.txt").write_text("a")
    (outside / "one.txt").write_text("b")
    assert "training/one.txt changed" in bench.again()[TRAIN]


@pytest.mark.parametrize("variable", ["TZ", "LC_TIME", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LISTED", "FIXED"])
def test_a_variable_that_scripts_see_counts(bench: Bench, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    tables = '[environment]\npass = ["LISTED"]\n[environment.set]\nFIXED = "1"\n'
    bench.write("training/usecase.toml", FILES["training/usecase.toml"] + tables)
    monkeypatch.setenv(variable, "1")
    bench.run()
    assert bench.again() == {}
    if variable == "FIXED":
        bench.write("training/usecase.toml", FILES["training/usecase.toml"] + tables.replace('"1"', '"2"'))
    monkeypatch.setenv(variable, "2")
    again = bench.again()
    assert again.keys() == ALL
    assert all(f"variable {variable} changed" in reason for reason in again.values())


def test_variables_that_scripts_do_not_see_change_nothing(shared: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONOPTIMIZE", "PYTHONPATH", "PYTHONSAFEPATH", "ANYTHING", "PYTEST_ADDOPTS", "TMPDIR"):
        monkeypatch.setenv(name, "/tmp")
    assert shared.again() == {}


def test_data_that_was_changed_behind_its_size_and_time_is_refused(shared: Bench) -> None:
    path = shared.project.data / "dataset.csv"
    before, stat = path.read_text(), path.stat()
    path.write_text("a\n2\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(Exception, match=r"dataset\.csv was changed since it was downloaded"):
        shared.again()
    path.write_text(before)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_an_output_that_was_changed_behind_its_size_and_time_is_not_reused(bench: Bench) -> None:
    run = bench.run()
    (file,) = (bench.project.state / run.stage(PREPROCESS).artifact).rglob("data.csv")
    stat = file.stat()
    file.write_text("a\n2\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert bench.again() == {PREPROCESS: "its output is gone"}


def test_a_copied_project_reuses_what_is_the_same(bench: Bench) -> None:
    run = bench.run()
    folder = bench.project.state / run.stage(PREPROCESS).artifact
    subprocess.run(["cp", "-r", str(folder), f"{folder}-copy"], check=True)
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    Path(f"{folder}-copy").rename(folder)
    assert bench.again() == {}


@pytest.mark.parametrize("link", ["folder", "file", "the output itself"])
def test_an_output_that_is_a_link_is_refused(bench: Bench, tmp_path: Path, link: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("a")
    target = tmp_path / "elsewhere" / ("file" if link == "file" else "")
    place = "given.output_dir" if link == "the output itself" else "given.output_dir + '/link'"
    removal = f"shutil.rmtree({place})\n" if link == "the output itself" else ""
    bench.write("training/preprocess.py", f"{COPY}{removal}import os\nos.symlink({str(target)!r}, {place})\n")
    with pytest.raises(Exception, match="is a link: what it leads to would not be kept"):
        bench.run()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where packages are installed, on this process's path."""
    from mlops_cli import packages

    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for cached in (packages._places, packages._info, packages._sites, packages._listed_folders):
        cached.cache_clear()
    packages._distributions.cache_clear()
    packages.installed_version.cache_clear()
    return folder


def _setuptools_finder(site: Path, sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finder = SimpleNamespace(MAPPING={"shared_code": str(sources / "shared_code")}, NAMESPACES={})
    monkeypatch.setitem(sys.modules, "__editable___shared_code_finder", finder)


def _path_file(site: Path, sources: Path, _: pytest.MonkeyPatch) -> None:
    (site / "_shared_code.pth").write_text(f"{sources}\n")


def _unknown_finder(site: Path, sources: Path, _: pytest.MonkeyPatch) -> None:
    info = site / "shared_code-1.0.dist-info"
    info.mkdir()
    (info / "direct_url.json").write_text(f'{{"url": "file://{sources}", "dir_info": {{"editable": true}}}}')
    (info / "RECORD").write_text("")


def _link(site: Path, sources: Path, _: pytest.MonkeyPatch) -> None:
    (site / "shared_code").symlink_to(sources / "shared_code")


@pytest.mark.parametrize("install", [_setuptools_finder, _path_file, _unknown_finder, _link])
def test_a_package_that_is_installed_in_editable_form_counts_by_its_files(
    bench: Bench, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Callable[..., None]
) -> None:
    sources = tmp_path / "checkout"
    (sources / "shared_code" / "data").mkdir(parents=True)
    (sources / "shared_code" / "__init__.py").write_text("import another_package\n")
    (sources / "shared_code" / "data" / "words.txt").write_text("a")
    install(site, sources, monkeypatch)
    bench.write("training/model.py", "def late():\n    import shared_code\nNAME = 'plain'\n")
    bench.run()
    assert bench.again() == {}
    assert "package another_package" in bench.store.finished(TRAIN)[0].ingredients
    (sources / "shared_code" / "data" / "words.txt").write_text("b")
    assert bench.again().keys() == {TRAIN}
    assert "shared_code/data/words.txt changed" in bench.again()[TRAIN]


def test_a_package_that_is_installed_from_a_folder_counts_by_what_was_installed(bench: Bench, site: Path) -> None:
    info = site / "shared_code-1.0.dist-info"
    info.mkdir()
    (info / "direct_url.json").write_text('{"url": "file:///src/shared_code", "dir_info": {}}')
    (info / "RECORD").write_text("shared_code/__init__.py,sha256=abc,10\n")
    bench.write("training/model.py", "def late():\n    import shared_code\nNAME = 'plain'\n")
    bench.run()
    assert bench.again() == {}
    (info / "RECORD").write_text("shared_code/__init__.py,sha256=abd,10\n")
    assert bench.again().keys() == {TRAIN}
