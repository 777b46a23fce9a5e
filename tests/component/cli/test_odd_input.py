"""Mistakes in the input end with one error and one hint, never with a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.errors import MlopsError
from mlops_cli.project.git.commands import git
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


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("run --nope", "mlops run has no option --nope.", "See the options of mlops run: mlops run --help"),
        ("run --forse", "mlops run has no option --forse.", "Did you mean mlops run --force?"),
        (
            "run --target aws",
            "mlops run has no option --target.",
            "Write it before the command: mlops --target ... run",
        ),
        (
            "run --sha256 x",
            "mlops run has no option --sha256.",
            "It is an option of mlops download-data. See the options of mlops run: mlops run --help",
        ),
        ("run --workers x", "Invalid value for '--workers': 'x' is not a whole number.", "mlops run --help"),
        ("run --workers 0", "Invalid value for '--workers': 0 is less than 1.", "mlops run --help"),
        ("logs --stage", "Option '--stage' requires an argument.", "See the options of mlops logs: mlops logs --help"),
        ("status a b", "Unexpected argument b.", "See the options of mlops status: mlops status --help"),
        (
            "init",
            "Missing argument 'DIR'.",
            "Example: mlops init churn --framework sklearn (all options: mlops init --help)",
        ),
        (
            "models show",
            "Missing argument 'version'.",
            "Example: mlops models show 3 (all options: mlops models show --help)",
        ),
        ("statsu", "There is no command mlops statsu.", "Did you mean mlops status?"),
        ("models sho", "There is no command mlops models sho.", "Did you mean mlops models show?"),
        ("xyz", "There is no command mlops xyz.", "See all commands: mlops --help"),
        ("deploy", "There is no command mlops deploy.", "Did you mean mlops deploy-infra?"),
        ("train", "There is no command mlops train.", "It is a stage of a run: mlops run --from train"),
    ],
)
def test_a_wrong_command_line_is_an_error_like_every_other(cli: Cli, words: str, message: str, hint: str) -> None:
    _, err = cli.both(*words.split(), code=2)
    assert err.startswith(f"error: {message}\nhint: ")
    assert err.endswith(f"{hint}\n")
    out, json_err = cli.both("--json", *words.split(), code=2)
    assert json.loads(out)["error"] == {"message": message, "hint": err.splitlines()[1][6:], "exit_code": 2}
    assert json_err == err


ANOTHER = "hint: change [data] source in usecase.toml, or name another one: mlops download-data --source PATH"


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("dat.csv", "there is no file dat.csv; did you mean data.csv?", ANOTHER),
        ("nowhere/at/all.csv", "there is no file nowhere/at/all.csv", ANOTHER),
        ("~nobody-of-this-name/a.csv", "there is no file ~nobody-of-this-name/a.csv", ANOTHER),
        (
            "ftp://host/x.csv",
            "no source begins with ftp://; known are http://, https:// and s3://",
            "hint: download the file by hand, and name it: mlops download-data --source PATH",
        ),
        ("file:///x.csv", "no source begins with file://; known are", "hint: download the file by hand, and name it"),
    ],
)
def test_a_wrong_source_in_the_file_is_explained_by_download_data(
    cli: Cli, source: str, message: str, hint: str
) -> None:
    cli.edit("usecase.toml", 'source = "kaggle"', f'source = "{source}"')
    (cli.folder / "data.csv").write_text("a\n")
    _, err = cli.both("run", code=1 if "no file" in message else 2)
    assert f"error: {message}" in err
    assert hint in err


@pytest.mark.parametrize("words", ["run --nope --json", "init --json", "statsu --json", "logs --stage --json --nope"])
def test_json_anywhere_in_a_wrong_command_line_counts(cli: Cli, words: str) -> None:
    out, _ = cli.both(*words.split(), code=2)
    assert json.loads(out)["error"]["exit_code"] == 2


def test_config_names_the_secrets_that_scripts_do_not_get(cli: Cli) -> None:
    (cli.folder / ".env").write_text("STGAE=prod\n")
    cli.environment = {
        "HF_TOKEN": "hf_secret_value",
        "DATABASE_URL": "postgres://me:pw@db/x",
        "COLUMNS": "200",
        "MLOPS_TARGT": "aws",
    }
    out = cli("config")
    (line,) = [line for line in out.splitlines() if line.startswith("secrets that scripts, gates and the endpoint")]
    assert {"HF_TOKEN", "DATABASE_URL"} <= set(line.replace(",", "").split())
    assert "hf_secret_value" not in out
    assert "note: STGAE in .env is not a setting; did you mean STAGE?" in out
    assert "note: MLOPS_TARGT in the environment is not a setting; did you mean MLOPS_TARGET?" in out
    assert "note: STGAE in .env is not a setting" in cli("deploy-infra", "--dry-run")
    checks = json.loads(cli("doctor", "--json", code=1).split("error:")[0])["findings"]
    (warning,) = [finding for finding in checks if "STGAE" in finding["message"]]
    assert (warning["name"], warning["state"]) == ("settings", "warning")


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
