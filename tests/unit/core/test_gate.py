"""A gate passes if at least one test passed and none failed. Its counts are those of the tests."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.backends.gate_runner import execute_gate, gate_environment, gate_failure, has_passed, run_gate
from mlops_cli.core.jobs.script_environment import PassedVariables
from mlops_cli.core.jobs.time_limits import TimeLimits
from mlops_cli.core.stages import stage_named
from mlops_cli.processes.child_process import JobProcesses

STAGE = stage_named("pre-training-tests")
PASSES = "def test_good(): assert True\n"
FAILS = "def test_bad(): assert 1 == 2, 'one is not two'\n"


class Suite:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.training = folder / "training"
        (self.training / "tests").mkdir(parents=True)

    def __call__(self, tests: str, conftest: str = "", passed: PassedVariables = PassedVariables()) -> dict[str, Any]:  # noqa: B008
        (self.training / "tests" / "test_pretraining.py").write_text(tests)
        (self.training / "tests" / "conftest.py").write_text(conftest)
        environment = gate_environment(self.training, {}, passed)
        report, children = self.folder / "report.json", JobProcesses(self.folder / "children")
        return execute_gate(
            STAGE, self.training, environment, children, report, io.BytesIO(), lambda _: None, TimeLimits()
        )


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


@pytest.mark.parametrize(
    ("tests", "conftest"),
    [
        (PASSES + FAILS, "def pytest_sessionfinish(session): session.exitstatus = 0\n"),
        (PASSES + FAILS, "import os\ndef pytest_unconfigure(): os._exit(0)\n"),
        (PASSES + "import pytest\ndef test_stops(): pytest.exit('enough', returncode=0)\n" + FAILS, ""),
        (PASSES + "import os\ndef test_ends(): os._exit(0)\n", ""),
        (PASSES + "def test_b(undefined): pass\n", ""),
        ("", "def pytest_sessionfinish(session): session.exitstatus = 0\n"),
        ("import pytest\n@pytest.mark.skip\ndef test_a(): pass\n", ""),
        ("import sys\nsys.exit(0)\n", ""),
        ("import not_there\n", "def pytest_sessionfinish(session): session.exitstatus = 0\n"),
    ],
)
def test_no_suite_passes_by_its_exit_code(suite: Suite, tests: str, conftest: str) -> None:
    assert not has_passed(suite(tests, conftest))


def test_a_suite_passes_with_any_exit_code(suite: Suite) -> None:
    detail = suite(PASSES, "def pytest_sessionfinish(session): session.exitstatus = 5\n")
    assert has_passed(detail)
    assert detail == {"passed": 1, "failed": 0, "failures": []}


def test_a_gate_outside_of_a_run_is_judged_alike(suite: Suite) -> None:
    suite(PASSES + FAILS, "def pytest_sessionfinish(session): session.exitstatus = 0\n")
    assert (
        run_gate(
            STAGE, suite.training, {}, PassedVariables(), JobProcesses(suite.training.parent / "children"), TimeLimits()
        ).failed
        == 1
    )
    suite(PASSES, "def pytest_sessionfinish(session): session.exitstatus = 5\n")
    assert (
        run_gate(
            STAGE, suite.training, {}, PassedVariables(), JobProcesses(suite.training.parent / "children"), TimeLimits()
        ).failed
        == 0
    )


def test_counts_add_up_with_subtests(suite: Suite) -> None:
    parts = (
        "def test_parts(subtests):\n for i in range(3):\n  with subtests.test(i=i): assert i == 0, f'{i} is not 0'\n"
    )
    detail = suite(PASSES + parts)
    assert (detail["passed"], detail["failed"]) == (1, 1)
    assert detail["failures"] == ["test_parts: 1 is not 0", "test_parts: 2 is not 0"]
    assert "1 of 2 tests" in gate_failure(STAGE, detail, [], "log")


def test_a_failure_in_two_phases_is_one_failed_test(suite: Suite) -> None:
    fixture = "import pytest\n@pytest.fixture\ndef late():\n    yield\n    assert False, 'late, too'\n"
    detail = suite(fixture + "def test_a(late): assert False, 'early'\n" + PASSES)
    assert (detail["passed"], detail["failed"]) == (1, 1)
    assert detail["failures"] == ["test_a: early", "test_a: late, too"]


def test_an_error_before_a_test_starts_is_named(suite: Suite) -> None:
    assert suite("import not_there\n")["failures"] == [
        "tests/test_pretraining.py: ModuleNotFoundError: No module named 'not_there'"
    ]
    assert suite("def test_a(mocker): pass\n")["failures"] == ["test_a: fixture 'mocker' not found"]


NOT_STARTED = {
    "def test_a(:\n": "tests/test_pretraining.py: SyntaxError: ",
    "from os import nothing\n": "tests/test_pretraining.py: ImportError: cannot import name 'nothing'",
    "raise RuntimeError('no table')\n": "tests/test_pretraining.py: RuntimeError: no table",
    "pytest_plugins = ['pytest_nothing']\n": 'tests/test_pretraining.py: ImportError: Error importing plugin "pytest_n',
    "async def test_a(): pass\n": "test_a: Failed: async def functions are not natively supported.",
    "def test_a(benchmark): pass\n": "test_a: fixture 'benchmark' not found",
    "import pytest\n@pytest.mark.parametrize('y', [])\ndef test_a(x): pass\n": "tests/test_pretraining.py: Failed: In ",
    "import pytest\npytest.exit('stop')\n": "tests/test_pretraining.py: _pytest.outcomes.Exit: stop",
}


@pytest.mark.parametrize(("tests", "reason"), NOT_STARTED.items(), ids=NOT_STARTED.values())
def test_every_way_not_to_start_is_named(suite: Suite, tests: str, reason: str) -> None:
    detail = suite(tests)
    assert (detail["passed"], detail["failed"]) == (0, 1)
    assert detail["failures"][0].startswith(reason)


def test_a_conftest_that_cannot_be_imported_is_named(suite: Suite) -> None:
    suite(PASSES, "import not_there\n")
    children = JobProcesses(suite.training.parent / "children")
    report = run_gate(STAGE, suite.training, {}, PassedVariables(), children, TimeLimits())
    assert not report.has_passed
    assert report.unfinished == "pytest ended with exit code 4 before its tests did"
    assert any("No module named 'not_there'" in reason for reason in report.failures)


NOT_RUN = {
    "x = 1\n": "it has no function test_...",
    "class TestA:\n def __init__(self): pass\n def test_a(self): pass\n": "cannot collect test class 'TestA'",
    "import pytest\npytest.importorskip('not_there')\n": "skipped: could not import 'not_there'",
    "import pytest\npytest.skip('no GPU', allow_module_level=True)\n": "tests/test_pretraining.py: skipped: no GPU",
    "import pytest\n@pytest.mark.skip(reason='later')\ndef test_a(): pass\n": "test_a: skipped: later",
    "import pytest\n@pytest.mark.parametrize('x', [])\ndef test_a(x): pass\n": "skipped: got empty parameter set",
    "import pytest\n@pytest.mark.xfail(reason='x')\ndef test_a(): assert 0\n": "test_a: skipped: expected to fail: x",
    "import pytest\ndef test_a(): pytest.xfail('no data')\n": "test_a: skipped: expected to fail: ",
}


@pytest.mark.parametrize(("tests", "reason"), NOT_RUN.items(), ids=NOT_RUN.values())
def test_a_suite_without_a_test_that_runs_says_why(suite: Suite, tests: str, reason: str) -> None:
    detail = suite(tests)
    assert (detail["passed"], detail["failed"]) == (0, 0)
    message = gate_failure(STAGE, detail, [], "log")
    assert message.startswith("The gate pre-training-tests failed: no test ran.\n  - ") and reason in message


@pytest.mark.parametrize("strict", [False, True])
def test_an_expected_failure_is_no_failure_unless_it_is_strict_and_passes(suite: Suite, strict: bool) -> None:
    mark = "import pytest\n@pytest.mark.xfail(reason='drift', strict={strict})\n"
    detail = suite(f"{mark.format(strict=strict)}def test_a(): assert 0\n{PASSES}")
    assert (detail["passed"], detail["failed"], detail["failures"]) == (1, 0, [])
    detail = suite(f"{mark.format(strict=strict)}def test_a(): pass\n{PASSES}")
    assert (detail["passed"], detail["failed"]) == ((1, 1) if strict else (2, 0))


@pytest.mark.parametrize("option", ["-n auto", "--timeout=60", "-p pytest_asyncio", "--strict-config"])
def test_options_of_other_plugins_do_not_stop_a_gate(suite: Suite, option: str) -> None:
    for folder in (suite.training, suite.folder):
        (folder / "pytest.ini").write_text(f"[pytest]\naddopts = {option}\n")
    assert has_passed(suite(PASSES))


@pytest.mark.parametrize(
    "variable",
    [
        ("PYTHONOPTIMIZE", "1"),
        ("PYTHONSAFEPATH", "1"),
        ("PYTHONPATH", "/nowhere"),
        ("PYTEST_ADDOPTS", "--collect-only"),
    ],
)
def test_the_environment_does_not_change_a_gate(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str]
) -> None:
    monkeypatch.setenv(*variable)
    (suite.training / "helper.py").write_text("def check(x): assert x, 'it is not'\n")
    detail = suite("import helper\ndef test_a(): helper.check(False)\n" + PASSES)
    assert (detail["passed"], detail["failed"], detail["failures"]) == (1, 1, ["test_a: it is not"])


def test_a_suite_that_does_not_end_is_ended_and_says_so(suite: Suite) -> None:
    (suite.training / "tests" / "test_pretraining.py").write_text("import time\n\ndef test_a():\n    time.sleep(600)\n")
    children, limits = JobProcesses(suite.training.parent / "children"), TimeLimits({STAGE.name: 0})
    report = run_gate(STAGE, suite.training, {}, PassedVariables(), children, limits)
    assert (report.passed, report.failed, report.has_passed) == (0, 0, False)
    assert "time limit" in report.unfinished
    assert f"{STAGE.name} in [time_limits] of usecase.toml" in report.unfinished


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "pytest was ended by SIGKILL before its tests did"),
        ("os._exit(0)", "pytest ended with exit code 0 before its tests did"),
    ],
)
def test_a_suite_that_is_killed_has_no_failed_test(suite: Suite, end: str, reason: str) -> None:
    detail = suite(f"import os\n{PASSES}def test_b(): {end}\n")
    assert detail == {"passed": 0, "failed": 0, "failures": [], "unfinished": reason}
    message = gate_failure(STAGE, detail, ["the last line"], "log")
    headline = f"The gate pre-training-tests could not finish, so its tests have no result: {reason}."
    assert message.splitlines() == [headline, "  - the last line", "Log: log"]
    children = JobProcesses(suite.training.parent / "children")
    report = run_gate(STAGE, suite.training, {}, PassedVariables(), children, TimeLimits())
    assert (report.has_passed, report.unfinished) == (False, reason)
