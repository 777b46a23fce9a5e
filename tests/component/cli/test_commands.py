"""Output and exit codes of the commands, without slow ones."""

from __future__ import annotations

import io
import json
import os
import platform
import pty
import re
import shutil
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path

import pytest

from mlops_cli.console.streams import StandardFile
from mlops_cli.monitoring.statistics import KEPT_DAYS
from tests.conftest import LIMIT_SECONDS, ROOT, Cli

COMMANDS = (
    "init", "quickstart", "download-data", "deploy-infra", "run", "status", "runs", "logs", "approve", "report",
    "test-endpoint", "cleanup", "config", "models", "rollback", "reproduce", "doctor",
)  # fmt: skip
CALLS = {
    "quickstart": ["quickstart", "--yes"],
    "approve": ["approve", "--run-id", "x", "--yes"],
    "rollback": ["rollback", "--yes"],
    "download-data": ["download-data", "--source", "sample"],
}


@pytest.fixture
def cli(project_folder: Path) -> Cli:
    return Cli(project_folder)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example(cli: Cli, name: str) -> None:
    out = cli(name, "--help")
    assert f"Example: mlops {name}" in out
    assert "--json" in out


def test_the_help_names_every_command(cli: Cli) -> None:
    out = cli("--help")
    assert [name for name in COMMANDS if not re.search(rf"^  {name}\b", out, re.M)] == []
    assert cli("-h") == out


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("init", "config", "doctor")])
def test_on_aws_each_command_without_a_region_names_the_option(cli: Cli, name: str) -> None:
    _, err = cli.both("--target", "aws", *CALLS.get(name, [name]), code=2)
    assert err == ("error: No AWS region is set.\nhint: Set one: mlops --region eu-west-1 ..., or AWS_REGION in .env\n")


@pytest.mark.parametrize("name", ["status", "logs", "approve", "report", "rollback", "reproduce"])
def test_before_the_first_run_each_command_names_the_next_command(cli: Cli, name: str) -> None:
    _, err = cli.both(*CALLS.get(name, [name]), code=1)
    assert err == "error: There is no run yet.\nhint: Start one: mlops run\n"


def test_a_stage_instead_of_a_run_gets_a_hint_with_its_option(cli: Cli) -> None:
    _, err = cli.both("logs", "train", code=2)
    assert err == "error: train is a stage, and the argument is a run.\nhint: mlops logs --stage train\n"
    _, err = cli.both("logs", "tain", code=2)
    assert err == "error: 'tain' is like the stage train, and the argument is a run.\nhint: mlops logs --stage train\n"


@pytest.mark.parametrize(("name", "word"), [("runs", "runs"), ("models", "models")])
def test_before_the_first_run_the_lists_are_empty(cli: Cli, name: str, word: str) -> None:
    assert cli(name) == f"no {word} yet\nnext: mlops run\n"
    assert cli.json(name) == []


@pytest.mark.parametrize("name", ["status", "quickstart", "run", "config"])
def test_without_a_project_the_error_names_the_option_and_mlops_init(tmp_path: Path, name: str) -> None:
    _, err = Cli(tmp_path).both(name, code=2)
    assert "No project here" in err
    assert "--project DIR" in err
    assert "mlops init DIR" in err


def test_in_a_repository_the_projects_below_are_named(tmp_path: Path) -> None:
    """This is true in any folder of the repository.

    Hidden folders are ignored, and outside of a repository nothing is searched.
    """
    for name in ("uses/a", "uses/b c", ".cache/d", "training"):
        (tmp_path / name / "training").mkdir(parents=True)
        (tmp_path / name / "training" / "usecase.toml").touch()
    for folder, names, first in (
        (tmp_path, "training, uses/a, uses/b c", "training"),
        (tmp_path / "uses", "a, b c", "a"),
    ):
        assert "Below it" not in Cli(folder).both("status", code=2)[1]
        (tmp_path / ".git").mkdir()
        _, err = Cli(folder).both("status", code=2)
        assert f"hint: Below it there are the projects {names}. Name it: mlops --project {first} ..." in err
        (tmp_path / ".git").rmdir()


