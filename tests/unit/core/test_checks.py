"""Findings of checks: a check that raises becomes a finding, figures have exact bounds, texts are plain."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends import common_checks
from mlops_cli.backends.aws.doctor.credentials import expiry, skew
from mlops_cli.backends.aws.doctor.quotas import InstanceDemand, Quota, quota_finding
from mlops_cli.backends.aws.doctor.requirements import requirements
from mlops_cli.backends.aws.infra.gate_packages import check_gate_packages
from mlops_cli.backends.local import doctor as local
from mlops_cli.console.checks import findings_dict, show_findings
from mlops_cli.console.console import Console
from mlops_cli.core.checks import Check, Finding, State, ok, run_checks
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.values import resolve
from tests.conftest import ROOT

OK, WARNING, FAILURE = State.OK, State.WARNING, State.FAILURE


def test_a_check_that_raises_is_a_finding_and_stops_no_other() -> None:
    def refused() -> Iterator[Finding]:
        yield ok("first", "half of it is fine")
        raise MlopsError("AWS refused it.", "Have it allowed.")

    def broken() -> list[Finding]:
        raise ZeroDivisionError("division by zero")

    findings = list(run_checks([Check("a", refused), Check("b", broken), Check("c", lambda: [ok("c", "fine")])]))
    assert [(finding.name, finding.state) for finding in findings] == [
        ("first", OK),
        ("a", WARNING),
        ("b", WARNING),
        ("c", OK),
    ]
    assert (findings[1].message, findings[1].fix) == ("Not known: AWS refused it.", "Have it allowed.")
    assert findings[2].message == "Not known: ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 9, 18), FAILURE), ((3, 10, 0), OK), ((3, 13, 9), OK), ((3, 14, 0), FAILURE)],
)
def test_python_must_be_in_range(version: tuple[int, ...], state: State) -> None:
    (finding,) = common_checks.python_version_check(version)
    assert finding.state is state


def test_the_range_is_the_package_s() -> None:
    oldest, too_new = (".".join(map(str, python)) for python in common_checks.PYTHONS)
    assert f'requires-python = ">={oldest},<{too_new}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(("free", "state"), [(5 * 10**7, FAILURE), (15 * 10**7, WARNING), (10**9, OK)])
def test_the_free_disk_space_is_compared_with_the_need_of_a_run(
    free: int, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    (finding,) = local.disk(Project(tmp_path))
    assert finding.state is state
    assert bool(finding.fix) == (state is not OK)


def test_a_large_dataset_needs_a_larger_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * 10**9))
    monkeypatch.setattr(local, "load", lambda _: SimpleNamespace(bytes=10**9))
    (finding,) = local.disk(Project(tmp_path))
    assert (finding.state, "6.1 GB" in finding.message) == (FAILURE, True)


@pytest.mark.parametrize(("free", "states"), [(10**9, [WARNING]), (10**10, [OK]), (None, [])])
def test_memory_is_only_a_warning(free: int | None, states: list[State], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "available_memory", lambda: free)
    assert [finding.state for finding in local.memory()] == states


def test_avx_is_looked_for_where_the_flags_are_known() -> None:
    assert local.lacks_avx("flags : fpu sse2 sse4_2")
    assert not local.lacks_avx("flags : fpu avx avx2")
    assert not local.lacks_avx("")


@pytest.mark.parametrize(
    ("ahead", "state", "words"),
    [(1.0, OK, "agrees"), (-30, OK, "30 s behind"), (90, WARNING, "90 s ahead of"), (-400, FAILURE, "400 s behind")],
)
def test_the_clocks_limits_are_those_of_aws(ahead: float, state: State, words: str) -> None:
    finding = skew(ahead)
    assert (finding.state, words in finding.message) == (state, True)


def test_credentials_that_end_soon_are_a_warning() -> None:
    assert [finding.message for finding in expiry(1600.0, 1000.0)] == ["They expire in 10 minutes."]
    assert list(expiry(9000.0, 1000.0)) == []
    assert list(expiry(None, 1000.0)) == []


@pytest.mark.parametrize(
    ("value", "used", "state"), [(0, 0, FAILURE), (1, 1, WARNING), (1, 0, WARNING), (2, 0, OK), (2, 1, WARNING)]
)
def test_a_quota_is_compared_with_the_used_and_needed_instances(value: float, used: int, state: State) -> None:
    demand = InstanceDemand("ml.m5.large for endpoint usage", 1, used, "the endpoint", 2, "At times.")
    finding = quota_finding(demand, Quota("L-1", value), "eu-west-1")
    assert finding.state is state
    assert ("--quota-code L-1" in finding.fix) == (state is not OK)


def test_a_quota_that_is_not_known_is_reported() -> None:
    finding = quota_finding(InstanceDemand("ml.x9.big for endpoint usage", 1, 0, "the endpoint", 2), None, "eu-west-1")
    assert (finding.state, "has no 'ml.x9.big for endpoint usage' in eu-west-1" in finding.message) == (WARNING, True)


def test_kaggle_credentials_are_found_where_kaggle_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert common_checks._kaggle_credentials(resolve({}, {}, {})) == ""
    assert common_checks._kaggle_credentials(resolve({}, {"KAGGLE_API_TOKEN": "x"}, {})) == "KAGGLE_API_TOKEN"
    assert common_checks._kaggle_credentials(resolve({}, {"KAGGLE_KEY": "x"}, {})) == "", "a key without a name"
    (tmp_path / ".kaggle").mkdir()
    (tmp_path / ".kaggle" / "kaggle.json").write_text("{}")
    assert common_checks._kaggle_credentials(resolve({}, {}, {})) == "~/.kaggle/kaggle.json"


FOUND = [
    ok("python", "3.12.1"),
    Finding("disk", WARNING, "0.7 GB are free.", "A run may fill it.", "Free some [space]."),
    Finding("port", FAILURE, "Port 8080 is taken.", "No endpoint.", "ENDPOINT_PORT=0"),
]


def test_they_are_shown_in_words_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    show_findings(Console(), FOUND)
    out = capsys.readouterr().out
    assert "✓ ok       python          3.12.1" in out
    assert "! warning  disk            0.7 GB are free." in out
    assert "fix:  Free some [space]." in out
    assert out.splitlines()[-1] == "1 failure, 1 warning, 1 fine"


def test_quiet_output_has_only_problems(capsys: pytest.CaptureFixture[str]) -> None:
    show_findings(Console(quiet=True), FOUND)
    out = capsys.readouterr().out
    assert "python" not in out
    assert "✗ failure  port" in out


def test_for_scripts_they_are_data() -> None:
    document = findings_dict(FOUND)
    assert (document["failures"], document["warnings"]) == (1, 1)
    assert document["findings"][0] == {"name": "python", "state": "ok", "message": "3.12.1", "reason": "", "fix": ""}


HASH = "--hash=sha256:12"


@pytest.mark.parametrize(
    ("files", "refused"),
    [
        ({}, ""),
        ({"requirements.txt": "# nothing but a comment\n\n"}, ""),
        ({"requirements.txt": "polars>=1.34\n"}, "training/requirements.txt names polars>=1.34 without a hash"),
        ({"requirements.txt": "polars==1.34.0\n"}, "names polars==1.34.0 without"),
        ({"requirements.txt": f"polars==1.34.0 \\\n    {HASH}\n"}, ""),
        ({"requirements.txt": f"a\npolars==1.34.0 {HASH}\n"}, "names a without"),
        ({"requirements.txt": "My_Pack[x,y] >=1 ; python_version>'3'", "requirements.lock": f"my-pack==2 {HASH}"}, ""),
        ({"requirements.txt": "polars\nfalcon", "requirements.lock": f"polars==2 {HASH}"}, "names falcon without"),
        ({"requirements.txt": "polars", "requirements.lock": "polars==2"}, "names polars without"),
        ({"requirements.txt": "-e ./lib", "requirements.lock": f"lib==2 {HASH}"}, "names -e ./lib without"),
        ({"requirements.txt": "./lib", "requirements.lock": f"lib==2 {HASH}"}, "names ./lib without"),
        ({"requirements.txt": "a @ https://e.example/a.whl"}, "names a @ https://e.example/a.whl without"),
        ({"requirements.txt": "polars", "tests/requirements.txt": "# none"}, ""),
        (
            {"tests/requirements.txt": "polars", "requirements.lock": f"polars==2 {HASH}"},
            "training/tests/requirements.txt",
        ),
        ({"tests/requirements.txt": "a\nb\nc\nd"}, "names a, b, c and 1 more without"),
    ],
)
def test_packages_of_the_gates_without_hashes_are_refused_before_anything_is_sent(
    tmp_path: Path, files: dict[str, str], refused: str
) -> None:
    (tmp_path / "training" / "tests").mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / "training" / name).write_text(text)
    subject: Any = SimpleNamespace(project=Project(tmp_path), settings={"PACKAGE_INDEX_SECRET": ""})
    failures = [finding for finding in requirements(subject) if finding.state is State.FAILURE]
    assert len(failures) == bool(refused)
    if not refused:
        check_gate_packages(subject.project)
        return
    with pytest.raises(ConfigurationError, match=re.escape(refused)) as error:
        check_gate_packages(subject.project)
    assert error.value.hint.endswith(failures[0].fix)
    assert "uv pip compile --universal --generate-hashes training/" in failures[0].fix


@pytest.mark.parametrize(("line", "states"), [("polars", [FAILURE, WARNING]), (f"polars==2 {HASH}", [OK])])
def test_the_packages_that_jobs_install_are_shown(tmp_path: Path, line: str, states: list[State]) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "requirements.txt").write_text(line)
    subject: Any = SimpleNamespace(project=Project(tmp_path), settings={"PACKAGE_INDEX_SECRET": ""})
    assert [finding.state for finding in requirements(subject)] == states
