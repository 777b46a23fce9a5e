"""Every change that may alter a stage's output executes the stage again; no other change does.

Each test changes one thing. The scripts are plain and fast; a model is a text file.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.local.runs.store import RunStore
from mlops_cli.backends.local.stages.executor import LocalStageExecutor
from mlops_cli.caching.unsent import describe_unsent
from mlops_cli.core.engine import decide_reuse, run_or_reuse_stage
from mlops_cli.core.runs import Run, new_run
from mlops_cli.core.stages import STAGES, Stage
from mlops_cli.data.metadata import DatasetInfo, look_of, write_dataset_info
from mlops_cli.processes.child_process import JobProcesses
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.reader import load_use_case

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
    """A project of plain scripts with its first three stages executed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = Project(root)
        if not self.project.database.exists():
            self._make()
        self.store = RunStore(self.project.database)
        self.stages: Sequence[Stage] = EXECUTED

    def _make(self) -> None:
        for name, text in FILES.items():
            self.write(name, text)
        self.project.data.mkdir(parents=True)
        self.write(".mlops/data/dataset.csv", "a\n1\n")
        content = (self.project.data / "dataset.csv").read_bytes()
        dataset = DatasetInfo(
            "data.csv", hashlib.sha256(content).hexdigest(), 1, {}, len(content), False, "", [],
            self.project.data / "dataset.csv",
        )  # fmt: skip
        write_dataset_info(dataset, "", look_of(dataset.path), self.project.data / "dataset.json")

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    @property
    def workbench(self) -> LocalStageExecutor:
        """Return an executor as a new command has it, without anything in memory."""
        use_case = load_use_case(self.project.training / "usecase.toml")
        endpoint: Any = SimpleNamespace()
        executor = LocalStageExecutor(
            self.project,
            use_case,
            self.store,
            endpoint,
            JobProcesses(self.project.state / "children"),
            lambda run, against_live=True: [],
        )
        trial: Any = SimpleNamespace(run=lambda *_, **__: None)  # a model is a text file, which nobody serves
        executor.job_runner.trial = trial
        return executor

    def run(self) -> Run:
        run, view = (
            new_run(os.urandom(4).hex(), {}),
            SimpleNamespace(stage_changed=lambda *_: None, progress=lambda *_: None),
        )
        for stage in self.stages:
            run_or_reuse_stage(stage, run, self.workbench, view, STAGES)
        return run

    def last_inputs(self, stage: str) -> dict[str, str]:
        last = self.store.last_finished(stage)
        assert last is not None
        return last.cache_inputs

    def again(self) -> dict[str, str]:
        """Return the stages that would be executed now, each with its reason. The original inputs stay as they were."""
        latest = self.store.runs()[0]
        run = new_run("again", latest.overrides)
        for stage in self.stages:
            run.stage(stage.name).output = latest.stage(stage.name).output
        decisions = {stage.name: decide_reuse(stage, run, self.workbench) for stage in self.stages}
        return {name: decision.reason for name, decision in decisions.items() if not decision.reuse}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Provide a bench that is executed once. Each test undoes its changes."""
    bench = Bench(tmp_path_factory.mktemp("plain") / "project")
    bench.run()
    return bench


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a finished project. A run of a copy executes only the stages that a test has changed."""
    bench = Bench(tmp_path_factory.mktemp("executed") / "project")
    bench.run()
    return bench.root