def test_a_project_is_found_from_a_folder_inside_it_and_by_flag(cli: Cli, tmp_path: Path) -> None:
    root = str(cli.folder)
    assert Cli(cli.folder / "training").json("config")["project"] == root
    assert Cli(tmp_path).json("--project", root, "config")["project"] == root


def test_version(cli: Cli) -> None:
    assert re.fullmatch(r"mlops \d+\.\d+\.\d+\n", cli("--version"))
    for order in (["--version", "--json"], ["--json", "--version"]):
        document = json.loads(cli(*order))
        assert f"mlops {document['version']}\n" == cli("--version")
        assert document["packages"]["typer"] == version("typer")
        assert document["python"] == platform.python_version()


def test_json_may_stand_before_the_command_too(cli: Cli) -> None:
    assert json.loads(cli("--json", "config")) == cli.json("config")
    error = json.loads(cli.both("--json", "status", code=1)[0])["error"]
    assert error["hint"] == "Start one: mlops run"


def test_deploy_infra_plans_then_makes_then_has_nothing_to_do(cli: Cli) -> None:
    assert "dry run: nothing was changed" in cli("deploy-infra", "--dry-run")
    assert not (cli.folder / ".mlops").exists()
    assert cli.json("deploy-infra")["changed"] is True
    assert cli("deploy-infra").splitlines()[-2:] == ["no changes", "next: mlops run"]
    assert cli.json("deploy-infra")["changed"] is False


def test_a_folder_that_is_not_ours_is_left_alone(cli: Cli) -> None:
    (cli.folder / ".mlops").mkdir()
    (cli.folder / ".mlops" / "thesis.txt").write_text("mine")
    _, err = cli.both("deploy-infra", code=1)
    assert "was not created by mlops" in err
    cli("cleanup", "--yes")
    assert (cli.folder / ".mlops" / "thesis.txt").read_text() == "mine"


def test_a_mistyped_project_is_an_error_and_no_other_project(cli: Cli) -> None:
    cli("deploy-infra")
    _, err = cli.both("--project", "nosuchdir", "cleanup", "--yes", code=2)
    assert "There is no project in nosuchdir" in err
    _, err = cli.both("--project", "training/usecase.toml", "status", code=2)
    assert "--project names a file, training/usecase.toml" in err
    assert "Name the folder: mlops --project training ..." in err
    assert (cli.folder / ".mlops" / "state.db").exists()


@pytest.mark.parametrize("name", ["", "data", "data/partial", "endpoint", "artifacts", "runs"])
def test_cleanup_never_follows_a_link(cli: Cli, tmp_path: Path, name: str) -> None:
    cli("deploy-infra")
    precious = tmp_path / "precious"
    for file in ("dataset.csv", "models/m.tar.gz", "deep/a"):
        (precious / file).parent.mkdir(parents=True, exist_ok=True)
        (precious / file).write_text("mine")
    (cli.folder / ".mlops" / "data").mkdir()
    link = cli.folder / ".mlops" / name
    shutil.rmtree(link, ignore_errors=True)
    link.symlink_to(precious)
    cli("cleanup", "--yes")
    assert sorted(str(path.relative_to(precious)) for path in precious.rglob("*") if path.is_file()) == [
        "dataset.csv",
        "deep/a",
        "models/m.tar.gz",
    ]


def test_another_tools_folder_of_the_same_name_is_left_alone(cli: Cli) -> None:
    (cli.folder / ".mlops" / "runs").mkdir(parents=True)
    (cli.folder / ".mlops" / "project.json").write_text('{"tool": "other"}')
    cli("cleanup", "--yes")
    assert (cli.folder / ".mlops" / "runs").exists()


def test_cleanup_after_a_failed_download_leaves_nothing(cli: Cli) -> None:
    cli("download-data", "--source", "http://127.0.0.1:1/x.csv", code=1)
    assert "verified: no resources created by mlops remain" in cli("cleanup", "--yes")
    assert not (cli.folder / ".mlops").exists()


