"""Mistaken input of people and programs ends in one error and one hint, never in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.errors import MlopsError
from mlops_cli.project.git import git
from tests.conftest import LIMIT_SECONDS, Cli


@pytest.fixture
def cli(project_folder: Path) -> Cli:
    return Cli(project_folder)


def test_the_current_folder_may_be_gone(tmp_path: Path) -> None:
    code = (
        f"import os, sys; os.mkdir({str(tmp_path / 'gone')!r}); os.chdir({str(tmp_path / 'gone')!r});"
        f"os.rmdir({str(tmp_path / 'gone')!r}); from mlops_cli.__main__ import main;"
        "sys.argv = ['mlops', 'status']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "error: The current folder no longer exists."
    assert done.stderr.splitlines()[1].startswith("hint: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "\x1b[31mred\x1b[0m"),
        ("models", "show", "v999999999"),
        ("download-data", "--source", "ftp://me:s3cr3t@host/x.csv"),
        ("download-data", "--source", "https://[::1/x"),
        ("download-data", "--source", "a" * 5000),
        ("run", "--set", "train.epochs=\udcff", "--from", "nowhere"),
        ("approve", "--run-id", "\udcff", "--comment", "\udcff", "--yes"),
    ],
)
def test_an_odd_argument_is_one_error_and_one_hint(cli: Cli, arguments: tuple[str, ...]) -> None:
    with cli.start(*(os.fsencode(argument) for argument in arguments)) as process:  # type: ignore[arg-type]
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode in (1, 2)
    assert [line.split(":")[0] for line in err.splitlines()] == ["error", "hint"]
    assert "\x1b" not in err
    assert "s3cr3t" not in err
    assert len(err) < 6000


def test_config_names_the_secrets_that_scripts_do_not_get(cli: Cli) -> None:
    (cli.folder / ".env").write_text("STGAE=prod\n")
    cli.environment = {"HF_TOKEN": "hf_secret_value", "DATABASE_URL": "postgres://me:pw@db/x", "COLUMNS": "200"}
    out = cli("config")
    (line,) = [line for line in out.splitlines() if line.startswith("secrets that scripts, gates and the endpoint")]
    assert {"HF_TOKEN", "DATABASE_URL"} <= set(line.replace(",", "").split())
    assert "hf_secret_value" not in out
    assert "did you mean STAGE?" in out


REFUSAL = """fatal: detected dubious ownership in repository at '/srv/it is'
To add an exception for this directory, call:

\tgit config --global --add safe.directory '/srv/it is'
"""


@pytest.mark.parametrize(
    ("answer", "message", "hint"),
    [
        (REFUSAL, "detected dubious ownership in repository at '/srv/it is'", "safe.directory '/srv/it is'"),
        ("fatal: bad config line 1 in file .git/config\n", "bad config line 1 in file .git/config", "Look: git -C"),
        ("warning: a\nerror: index file corrupt\nfatal: it ends\n", "index file corrupt", "Look: git -C"),
        ("", "exit code 128", "Look: git -C"),
    ],
)
def test_git_s_reason_is_shown_and_the_command_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, message: str, hint: str
) -> None:
    (tmp_path / "answer").write_text(answer)
    (tmp_path / "git").write_text(f"#!/bin/sh\ncat {tmp_path}/answer >&2\nexit 128\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(MlopsError) as caught:
        git(tmp_path, "ls-files")
    assert caught.value.message == f"git ls-files failed in {tmp_path}: {message}."
    assert hint in caught.value.hint