@pytest.fixture
def bench(executed: Path, tmp_path: Path) -> Bench:
    return Bench(shutil.copytree(executed, tmp_path / "project"))


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="there is one worker only")
def test_tests_that_share_a_project_stay_on_one_worker(shared: Bench, request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith("@tests/unit/caching/test_freshness.py")


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
        repeated = shared.again()
        assert repeated.keys() == stages
        assert all(name in reason for reason in repeated.values()), repeated
    finally:
        path.unlink()
        if before is not None:
            shared.write(name, before)
        subprocess.run(["rm", "-rf", str(shared.root / ".git")], check=True)
    assert shared.again() == {}


def test_a_new_modification_time_alone_is_no_change(shared: Bench) -> None:
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
def test_a_link_counts_by_the_content_of_its_target(bench: Bench, tmp_path: Path, git: bool) -> None:
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
    repeated = bench.again()
    assert repeated.keys() == ALL
    assert all(f"variable {variable} changed" in reason for reason in repeated.values())


def test_environment_variables_that_scripts_do_not_get_are_no_inputs(
    shared: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert bench.again() == {PREPROCESS: "its output is missing"}


def test_a_copied_project_reuses_unchanged_outputs(bench: Bench) -> None:
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
    folder = "given.output_dir" if link == "the output itself" else "given.output_dir + '/link'"
    removal = f"shutil.rmtree({folder})\n" if link == "the output itself" else ""
    bench.write("training/preprocess.py", f"{COPY}{removal}import os\nos.symlink({str(target)!r}, {folder})\n")
    with pytest.raises(Exception, match="is a link: its target would not be saved"):
        bench.run()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a folder of installed packages on this process's path."""
    from mlops_cli.caching import package_versions

    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for function in vars(package_versions).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()
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
    assert "package another_package" in bench.last_inputs(TRAIN)
    (note,) = describe_unsent(bench.root, bench.project.state)
    assert note.startswith(f"the package shared_code is imported from {sources}")
    (sources / "shared_code" / "data" / "words.txt").write_text("b")
    assert bench.again().keys() == {TRAIN}
    assert "shared_code/data/words.txt changed" in bench.again()[TRAIN]


@pytest.mark.parametrize(
    "origin",
    [
        '{"url": "file:///src/shared_code", "dir_info": {}}',
        '{"url": "https://git.example/shared", "vcs_info": {"vcs": "git", "commit_id": "1"}}',
        '{"url": "https://example.org/shared_code-1.0.tar.gz", "archive_info": {}}',
    ],
)
def test_a_package_from_no_index_counts_by_its_installed_files(bench: Bench, site: Path, origin: str) -> None:
    info = site / "shared_code-1.0.dist-info"
    info.mkdir()
    (info / "direct_url.json").write_text(origin)
    (info / "RECORD").write_text("shared_code/__init__.py,sha256=abc,10\n")
    bench.write("training/model.py", "def late():\n    import shared_code\nNAME = 'plain'\n")
    bench.run()
    assert bench.again() == {}
    (info / "RECORD").write_text("shared_code/__init__.py,sha256=abd,10\n")
    assert bench.again().keys() == {TRAIN}


def test_a_linked_package_counts_by_its_version(
    bench: Bench, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual environment can see another one's packages: their files are not the project's."""
    other_folder = tmp_path / "other" / "site-packages"
    (other_folder / "shared_code").mkdir(parents=True)
    (other_folder / "shared_code" / "__init__.py").write_text("import another_package\n")
    (other_folder / "shared_code-1.0.dist-info").mkdir()
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("shared_code", "shared_code-1.0.dist-info"):
        (linked / name).symlink_to(other_folder / name)
    (site / "linked.pth").write_text(f"{linked}\n")
    monkeypatch.syspath_prepend(str(linked))
    bench.write("training/model.py", "def late():\n    import shared_code\nNAME = 'plain'\n")
    bench.run()
    cache_inputs = bench.last_inputs(TRAIN)
    packages = {name: value for name, value in cache_inputs.items() if name.startswith("package ")}
    assert packages == {"package shared_code": "shared_code 1.0"}


def _reads(bench: Bench, code: str, module: str = "model") -> None:
    """Insert ``code`` at the beginning of a script."""
    path = f"training/{module}.py"
    bench.write(path, f"import os, sys, pathlib\n{code}\n{FILES[path]}")


ELSEWHERE = {
    "a module from sys.path": "sys.path.insert(0, os.path.abspath('../lib'))\nimport elsewhere",
    "a module by its name": "sys.path.append('../lib')\nimport importlib\nimportlib.import_module('else' + 'where')",
    "a file": "open('../lib/elsewhere.py').read()",
    "a file by pathlib": "pathlib.Path(__file__).parent.parent.joinpath('lib', 'elsewhere.py').read_bytes()",
    "a file by its descriptor": "os.read(os.open('../lib/elsewhere.py', os.O_RDONLY), 10)",
    "a file in a thread": "import threading\nt = threading.Thread(target=lambda: open('../lib/elsewhere.py').read())\n"
    "t.start(), t.join()",
    "a process": "import subprocess\nsubprocess.run([sys.executable, '../lib/elsewhere.py'], check=True)",
    "a process of a process": "import subprocess\n"
    "subprocess.run(['sh', '-c', f'{sys.executable} ../lib/elsewhere.py'], check=True)",
    "a forked process": "import multiprocessing\ndef read(): open('../lib/elsewhere.py').read()\n"
    "p = multiprocessing.get_context('fork').Process(target=read)\np.start(), p.join()",
    "a script that runs here": "import runpy\nrunpy.run_path('../lib/elsewhere.py')",
    "another program": "import subprocess\nsubprocess.run(['cat', '../lib/elsewhere.py'], check=True)",
    "another program's option": "import subprocess\n"
    "subprocess.run(['sh', '-c', 'true', '--file=../lib/elsewhere.py'], check=True)",
    "another program in a shell": "os.system('cat <../lib/elsewhere.py >/dev/null')",
    "another program in its folder": "import subprocess\n"
    "subprocess.run('cat -- elsewhere.py', shell=True, cwd='../lib', check=True)",
    "after another folder": "os.chdir('..')\nopen('lib/elsewhere.py').read()",
}


@pytest.mark.parametrize(
    ("how", "inside"), [*((how, True) for how in ELSEWHERE), ("a module from sys.path", False), ("a file", False)]
)
def test_a_file_that_a_script_reads_outside_its_folder_is_recorded_by_the_run(
    bench: Bench, how: str, inside: bool
) -> None:
    file = bench.root / "lib" / "elsewhere.py" if inside else bench.root.parent / "lib" / "elsewhere.py"
    file.parent.mkdir()
    file.write_text("SIZE = 1\n")
    _reads(bench, ELSEWHERE[how].replace("../lib", "../lib" if inside else str(file.parent)))
    bench.stages = (STAGES[0], STAGES[2])
    run = bench.run()
    assert bench.again() == {}
    shown = str(file.relative_to(bench.root) if inside else file)
    assert shown in run.stage(TRAIN).detail["unsent"]
    notes = describe_unsent(bench.root, bench.project.state)
    assert notes == [f"on this machine train has read {shown}: a job on AWS gets only training/"]
    file.write_text("SIZE = 2\n")
    assert bench.again().keys() == {TRAIN}
    assert "elsewhere.py changed" in bench.again()[TRAIN]
    second = bench.run()
    assert second.stage(TRAIN).status.value == "done"
    assert bench.again() == {}
    file.write_text("SIZE = 1\n")  # taken back: the first one holds again
    assert bench.again() == {}
    file.unlink()
    assert bench.again().keys() == {TRAIN}
    assert describe_unsent(bench.root, bench.project.state) == []


@pytest.mark.parametrize("linked", [False, True])
def test_a_file_in_the_users_cache_is_an_input_without_a_name(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    """An example is matplotlib's list of fonts, written at its first import on a machine."""
    home, real = tmp_path / "home", tmp_path / "real"
    (real / ".cache" / "lib").mkdir(parents=True)
    home.symlink_to(real)
    monkeypatch.setenv("HOME", str(home))
    fonts, near = real / ".cache" / "lib" / "fonts.json", real / ".cached.json"
    near.write_text("1")
    cached = fonts if linked else home / ".cache" / "lib" / "fonts.json"
    _reads(
        bench,
        f"p = pathlib.Path({str(cached)!r})\ntry: p.read_text()\nexcept OSError: p.write_text('[]')\n"
        f"pathlib.Path({str(near)!r}).read_text()",
    )
    bench.stages = (STAGES[0], STAGES[2])
    assert bench.run().stage(TRAIN).detail["unsent"] == [str(near)]
    assert bench.again() == {}
    fonts.write_text("[1]")
    assert bench.again().keys() == {TRAIN}
    assert bench.run().stage(TRAIN).detail["unsent"] == [str(near)]


def test_a_module_of_a_listed_path_counts(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere.py").write_text("SIZE = 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tables = FILES["training/usecase.toml"] + '[environment]\npass = ["PYTHONPATH"]\n'
    bench.write("training/usecase.toml", tables)
    _reads(bench, "import elsewhere")
    bench.run()
    assert bench.again() == {}
    (tmp_path / "elsewhere.py").write_text("SIZE = 2\n")
    assert "elsewhere.py changed" in bench.again()[TRAIN]


def test_a_gate_that_reads_elsewhere_is_run_again(bench: Bench) -> None:
    bench.write("src/limits.py", "LEAST = 1\n")
    test = "import sys\nsys.path.append('../src')\nimport limits\ndef test_a(): assert limits.LEAST\n"
    bench.write("training/tests/test_pretraining.py", test)
    bench.run()
    assert bench.again() == {}
    bench.write("src/limits.py", "LEAST = 2\n")
    assert bench.again() == {GATE: "the file src/limits.py changed"}


def test_a_file_that_git_ignores_counts_if_it_is_read(bench: Bench) -> None:
    bench.write("training/any.log", "a\n")
    _reads(bench, "open('any.log').read()")
    bench.run()
    assert bench.again() == {}
    bench.write("training/any.log", "b\n")
    assert bench.again() == {TRAIN: "the file training/any.log changed"}


@pytest.mark.parametrize("inside", [True, False])
def test_a_file_that_was_looked_for_counts_when_it_is_there(bench: Bench, inside: bool) -> None:
    file = (bench.root if inside else bench.root.parent) / "override.yaml"
    _reads(bench, f"try: open({str(file)!r}).read()\nexcept FileNotFoundError: pass")
    bench.run()
    assert bench.again() == {}
    file.write_text("x: 1\n")
    assert bench.again() == {TRAIN: f"the file {file.name if inside else file} changed"}


@pytest.mark.parametrize("code", ["import importlib\nimportlib.import_module('_speedups')", "ctypes.CDLL(LIBRARY)"])
def test_a_compiled_module_and_a_library_count(bench: Bench, code: str) -> None:
    import markupsafe._speedups as compiled

    file = bench.root / "lib" / Path(compiled.__file__).name
    file.parent.mkdir()
    shutil.copy(compiled.__file__, file)
    _reads(bench, f"import ctypes\nLIBRARY = {str(file)!r}\nsys.path.insert(0, '../lib')\n{code}\nctypes.CDLL(None)")
    bench.run()
    assert bench.again() == {}
    with file.open("ab") as library:
        library.write(b"changed")
    assert bench.again() == {TRAIN: f"the file lib/{file.name} changed"}


def test_a_virtual_environment_in_the_projects_folder_hides_no_file_of_the_project(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.EnvBuilder(symlinks=True, with_pip=False).create(bench.root)
    monkeypatch.setattr(sys, "executable", str(bench.root / "bin" / "python"))
    for folder in ("lib", "share", "bin", "etc"):
        bench.write(f"{folder}/words.txt", "a")
    _reads(bench, "for name in ('lib', 'share', 'bin', 'etc'): open(f'../{name}/words.txt').read()\nimport json, email")
    bench.stages = (STAGES[0], STAGES[2])
    run = bench.run()
    assert bench.again() == {}
    assert sorted(run.stage(TRAIN).detail["unsent"]) == [f"{name}/words.txt" for name in ("bin", "etc", "lib", "share")]
    for folder in ("lib", "share", "bin", "etc"):
        bench.write(f"{folder}/words.txt", "b")
        assert bench.again() == {TRAIN: f"the file {folder}/words.txt changed"}
        bench.write(f"{folder}/words.txt", "a")


def test_a_folder_that_was_listed_counts_by_its_names(bench: Bench) -> None:
    bench.write("texts/one.txt", "1")
    _reads(bench, "import glob\n[open(path).read() for path in glob.glob('../texts/*.txt')]")
    bench.run()
    assert bench.again() == {}
    bench.write("texts/.two.txt.swp", "2")
    assert bench.again() == {}
    bench.write("texts/two.txt", "2")
    assert bench.again() == {TRAIN: "the folder texts changed"}


SWAPS = {
    "of the same size and time": "{file}.write_text('b')\nos.utime({file}, (1, 1))",
    "moved over it": "other.write_text('b')\nos.replace(other, {file})",
    "in another link's place": "{file}.unlink()\nother.write_text('b')\n{file}.symlink_to(other)",
    "through a hard link": "os.link({file}, other)\nother.write_text('b')",
}


@pytest.mark.parametrize("how", SWAPS.values(), ids=SWAPS)
def test_a_dependency_that_was_swapped_unnoticeably_counts(bench: Bench, how: str) -> None:
    bench.write("lib/words.txt", "a")
    words = bench.root / "lib" / "words.txt"
    os.utime(words, (1, 1))
    _reads(bench, "open('../lib/words.txt').read()")
    bench.run()
    assert bench.again() == {}
    exec(how.format(file="words"), {"os": os, "words": words, "other": bench.root.parent / "other"})
    assert bench.again() == {TRAIN: "the file lib/words.txt changed"}


def test_a_folder_that_was_listed_counts_after_a_second_execution_too(bench: Bench) -> None:
    bench.write("texts/one.txt", "1")
    bench.write("lib/words.txt", "a")
    _reads(bench, "import os\nos.listdir('../texts')\nopen('../lib/words.txt').read()")
    bench.run()
    bench.write("lib/words.txt", "b")
    assert bench.again() == {TRAIN: "the file lib/words.txt changed"}
    bench.run()
    assert bench.again() == {}
    bench.write("texts/two.txt", "2")
    assert bench.again() == {TRAIN: "the folder texts changed"}


def test_a_file_that_changes_while_a_stage_reads_it_is_read_again(bench: Bench) -> None:
    bench.write("lib/words.txt", "a")
    _reads(bench, "open('../lib/words.txt').read()\nopen('../lib/words.txt', 'a').write('b')")
    bench.run()
    assert bench.again().keys() == {TRAIN}


OWN = {
    "written": "open('../out.txt', 'w').write(str(os.getpid()))\nopen('../out.txt').read()",
    "temporary": "import tempfile\nwith tempfile.NamedTemporaryFile('w+') as f: open(f.name).read()",
    "moved": "open('../out.partial', 'w').write(str(os.getpid()))\nos.replace('../out.partial', '../out.txt')\n"
    "open('../out.txt').read()",
    "its output": "open(os.environ['SM_OUTPUT_DATA_DIR'] + '/a', 'w').write('1')\n"
    "open(os.environ['SM_OUTPUT_DATA_DIR'] + '/a').read()",
    "its input": "open(os.environ['SM_CHANNEL_TRAIN'] + '/data.csv').read()",
    "the system": "open('/proc/self/status').read()\nopen('/etc/hostname').read()\nimport json, email.mime.text",
    "declared": "open('notes.txt').read()",
}


@pytest.mark.parametrize("how", OWN)
def test_a_scripts_own_files_and_irrelevant_files_are_no_inputs(bench: Bench, how: str) -> None:
    _reads(bench, OWN[how])
    run = bench.run()
    assert not [name for name in run.stage(TRAIN).cache_inputs if name.startswith("the file")]
    bench.write("training/notes.txt", "another\n")
    assert bench.again() == {}


def test_a_file_that_a_script_makes_if_it_is_not_there_counts_as_it_was_left(bench: Bench) -> None:
    bench.stages = (STAGES[0], STAGES[2])
    _reads(bench, "try: open('../size.txt').read()\nexcept OSError: open('../size.txt', 'w').write('1')")
    bench.run()
    assert bench.again() == {}
    bench.write("size.txt", "2")
    assert bench.again() == {TRAIN: "the file size.txt changed"}


def test_a_file_that_another_program_writes_is_no_input(bench: Bench) -> None:
    bench.stages = (STAGES[0], STAGES[2])
    bench.write("words.txt", "a")
    _reads(bench, "import subprocess\nsubprocess.run(['cp', '../words.txt', '../made.txt'], check=True)")
    bench.run()
    bench.write("words.txt", "b")
    assert bench.again() == {TRAIN: "the file words.txt changed"}
    assert bench.run().stage(TRAIN).detail["unsent"] == ["words.txt"]
    assert bench.again() == {}
    bench.write("made.txt", "c")
    assert bench.again() == {}


LEARNING = """
words = pathlib.Path(LOCATION, 'words.txt')
lexicon = os.listdir('../lexicon') if os.path.isdir('../lexicon') else []
try: known = words.read_text()
except FileNotFoundError: known = 'nothing'
saved = pathlib.Path(os.environ['SM_CHECKPOINT_DIR'], 'state')
learnt = saved.read_text() if saved.exists() else ''
saved.parent.mkdir(parents=True, exist_ok=True)
saved.write_text(learnt + known)
if not os.path.exists('../.mlops/finish'): raise SystemExit(1)
print('learnt before:', learnt)
"""


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    ("change", "learnt"),
    [("nothing", "aa"), ("content", ""), ("size and time kept", ""), ("gone", ""), ("replaced", ""), ("listing", "")],
)
def test_a_training_resumes_only_if_every_file_that_it_read_is_unchanged(
    bench: Bench, tmp_path: Path, inside: bool, change: str, learnt: str
) -> None:
    """The first two trainings are interrupted. Each has read a file that is an input only because it was read."""
    folder = bench.root if inside else tmp_path
    words = folder / "words.txt"
    words.write_text("a")
    (bench.root / "lexicon").mkdir()
    _reads(bench, LEARNING.replace("LOCATION", repr(str(folder))))
    for _ in range(2):
        with pytest.raises(Exception, match="exit code 1"):
            bench.run()
    stat = words.stat()
    if change in ("content", "size and time kept"):
        words.write_text("b")
    if change == "size and time kept":
        os.utime(words, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    if change == "gone":
        words.unlink()
    if change == "replaced":
        (folder / "new.txt").write_text("c")
        (folder / "new.txt").replace(words)
    if change == "listing":
        bench.write("lexicon/new.txt", "")
    bench.write(".mlops/finish", "")
    run = bench.run()
    assert f"learnt before: {learnt}\n" in (bench.project.runs / run.id / "train.log").read_text()
    assert not (bench.project.artifacts / "train" / ".checkpoints").exists()


def test_a_training_starts_again_if_a_file_that_it_has_looked_for_is_there_now(bench: Bench) -> None:
    _reads(bench, LEARNING.replace("LOCATION", repr(str(bench.root))))
    with pytest.raises(Exception, match="exit code 1"):
        bench.run()
    bench.write("words.txt", "b")
    bench.write(".mlops/finish", "")
    run = bench.run()
    assert "learnt before: \n" in (bench.project.runs / run.id / "train.log").read_text()


def test_a_file_that_a_stage_writes_beside_the_scripts_is_no_input(bench: Bench) -> None:
    """This is true for a failed stage, too. The file is an input of a stage that reads it."""
    _reads(bench, "open('plot.svg', 'w').write(str(os.getpid()))\nif not os.path.exists('../go'): raise SystemExit(1)")
    with pytest.raises(Exception, match=r"train\.py ended with exit code 1"):
        bench.run()
    assert bench.again().keys() == {TRAIN}
    bench.write("go", "")
    bench.run()
    assert bench.again() == {}
    bench.write("training/plot.svg", "another")
    assert bench.again() == {}


def test_an_old_compiled_module_is_not_run_for_a_changed_source(bench: Bench) -> None:
    """The two sources have the same size and time, so Python would use the old compiled module."""
    source = bench.root / "training" / "model.py"
    os.utime(source, (1_000_000_000, 1_000_000_000))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    compiled = [sys.executable, "-c", "import model"]
    subprocess.run(compiled, cwd=source.parent, env=environment, check=True)
    assert list((source.parent / "__pycache__").glob("model.*.pyc"))
    source.write_text(FILES["training/model.py"].replace("plain", "other"))
    os.utime(source, (1_000_000_000, 1_000_000_000))
    stale = subprocess.run([*compiled[:2], "import model; print(model.NAME)"], cwd=source.parent, env=environment,
                           capture_output=True, text=True, check=True)  # fmt: skip
    assert stale.stdout == "plain\n"
    bench.write("training/train.py", FILES["training/train.py"] + "print('it is', model.NAME)\n")
    run = bench.run()
    assert "it is other" in (bench.project.runs / run.id / "train.log").read_text()


def test_an_old_compiled_gate_is_not_run_for_a_changed_suite(bench: Bench) -> None:
    suite = bench.root / "training" / "tests" / "test_pretraining.py"
    suite.write_text("def test_a(): assert 1 == 1\n")
    os.utime(suite, (1_000_000_000, 1_000_000_000))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", ".", "tests/test_pretraining.py"]
    subprocess.run([sys.executable, "-m", "pytest", *options], cwd=bench.project.training, env=environment, check=True)
    assert list((suite.parent / "__pycache__").glob("*pytest*.pyc"))
    suite.write_text("def test_a(): assert 1 == 2\n")
    os.utime(suite, (1_000_000_000, 1_000_000_000))
    with pytest.raises(Exception, match="1 of 1 tests"):
        bench.run()


def test_a_script_sees_its_own_sitecustomize_and_its_folder_first(bench: Bench) -> None:
    bench.write("training/sitecustomize.py", "import builtins\nbuiltins.CUSTOM = 1\n")
    _reads(bench, "assert CUSTOM == 1\nassert sys.path[0] == os.getcwd(), sys.path")
    bench.run()


class _Capabilities(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def _without_privileges(work: Callable[[], None]) -> None:
    """Run the function in a thread without root's permissions."""

    def run() -> None:
        header, none = _Capabilities(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert ctypes.CDLL(None).capset(ctypes.byref(header), none) == 0
        work()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes privileges from a thread")
def test_read_only_folders_of_scripts_can_be_removed(tmp_path: Path) -> None:
    """Copies of a read-only cache or store are read-only, too."""
    closing = "import os\nfor folder, _, _ in os.walk({folder}, topdown=False): os.chmod(folder, 0o500)\n"
    temporary = "import tempfile\nos.chmod(tempfile.mkdtemp(), 0o500)\n"
    failing = "if not os.path.exists('../go'): raise SystemExit(1)\n"

    def work() -> None:
        bench = Bench(tmp_path / "project")
        bench.stages = (STAGES[0], STAGES[2])
        bench.write("training/preprocess.py", COPY + closing.format(folder="given.output_dir") + temporary + failing)
        folder = "os.environ['SM_MODEL_DIR']"
        code = f"{FILES['training/train.py']}os.mkdir({folder} + '/part')\nopen({folder} + '/part/a', 'w').close()\n"
        bench.write("training/train.py", code + closing.format(folder=folder) + temporary)
        with pytest.raises(Exception, match="exit code 1"):
            bench.run()
        bench.write("go", "")
        bench.run()
        assert bench.again() == {}
        shutil.rmtree(bench.project.state / "artifacts" / "train")
        bench.run()
        assert not list((bench.project.state / "children").glob("*"))

    _without_privileges(work)