@pytest.mark.parametrize("damage", ["data/dataset.json", "data/dataset.csv", "endpoint/endpoint.json", "state.db"])
def test_cleanup_works_when_a_file_is_damaged(cli: Cli, damage: str) -> None:
    cli("download-data", "--source", "sample", "--rows", "200")
    path = cli.folder / ".mlops" / damage
    path.parent.mkdir(exist_ok=True)
    path.write_text("{damaged")
    cli("cleanup", "--yes")
    assert not (cli.folder / ".mlops").exists()


def test_commands_that_end_costs_need_only_the_name_of_a_use_case(cli: Cli) -> None:
    cli("download-data", "--source", "sample", "--rows", "200")
    file = cli.folder / "training" / "usecase.toml"
    text = file.read_text()
    file.write_text(text.replace("preprocess = 60", "preprocess = 0"))
    _, err = cli.both("run", code=2)
    assert "time_limits.preprocess must be a whole number of minutes" in err
    _, err = cli.both("stop", "x1", code=1)
    assert "There is no run yet" in err
    out = cli("cleanup", "--dry-run")
    assert "time_limits.preprocess must be a whole number of minutes" in out
    assert "note: this command needs only the use case's name, toxic-comments." in out
    (cli.folder / ".mlops" / "project.json").write_text('{"made_by": "mlops"}')
    file.write_text(text.replace('name = "', 'name = "Ü'))
    _, err = cli.both("cleanup", "--yes", code=2)
    assert "expected up to 41 letters" in err
    file.write_text(text.replace("preprocess = 60", "preprocess = 0"))
    cli("cleanup", "--yes")
    assert not (cli.folder / ".mlops").exists()


CONFLICT = '<<<<<<< HEAD\nname = "b"\n=======\nname = "c"\n>>>>>>> other\n'


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (CONFLICT, "usecase.toml is not valid TOML"),
        ("", "name is missing"),
        ('name = "Ü"\n', "expected up to 41 letters"),
        ("x = " + "[" * 100_000, "it nests too deeply"),
        (b"name = '\xff'", "is not UTF-8"),
        (None, "No project here"),
    ],
    ids=["a conflict", "empty", "a wrong name", "nested", "not UTF-8", "deleted"],
)
def test_commands_that_end_costs_know_the_use_case_without_its_file(
    cli: Cli, content: str | bytes | None, problem: str
) -> None:
    cli("deploy-infra")
    file = cli.folder / "training" / "usecase.toml"
    file.unlink()
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    _, err = cli.both("run", code=2)
    assert problem in err
    _, err = cli.both("stop", "x1", code=1)
    assert "There is no run yet" in err
    out = cli("cleanup", "--yes")
    assert "note: this command needs only the use case's name, toxic-comments." in out
    assert problem in out
    assert not (cli.folder / ".mlops").exists()
    cli("cleanup", "--yes", code=2)


def test_the_name_of_a_use_case_is_recorded_again_when_it_changes(cli: Cli) -> None:
    cli("deploy-infra")
    file = cli.folder / "training" / "usecase.toml"
    file.write_text(file.read_text().replace('name = "toxic-comments"', 'name = "abuse"'))
    cli("download-data", "--source", "sample", "--rows", "200")
    file.write_text(CONFLICT)
    assert "use case's name, abuse." in cli("cleanup", "--dry-run")


SHOWING = ("config", "doctor", "runs", "status", "logs", "models", "drift")


def without_reader() -> int:
    """Return the end of a pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def ended(cli: Cli, *arguments: str, code: int, **streams: int) -> str:
    """Return the command's stderr, with its standard streams connected to these files."""
    with cli.start(*arguments, **streams) as process:
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    for stream in streams.values():
        os.close(stream)
    assert process.returncode == code, err
    return err or ""


