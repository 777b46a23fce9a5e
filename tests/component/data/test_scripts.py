"""A script of the project as a data source, on the local target."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.backends.data_scripts import DataScripts
from mlops_cli.backends.local.backend import LocalBackend
from mlops_cli.caching.key import Sources
from mlops_cli.caching.stage_files import other_files
from mlops_cli.core.progress import no_report
from mlops_cli.core.stages import STAGES
from mlops_cli.data.metadata import read_dataset_info
from mlops_cli.data.sources.catalog import state_of
from mlops_cli.data.sources.source import State
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.processes.child_process import JobProcesses, TimeLimitError
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.values import resolve
from mlops_cli.project.usecase.data_request import data_request
from mlops_cli.project.usecase.reader import load_use_case
from tests.conftest import USE_CASES

TABLE = """
[data.scripts.made]
file = "made/make.py"
arguments = { rows = 3, run-log = "RUNS" }
"""
SCRIPT = """
import argparse, os
from pathlib import Path
from made.rows import row
parser = argparse.ArgumentParser()
parser.add_argument("--output-dir", type=Path)
parser.add_argument("--rows", type=int)
parser.add_argument("--run-log", type=Path)
options = parser.parse_args()
with options.run_log.open("a") as log:
    log.write(f"{sorted(name for name in os.environ if 'KEY' in name)} {Path.cwd().name}\\n")
