"""The suggestions of Tab, requested by the shells' protocol, and in the shells themselves if they are installed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.backends.local.infra.deploy import deploy_infra
from mlops_cli.backends.local.runs.store import RunStore
from mlops_cli.core.models.decision import Actor, Decision
from mlops_cli.core.models.model_versions import versions_of
from mlops_cli.core.runs import Run, StageRun, Status
from mlops_cli.core.stages import STAGES
from mlops_cli.project.completion_cache import MAX_ROWS, NAME, CompletionCache
from mlops_cli.project.paths import Project
from tests.conftest import ROOT, Cli

RUNS = {"1a2b3c4d": Status.DONE, "1affffff": Status.WAITING, "99999999": Status.FAILED}


def run_of(run_id: str, status: Status) -> Run:
    """Return a run. All runs except the failed one have trained their own model."""
    stages = [StageRun(stage.name, Status.DONE, run_id=run_id) for stage in STAGES]
    run = Run(run_id, time.time(), status, stages)
    run.stage("train").output = "" if status is Status.FAILED else run_id * 8
    return run


def approval_of(run: Run) -> Decision:
    """Return an approval of the run's model."""
    return Decision(run.id, True, Actor("ada"), "", time.time(), "key", run.stage("train").output)


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Provide a project with three recorded runs and two models, one of them approved. The tests only read it."""
    project = Project(tmp_path_factory.mktemp("completed") / "project")
    shutil.copytree(ROOT / "training", project.training, ignore=shutil.ignore_patterns("__pycache__"))
    deploy_infra(project)
    store = RunStore(project.database)
    runs = [run_of(run_id, status) for run_id, status in RUNS.items()]
    for run in runs:
        store.save(run)
    store.save(decisions=[approval_of(runs[0])])
    store.close()
    return Cli(project.root)


def suggest(cli: Cli, line: str, shell: str = "bash") -> list[str]:
    """Return the suggestions for an unfinished command line, by a shell's protocol."""
    words = line.split(" ")
    protocols = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    environment = {**os.environ, **protocols[shell], "_MLOPS_COMPLETE": f"complete_{shell}"}
    done = subprocess.run(
        [sys.executable, "-m", "mlops_cli"], cwd=cli.folder, env=environment, capture_output=True, text=True
    )
    assert (done.stderr, done.returncode) == ("", 0)
    if shell == "zsh":
        return re.findall(r'^(?:_arguments .*\(\()?"([^"]*)"', done.stdout, re.M)
    return [offer.split("\t")[0] for offer in done.stdout.splitlines() if offer]


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("mlops status ", ["99999999", "1affffff", "1a2b3c4d"]),
        ("mlops logs 1a", ["1affffff", "1a2b3c4d"]),
        ("mlops approve ", ["1affffff"]),
        ("mlops run --from p", ["preprocess", "pre-training-tests", "post-training-tests"]),
        ("mlops logs --stage tr", ["train"]),
        ("mlops run --set train.ep", ["train.epochs=3"]),
        ("mlops --target ", ["local", "aws"]),
        ("mlops download-data --source k", ["kaggle"]),
        ("mlops models show ", ["v2", "v1"]),
        ("mlops rollback --to v", ["v1"]),
        ("mlops cl", ["cleanup"]),
    ],
)
def test_suggestions_are_unchanged_words(cli: Cli, line: str, offers: list[str]) -> None:
    assert suggest(cli, line) == offers


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize("line", ["mlops logs 1a", "mlops run --set train.e", "mlops cl"])
def test_each_shell_is_offered_the_same(cli: Cli, shell: str, line: str) -> None:
    assert suggest(cli, line, shell) == suggest(cli, line)


def test_suggestions_are_of_the_project_that_the_command_names(cli: Cli, tmp_path: Path) -> None:
    elsewhere = Cli(tmp_path)
    assert suggest(elsewhere, "mlops status ") == []
    assert len(suggest(elsewhere, f"mlops --project {cli.folder} status ")) == 3


@pytest.mark.parametrize("damage", ["training/usecase.toml", ".env", ".mlops/state.db"])
def test_an_invalid_project_has_no_suggestions_and_no_error(cli: Cli, damage: str, tmp_path: Path) -> None:
    cli = Cli(shutil.copytree(cli.folder, tmp_path / "copy"))
    for journal in (cli.folder / ".mlops").glob("state.db-*"):
        journal.unlink()
    (cli.folder / damage).write_bytes(b"MLOPS_TARGET=moon\n\xff[")
    assert suggest(cli, "mlops status ") == []


def test_a_tab_asks_no_cloud(cli: Cli) -> None:
    assert suggest(cli, "mlops --target aws status ") == []


@pytest.fixture
def far(cli: Cli, tmp_path: Path) -> tuple[Cli, CompletionCache]:
    """Return the project with runs of AWS in its completion cache, and the path of the cache."""
    copy = Cli(shutil.copytree(cli.folder, tmp_path / "far"))
    seen = CompletionCache(copy.folder / ".mlops", "toxic-comments-dev - -")
    runs = [run_of(f"{name}-far", status) for name, status in reversed(RUNS.items())]
    seen.save_runs(runs)
    seen.save_versions(versions_of(runs, [approval_of(runs[-1])]))
    return copy, seen


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("status 1", ["1affffff-far", "1a2b3c4d-far"]),
        ("approve --run-id ", ["1affffff-far"]),
        ("models show ", ["v2", "v1"]),
        ("rollback --to ", ["v2"]),
    ],
)
def test_on_aws_the_suggestions_come_from_the_cache(
    far: tuple[Cli, CompletionCache], line: str, offers: list[str]
) -> None:
    assert suggest(far[0], f"mlops --target aws {line}") == offers
    assert suggest(far[0], "mlops status 1a") == ["1affffff", "1a2b3c4d"], "and of this machine what is there"