@pytest.mark.parametrize("arguments", [("config",), ("runs",), ("config", "--json"), ("--help",), ("--version",)])
def test_a_command_that_only_shows_ends_without_a_reader(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert ended(cli, *arguments, code=141, stdout=without_reader()) == ""
    assert ended(cli, *arguments, code=1, stdout=os.open("/dev/full", os.O_WRONLY)) == (
        "error: Standard output could not be written: No space left on device.\n"
        "hint: Send the output elsewhere, then repeat the command.\n"
    )


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_command_that_works_finishes_without_a_reader(cli: Cli, options: tuple[str, ...]) -> None:
    download = ("download-data", "--source", "sample", "--rows", "200", *options)
    data = cli.folder / ".mlops" / "data" / "dataset.csv"
    ended(cli, *download, code=0, stdout=without_reader(), stderr=without_reader())
    assert data.exists()
    data.unlink()
    assert "could not be written: No space" in ended(cli, *download, code=1, stdout=os.open("/dev/full", os.O_WRONLY))
    assert data.exists()
    ended(cli, "cleanup", "--yes", *options, code=0, stdout=without_reader())
    assert not (cli.folder / ".mlops").exists()


def test_a_plan_that_was_not_shown_cannot_be_confirmed(cli: Cli) -> None:
    cli("download-data", "--source", "sample", "--rows", "200")
    leader, follower = pty.openpty()
    os.write(leader, b"y\n")
    err = ended(cli, "cleanup", code=1, stdin=follower, stdout=without_reader())
    os.close(leader)
    assert err.startswith("error: The question and its details could not be shown: Broken pipe. Nothing")
    assert (cli.folder / ".mlops" / "data" / "dataset.csv").exists()


def test_a_lost_terminal_ends_no_work(cli: Cli) -> None:
    """As after `disown`: the terminal is gone, and its signal is ignored."""
    leader, follower = pty.openpty()
    command = ["nohup", sys.executable, "-m", "mlops_cli", "download-data", "--source", "sample", "--rows", "200"]
    os.close(leader)
    process = subprocess.run(command, cwd=cli.folder, stdin=follower, stdout=follower, stderr=follower, check=False)
    os.close(follower)
    assert process.returncode == 1
    assert (cli.folder / ".mlops" / "data" / "dataset.csv").exists()


def test_every_command_that_only_shows_says_so() -> None:
    folder = ROOT / "mlops_cli" / "cli" / "commands"
    declared = [path.stem.replace("_", "-") for path in folder.rglob("*.py") if "only_shows=True" in path.read_text()]
    assert sorted(declared) == sorted(SHOWING)


def test_a_stream_that_another_program_made_non_blocking_gets_everything(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    file = StandardFile(writer, ends_command=True)
    received = bytearray()

    def read() -> None:
        while chunk := os.read(reader, 1 << 16):
            received.extend(chunk)

    thread = threading.Thread(target=read)
    thread.start()
    with io.TextIOWrapper(io.BufferedWriter(file), "utf-8") as stream:
        stream.write("line\n" * 200_000)
    os.close(writer)
    thread.join(LIMIT_SECONDS)
    assert bytes(received) == b"line\n" * 200_000


def test_closed_and_narrow_streams_do_no_harm(cli: Cli) -> None:
    cli("deploy-infra")
    for redirection in (">&-", "2>&-", "<&-", "2>/dev/full"):
        command = f"{sys.executable} -m mlops_cli config --json {redirection}"
        done = subprocess.run(["sh", "-c", command], cwd=cli.folder, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), redirection
    done = subprocess.run(
        [sys.executable, "-m", "mlops_cli", "runs"],
        cwd=cli.folder,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["--run-id", ""], [""], [" "], ["", "--run-id", ""]])
def test_an_empty_run_id_approves_nothing(cli: Cli, arguments: list[str]) -> None:
    _, err = cli.both("approve", *arguments, "--yes", code=2)
    assert "The run's id is empty" in err


def test_two_run_ids_approve_nothing(cli: Cli) -> None:
    _, err = cli.both("approve", "3f2a", "--run-id", "77aa", "--yes", code=2)
    assert "Two runs are named: 3f2a and 77aa" in err


def test_without_a_waiting_run_approve_says_so(cli: Cli) -> None:
    _, err = cli.both("approve", "--yes", code=1)
    assert err == "error: No run waits for a decision.\nhint: Start one: mlops run\n"


def test_run_without_data_downloads_the_declared_source_or_names_the_command(cli: Cli) -> None:
    out, err = cli.both("run", code=1)
    assert out.startswith("$ mlops download-data\n")
    assert "Kaggle" in err
    assert err.endswith("to try it without Kaggle: mlops download-data --source sample\n")
    out, err = cli.both("run", "--from", "train", code=1)
    assert (out, err.count("error:")) == ("", 1), "without data there is no run to take stages from"


@pytest.mark.parametrize("words", [["run"], ["run", "--from", "train"], ["run", "--detach"], ["quickstart", "--yes"]])
def test_without_a_secret_nothing_is_downloaded_or_recorded(cli: Cli, words: list[str]) -> None:
    cli.edit("usecase.toml", "[metrics]\n", '[secrets]\nnames = ["FEED", "LOGIN"]\n[metrics]\n')
    cli.environment = {"LOGIN": "otter"}
    out, err = cli.both(*words, code=2)
    assert (out, err) == (
        "",
        "error: The secret FEED of usecase.toml is not set.\n"
        "hint: Set it as an environment variable or in .env: FEED=...\n",
    )
    assert not (cli.folder / ".mlops").exists()


@pytest.mark.parametrize("words", [["run"], ["quickstart", "--yes"]])
def test_without_a_script_nothing_is_downloaded_or_recorded(cli: Cli, words: list[str]) -> None:
    training = cli.folder / "training"
    (training / "train.py").unlink()
    (training / "tests" / "test_posttraining.py").unlink()
    out, err = cli.both(*words, code=2)
    assert (out, err) == (
        "",
        f"error: {training}/train.py, {training}/tests/test_posttraining.py are missing.\n"
        "hint: Restore them, then: mlops run\n",
    )
    assert not (cli.folder / ".mlops").exists()


def test_drift_takes_as_many_days_as_are_kept(cli: Cli) -> None:
    _, err = cli.both("drift", "--days", str(KEPT_DAYS + 1), code=2)
    assert f"is not in the range 1<=x<={KEPT_DAYS}" in err


def test_errors_are_json_too(cli: Cli) -> None:
    error = cli.json("approve", "--yes", code=1)["error"]
    assert error["exit_code"] == 1
    assert error["hint"] == "Start one: mlops run"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["run", "--set", "epochs"], "is not of the form KEY=VALUE", 2),
        (["run", "--set", "=3"], "is not of the form KEY=VALUE", 2),
        (["run", "--set", "train.base_rates="], "Kaggle", 1),
        (["run", "--set", "nonsense=1"], "'nonsense' is unknown; known are", 2),
        (["run", "--set", "seed=1"], "'seed' is ambiguous: preprocess.seed, train.seed", 2),
        (["run", "--from", "nowhere"], "There is no stage 'nowhere'", 2),
        (["status", "zzz"], "There is no run", 1),
        (["test-endpoint"], "There is no endpoint toxic-comments-dev yet", 1),
        (["test-endpoint", "--file", "nope.txt"], "There is no file nope.txt", 2),
    ],
)
def test_wrong_use_is_one_clear_message(cli: Cli, arguments: list[str], message: str, code: int) -> None:
    cli("deploy-infra")
    with cli.start(*arguments) as process:
        _, err = process.communicate()
    assert process.returncode == code
    assert message in err
    assert len(err.splitlines()) == 2, err