word = Path("made/word.txt").read_text().strip()
lines = [row(number, word) for number in range(options.rows)]
(options.output_dir / "rows.csv").write_text("id,text,long\\n" + "\\n".join(lines) + "\\n")
print(f"progress {options.rows}/{options.rows} rows")
"""


class Scenario:
    def __init__(self, folder: Path) -> None:
        self.project, self.run_log = Project(folder), folder.parent / "runs.txt"
        shutil.copytree(USE_CASES / "tiny" / "training", self.project.training)
        self.write("made/make.py", SCRIPT)
        self.write("made/rows.py", "def row(number, word):\n    return f'{number},{word} {number},{number % 2}'\n")
        self.write("made/word.txt", "hello")
        path = self.project.training / "usecase.toml"
        text = path.read_text().replace("[data.columns]", TABLE.replace("RUNS", str(self.run_log)) + "\n[data.columns]")
        path.write_text(text)

    def write(self, name: str, text: str) -> None:
        path = self.project.training / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def download(self, *sources: str, report: Any = no_report, refresh: bool = False, **arguments: str) -> Any:
        use_case = load_use_case(self.project.training / "usecase.toml")
        backend = LocalBackend(self.project, use_case, resolve({}, {}, {}))
        request = data_request(use_case, sources or ["made"], arguments)
        object.__setattr__(request, "refresh", refresh)
        return backend.data.download(request, report)

    @property
    def runs(self) -> int:
        return len(self.run_log.read_text().splitlines())

    @property
    def text(self) -> str:
        return (self.project.data / "dataset.csv").read_text()

    @property
    def origin(self) -> dict[str, Any]:
        return (read_dataset_info(self.project.data) or {})["origins"][0]


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return Scenario(tmp_path / "project")


def test_its_rows_are_the_dataset_and_it_runs_as_a_stage_does(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "secret")
    reports: list[tuple[Any, ...]] = []
    dataset, changed = scenario.download(report=lambda *progress: reports.append(progress))
    assert (dataset.rows, changed, dataset.synthetic) == (3, True, False)
    assert scenario.text == 'id,text,long\n"0","hello 0",0\n"1","hello 1",1\n"2","hello 2",0\n'
    assert ("made", 3, 3, "rows") in reports
    assert scenario.run_log.read_text() == "[] training\n"
    names = {Path(path).relative_to(scenario.project.root).as_posix() for path in scenario.origin["files"]}
    assert names == {"training/made/make.py", "training/made/rows.py", "training/made/word.txt"}
    assert scenario.download()[1] is False
    assert scenario.runs == 1


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("made/word.txt", "bye", "bye 0"),
        ("made/rows.py", "def row(number, word):\n    return f'{number},x{word},0'\n", "xhello"),
        ("made/make.py", SCRIPT.replace("rows.csv", "r.csv").replace("range(", "range(5 + "), '"7"'),
    ],
)
def test_the_script_runs_again_after_a_change_of_it_or_of_its_imports(
    scenario: Scenario, name: str, text: str, rows: str
) -> None:
    scenario.download()
    assert state_of(scenario.origin, [], 1) is State.UNKNOWN
    scenario.write(name, text)
    assert state_of(scenario.origin, [], 1) is State.CHANGED
    assert scenario.download()[1] is True
    assert rows in scenario.text
    assert scenario.runs == 2


def test_arguments_and_refresh_run_it_again(scenario: Scenario) -> None:
    scenario.download()
    assert scenario.download(rows="4")[0].rows == 4
    assert scenario.download(rows="4", refresh=True)[1] is False
    assert scenario.runs == 3


def test_a_script_without_a_name_has_its_path_as_name(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import sys; open(sys.argv[2] + '/a.csv', 'w').write('id,text,long\\na,b,1\\n')"
    scenario.write("fetch.py", text)
    assert scenario.download(str(scenario.project.training / "fetch.py"))[0].rows == 1
    outside = scenario.project.root / "fetch.py"
    outside.write_text(text)
    with pytest.raises(ConfigurationError, match="is no script of the project"):
        scenario.download(str(outside))
    with pytest.raises(ConfigurationError, match=r"nope\.py is missing"):
        scenario.download(str(scenario.project.training / "nope.py"))


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("raise SystemExit('no such table')", r"made/make.py ended with exit code 1.\n  no such table\nLog: "),
        ("(options.output_dir / 'rows.csv').unlink()", "wrote nothing into its --output-dir"),
        ("(options.output_dir / 'more.csv').symlink_to('/etc/passwd')", "wrote the link more.csv"),
        (
            "(options.output_dir / 'rows.csv').write_text('id,text,long\\n1,a,7\\n')",
            'rows.csv line 2, column long: "7"',
        ),
        ("raise OSError(28, os.strerror(28))", "the disk is full while writing to "),
    ],
)
def test_a_failure_is_reported_and_the_former_dataset_stays(scenario: Scenario, end: str, words: str) -> None:
    scenario.download()
    before = scenario.text
    scenario.write("made/make.py", SCRIPT + end + "\n")
    with pytest.raises(MlopsError, match=words):
        scenario.download()
    assert scenario.text == before


class ShortMinutes(JobProcesses):
    """A minute ends with the first line of the output."""

    def run(self, argv: Any, cwd: Any, env: Any, log: Any, on_line: Callable[[Any], None], seconds: float = 0.0) -> int:
        def end(line: Any) -> None:
            on_line(line)
            assert seconds == 60
            raise TimeLimitError

        return super().run(argv, cwd, env, log, end)


def test_one_that_takes_too_long_is_ended(scenario: Scenario) -> None:
    scenario.write("made/make.py", "import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    path = scenario.project.training / "usecase.toml"
    path.write_text(path.read_text() + "\n[time_limits]\ndownload-data = 1\n")
    scripts = DataScripts(scenario.project, use_case := load_use_case(path))
    scenario.project.data.mkdir(parents=True)
    scripts._children = ShortMinutes(scenario.project.state / "children")
    with pytest.raises(MlopsError, match=r"ended after 1 minutes, its time limit; .* download-data in"):
        scripts.run("made", use_case.scripts["made"], scenario.project.data, no_report)


def test_no_stage_depends_on_it(scenario: Scenario) -> None:
    use_case = load_use_case(scenario.project.training / "usecase.toml")
    names = ["made/make.py", "made/rows.py", "made/word.txt"]
    for stage in STAGES:
        counted = other_files(stage, scenario.project.training, names, {}, Sources(scenario.project.training, {}))
        without = other_files(
            *(stage, scenario.project.training, names, {}, Sources(scenario.project.training, {})),
            use_case.data_scripts,
        )
        assert set(counted) - set(without) == ({"made/make.py", "made/rows.py"} if stage.script else set())


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('[data.scripts.a]\nfile = "/a.py"', "data.scripts.a.file is '/a.py', expected a Python file"),
        ('[data.scripts.a]\nfile = "../a.py"', "expected a Python file in the scripts' folder"),
        ('[data.scripts.a]\nfile = "a.sh"', "expected a Python file in the scripts' folder"),
        ('[data.scripts.a]\nfil = "a.py"', "data.scripts.a.fil is not known; did you mean file?"),
        ('[data.scripts.kaggle]\nfile = "a.py"', "data.scripts has 'kaggle'"),
        (
            '[data.scripts.a]\nfile = "a.py"\narguments = {a = [1]}',
            "data.scripts.a.arguments.a is a list: a script gets texts",
        ),
        ('[data.scripts.a]\nfile = "a.py"\nsynthetic = "no"', "data.scripts.a.synthetic must be true or false"),
    ],
)
def test_a_wrong_table_is_named(scenario: Scenario, table: str, problem: str) -> None:
    path = scenario.project.training / "usecase.toml"
    path.write_text(path.read_text() + f"\n{table}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_use_case(path)
    assert problem in caught.value.message