def test_the_cache_is_limited_renewed_and_removed(far: tuple[Cli, CompletionCache]) -> None:
    cli, seen = far
    for number in range(MAX_ROWS + 5):
        seen.save_run(run_of(f"{number:08d}", Status.RUNNING))
    seen.save_run(run_of(f"{MAX_ROWS:08d}", Status.WAITING))
    assert len(suggest(cli, "mlops --target aws status ")) == MAX_ROWS
    assert suggest(cli, "mlops --target aws approve ") == [f"{MAX_ROWS:08d}"]
    assert suggest(cli, "mlops --target aws --region eu-west-1 status ") == [], "another account is another matter"
    seen.clear()
    assert suggest(cli, "mlops --target aws status ") == []


@pytest.mark.parametrize("content", ["", "[]", '{"toxic-comments-dev - -": {"runs": [["one"]]}}', "\xff"])
def test_a_damaged_note_offers_nothing_and_is_rewritten(far: tuple[Cli, CompletionCache], content: str) -> None:
    cli, seen = far
    (cli.folder / ".mlops" / NAME).write_bytes(content.encode("latin-1"))
    assert suggest(cli, "mlops --target aws status ") == []
    seen.save_runs([run_of("5e5e5e5e", Status.DONE)])
    assert suggest(cli, "mlops --target aws status ") == ["5e5e5e5e"]


def test_nothing_is_noted_in_a_folder_that_mlops_has_not_made(tmp_path: Path) -> None:
    CompletionCache(tmp_path, "here").save_runs([run_of("5e5e5e5e", Status.DONE)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["mlops status ", "mlops models show ", "mlops --target aws status "])
def test_a_tab_loads_nothing_heavy(far: tuple[Cli, CompletionCache], line: str) -> None:
    words = len(line.split(" ")) - 1
    code = (
        f"import os, sys, atexit; os.environ.update(_MLOPS_COMPLETE='complete_bash', COMP_WORDS={line!r}, "
        f"COMP_CWORD='{words}'); atexit.register(lambda: print(sorted({{m.split('.')[0] for m in sys.modules}})));"
        "from mlops_cli.__main__ import main; main()"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=far[0].folder, capture_output=True, text=True).stdout
    assert ("v2" if "models" in line else "1affffff") in loaded
    heavy = ("boto3", "botocore", "tensorflow", "rich", "polars", "numpy", "kaggle", "falcon", "uvicorn", "mlflow")
    assert [name for name in heavy if f"'{name}'" in loaded] == []


@pytest.fixture
def command(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Provide an environment with `mlops` of this installation."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mlops").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mlops_cli "$@"\n')
    (folder / "mlops").chmod(0o755)
    yield {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_an_unknown_run_is_the_same_error_for_every_command(cli: Cli) -> None:
    for name in ("status", "logs", "approve", "report", "stop", "reproduce"):
        assert cli.both(name, "zzz", code=2)[1] == "error: There is no run 'zzz'.\nhint: List the runs: mlops runs\n"
        assert "The run id '1' is ambiguous: " in cli.both(name, "1", code=2)[1]
    for words in (["models", "show", "v99"], ["rollback", "--to", "v99", "--yes"]):
        assert "The model version 'v99' does not exist." in cli.both(*words, code=2)[1]


START_FILES = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ""}


@pytest.mark.parametrize("shell", START_FILES)
def test_the_named_shell_gets_its_completion_once(cli: Cli, shell: str) -> None:
    home = Path(os.environ["HOME"])
    start_file = home / START_FILES[shell]
    if START_FILES[shell]:
        start_file.write_bytes(b"alias caf\xe9=ls\n\n")
    assert f"{shell} completion installed in {home}" in cli("--install-completion", shell)
    files = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    cli("--install-completion", shell)
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == files
    if START_FILES[shell]:
        kept, line = files[start_file].split(b"\n\n")
        assert (kept, line.count(b"\n")) == (b"alias caf\xe9=ls", 1)
    assert any(f"complete_{shell}".encode() in content for content in files.values())
    assert f"complete_{shell}" in cli("--show-completion", shell)


def test_a_shell_without_completion_is_named(cli: Cli) -> None:
    _, err = cli.both("--install-completion", "tcsh", code=2)
    assert err == (
        "error: --install-completion is for bash, zsh, fish, not tcsh.\nhint: mlops --install-completion bash\n"
    )


def said_by(shell: list[str], cli: Cli, environment: dict[str, str]) -> list[str]:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not on this machine")
    done = subprocess.run(shell, cwd=cli.folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_in_bash(cli: Cli, command: dict[str, str]) -> None:
    script = (
        'eval "$(mlops --show-completion bash)"; COMP_WORDS=(mlops status 1a); COMP_CWORD=2;'
        '_mlops_completion mlops; echo "${COMPREPLY[@]}"'
    )
    assert said_by(["bash", "--norc", "-c", script], cli, command) == ["1affffff", "1a2b3c4d"]


def test_in_fish(cli: Cli, command: dict[str, str]) -> None:
    script = 'mlops --show-completion fish | source; complete -C "mlops approve "'
    assert said_by(["fish", "--no-config", "-c", script], cli, command)[0] == "1affffff"


def test_in_zsh(cli: Cli, command: dict[str, str]) -> None:
    """Let zsh call a function of its own completion system."""
    request = "_TYPER_COMPLETE_ARGS='mlops status ' _MLOPS_COMPLETE=complete_zsh mlops"
    script = f'_arguments() {{ print -r -- "$1" }}; eval "$(env {request})"'
    output = " ".join(said_by(["zsh", "-f", "-c", script], cli, command))
    assert re.findall(r'"(\w{8})":"', output) == list(reversed(RUNS))