def test_approval_without_a_terminal_names_the_flag(cli: Cli) -> None:
    _, err = cli.both("quickstart", code=2)
    assert "there is no terminal" in err
    assert "--yes" in err


def test_config_shows_origins_and_all_problems_at_once(cli: Cli) -> None:
    (cli.folder / ".env").write_text("ENDPOINT_PORT=none\nBUCKET_NAME=No_Good\nKAGGLE_KEY=s3cr3t\nSTAGE=prod\n")
    out = cli("config", code=2)
    assert "ENDPOINT_PORT is 'none' (from .env)" in out
    assert "BUCKET_NAME is 'No_Good' (from .env)" in out
    assert out.endswith("\nhint: Fix them, then check again: mlops config\n")
    assert "s3cr3t" not in out
    document = cli.json("config", code=2)
    assert document["settings"]["STAGE"] == {"value": "prod", "from": ".env"}
    assert len(document["problems"]) == 2
    _, err = cli.both("status", code=2)
    assert "ENDPOINT_PORT" in err
    assert "BUCKET_NAME" in err


@pytest.mark.parametrize("text", ["STAGE: prod\n", '\n# mine\n\nSTAGE="prod\nSOURCE=s3\n'])
def test_a_dotenv_that_cannot_be_read_stops_every_command(cli: Cli, text: str) -> None:
    (cli.folder / ".env").write_text(text)
    for name in ("status", "config", "cleanup", "doctor"):
        _, err = cli.both(name, code=2)
        line = text[: text.index("STAGE")].count("\n") + 1
        assert f".env, line {line}, is not of the form NAME=VALUE" in err
        assert "prod" not in err, "a line that cannot be read may hold a secret"


def test_a_path_that_the_run_store_cannot_have_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "/".join(["n" * 100] * 5)
    shutil.copytree(ROOT / "training", folder / "training", ignore=shutil.ignore_patterns("__pycache__"))
    for command in (["deploy-infra"], ["download-data", "--source", "sample"]):
        _, err = Cli(folder).both(*command, code=2)
        assert "The project's path is too long" in err
        assert "SQLite opens at most 504" in err
    assert not (folder / ".mlops").exists()


@pytest.mark.parametrize("name", ["run", "cleanup", "quickstart", "reproduce", "rollback"])
def test_an_invalid_cost_limit_is_one_clear_message(cli: Cli, name: str) -> None:
    (cli.folder / ".env").write_text("MAX_RUN_COST=$50\n")
    _, err = cli.both(*CALLS.get(name, [name]), code=2)
    assert err.startswith("error: MAX_RUN_COST is '$50' (from .env)")
    assert err.endswith("hint: See every setting and its origin: mlops config\n")


def test_a_use_case_with_mistakes_names_each(cli: Cli) -> None:
    path = cli.folder / "training" / "usecase.toml"
    text = path.read_text().replace('toxic = "label"', 'toxic = "colour"', 1).replace('primary = "roc_auc"', "")
    path.write_text(text)
    _, err = cli.both("status", code=2)
    assert "data.columns.toxic is 'colour'" in err
    assert "metrics.primary is missing; it must be a text." in err
    path.write_text(
        text.replace("[metrics]", '[metrics]\ndirection = "sideways"', 1) + '[metrics.maximum.rent]\nrmse = "low"'
    )
    _, err = cli.both("status", code=2)
    assert "metrics.direction is 'sideways', expected higher or lower" in err
    assert "metrics.maximum.rent.rmse must be a number" in err
    path.write_text("name = [")
    _, err = cli.both("status", code=2)
    assert "is not valid TOML" in err


def test_heavy_packages_are_not_imported_for_the_help(cli: Cli) -> None:
    code = (
        "import sys, mlops_cli.cli; mlops_cli.cli.register_commands(); "
        "print(sorted({m.split('.')[0] for m in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = ("boto3", "botocore", "tensorflow", "rich", "polars", "numpy", "kaggle", "falcon", "uvicorn", "sqlite3")
    assert [name for name in heavy if f"'{name}'" in loaded] == []


def test_the_local_target_never_loads_boto3(cli: Cli) -> None:
    cli("download-data", "--source", "sample", "--rows", "200")
    for arguments in (
        ["deploy-infra"],
        ["config"],
        ["runs"],
        ["models"],
        ["doctor"],
        ["cleanup", "--dry-run"],
    ):
        code = (
            "import sys\nfrom mlops_cli.__main__ import main\n"
            f"sys.argv = ['mlops', *{arguments!r}]\n"
            "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
            "loaded = [name for name in sys.modules if name.split('.')[0] in ('boto3', 'botocore', 'sagemaker')]\n"
            "loaded += [name for name in sys.modules if name.startswith('mlops_cli.backends.aws')]\n"
            "sys.exit(f'loaded: {loaded}' if loaded else 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=cli.folder, capture_output=True, text=True)
        assert done.returncode == 0, (arguments, done.stderr)


def test_a_local_command_loads_nothing_that_it_does_not_use(cli: Cli) -> None:
    cli("deploy-infra")
    code = "import sys; sys.argv = ['mlops', 'runs']; from mlops_cli.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], cwd=cli.folder, capture_output=True, text=True
    )
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "mlops_cli.backends.local.backend" in loaded
    assert loaded & {"importlib.metadata", "logging", "asyncio", "numpy", "polars"} == set()


def test_the_aws_target_loads_the_sagemaker_sdk_only_to_plan(cli: Cli) -> None:
    code = "import sys, mlops_cli.backends.aws.backend; sys.exit('boto3' in sys.modules or 'sagemaker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=cli.folder).returncode == 0


def test_flags_name_profile_and_region(cli: Cli) -> None:
    settings = cli.json("--profile", "work", "--region", "eu-north-1", "config")["settings"]
    assert settings["AWS_PROFILE"] == {"value": "work", "from": "option"}
    assert settings["AWS_REGION"] == {"value": "eu-north-1", "from": "option"}
    _, err = cli.both("--target", "aws", "deploy-infra", "--source", "github", code=2)
    assert "SOURCE is 'github' (from option), expected codecommit or s3 or connection" in err
    _, err = cli.both("--target", "aws", "--profile", "nope", "--region", "eu-north-1", "runs", code=2)
    assert err.startswith("error: There is no AWS profile 'nope' on this machine.")


def test_on_a_terminal_tables_are_drawn_and_no_color_is_honoured(cli: Cli) -> None:
    cli("deploy-infra")
    plain = on_a_terminal(cli, ["config"], NO_COLOR="1")
    assert "ENDPOINT_HOST" in plain
    assert "\x1b[3" not in plain


def on_a_terminal(cli: Cli, arguments: list[str], **environment: str) -> str:
    """Return the output of mlops on a terminal."""
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm", **environment}
    with cli.start(*arguments, stdin=follower, stdout=follower, stderr=follower, env=env):
        os.close(follower)
        written = b""
        while True:
            try:
                block = os.read(leader, 65536)
            except OSError:
                break
            if not block:
                break
            written += block
    os.close(leader)
    return written.decode()


def test_a_read_only_folder_is_one_clear_line(cli: Cli) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    cli.folder.chmod(0o500)
    _, err = cli.both("deploy-infra", code=1)
    assert "Permission denied" in err
    cli.folder.chmod(0o700)


def test_a_full_disk_is_one_clear_line(cli: Cli) -> None:
    """A limit on the size of files replaces a full disk: the error differs, the code is the same."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "sys.argv = ['mlops', 'download-data', '--source', 'sample', '--rows', '1000'];"
        "from mlops_cli.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=cli.folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr
    assert not (cli.folder / ".mlops" / "data" / "dataset.csv").exists()


def test_json_is_alone_on_stdout(cli: Cli) -> None:
    out, _ = cli.both("download-data", "--source", "sample", "--rows", "500", "--json")
    document = json.loads(out)
    assert (document["rows"], document["synthetic"], document["changed"]) == (500, True, True)
    assert cli.json("download-data", "--source", "sample", "--rows", "500")["changed"] is False


def test_the_readme_and_the_module_name_the_same_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"`mlops {name}" not in readme] == []
