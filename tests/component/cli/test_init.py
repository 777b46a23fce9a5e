"""`mlops init`: its files, its errors, and that an interrupted one leaves no half project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mlops_cli import __version__
from tests.conftest import ROOT, Cli

MINIMAL = ROOT / "mlops_cli" / "project" / "scaffold" / "starter" / "minimal"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_comments_are_this_repositorys_own_use_case(cli: Cli) -> None:
    created = cli.json("init", "abuse")
    files = contents(cli.folder / "abuse")
    assert (created["name"], created["changed"], created["files"]) == ("abuse", True, sorted(files))
    for path in (ROOT / "training").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.name != "usecase.toml":
            assert files[path.relative_to(ROOT).as_posix()] == path.read_bytes()
    assert [name for name in files if "__pycache__" in name] == []
    text = (ROOT / "training" / "usecase.toml").read_text()
    assert files["training/usecase.toml"].decode() == text.replace('name = "toxic-comments"', 'name = "abuse"')
    for name in (".env.example", ".gitignore"):
        assert files[name] == (ROOT / name).read_bytes()


def test_minimal_is_a_few_lines(cli: Cli) -> None:
    out = cli("init", "churn", "--minimal")
    assert out.splitlines()[-2:] == ["churn holds the use case churn", "next: cd churn && mlops quickstart"]
    files = contents(cli.folder / "churn")
    scripts = {name: content.decode().splitlines() for name, content in files.items() if name.endswith(".py")}
    assert sum(map(len, scripts.values())) < 160
    assert Cli(cli.folder / "churn").json("config")["problems"] == []
    assert not [name for name in files if name.startswith(("templates/", ".github/"))], "only if they are asked for"


def test_both_kinds_use_the_given_name(cli: Cli) -> None:
    for options in ([], ["--minimal"]):
        folder = f"p{len(options)}"
        assert cli.json("init", folder, "--name", "Spam-2", *options)["name"] == "Spam-2"
        assert 'name = "Spam-2"\n' in (cli.folder / folder / "training" / "usecase.toml").read_text()


def test_repeating_it_changes_nothing(cli: Cli) -> None:
    cli("init", "churn", "--minimal")
    (cli.folder / "churn" / "notes.txt").write_text("mine")
    before = contents(cli.folder / "churn")
    assert cli.json("init", "churn", "--minimal")["changed"] is False
    assert "no changes" in cli("init", "churn", "--minimal")
    assert contents(cli.folder / "churn") == before


def test_a_project_does_not_change_its_framework(cli: Cli) -> None:
    cli("init", "churn", "--framework", "sklearn", "--scripts-dir", "ml")
    before = contents(cli.folder / "churn")
    (cli.folder / "churn" / "usecase.toml").open("a").write("# mine\n")
    _, err = cli.both("init", "churn", "--framework", "xgboost", code=2)
    assert "churn is a project already, of sklearn; init changes no file." in " ".join(err.split())
    assert "mlops init NAME --framework xgboost" in " ".join(err.split())
    _, err = cli.both("init", "churn", "--framework", "xgbost", code=2)
    assert "There is no starter for 'xgbost'" in err
    assert "hint: Did you mean --framework xgboost?" in err
    assert "no changes" in cli("init", "churn", "--framework", "sklearn")
    assert contents(cli.folder / "churn").keys() == before.keys()


def test_an_empty_folder_and_a_fresh_repository_are_taken(cli: Cli) -> None:
    (cli.folder / "new" / ".git").mkdir(parents=True)
    (cli.folder / "new" / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    new_cli = Cli(cli.folder / "new")
    assert new_cli("init", ".", "--minimal").splitlines()[-1] == "next: mlops quickstart"
    assert new_cli.json("config")["problems"] == []


@pytest.mark.parametrize(
    ("file", "options", "problem"),
    [
        ("training/train.py", ["--minimal"], "training already contains other files: training/train.py."),
        ("src/shop.py", [], "here already contains other files: src. Say which framework the new use case is of."),
        ("src/shop.py", ["--github", "--aws"], "hint: mlops init here --framework sklearn --aws --github"),
        ("training", ["--minimal"], "training must be a folder"),
        (".env.example/x", ["--minimal"], ".env.example must be a file"),
    ],
)
def test_an_existing_file_is_named_and_nothing_is_written(
    cli: Cli, file: str, options: list[str], problem: str
) -> None:
    mine = cli.folder / "here" / file
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    _, err = cli.both("init", "here", *options, code=2)
    assert problem in err
    assert contents(cli.folder / "here") == {file: b"mine"}


@pytest.fixture
def repository(cli: Cli) -> dict[str, bytes]:
    """Provide a repository with code in the folder `shop`. Return its files."""
    files = {
        "src/shop/features.py": "X = 1\n",
        "data.csv": "a,b\n1,2\n",
        ".gitignore": "*.pyc\n",
        "README.md": "Shop\n",
    }
    for name, text in files.items():
        (cli.folder / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (cli.folder / "shop" / name).write_text(text)
    subprocess.run(["git", "init", "-q", "shop"], cwd=cli.folder, check=True)
    return {name: text.encode() for name, text in files.items()}


def test_in_a_repository_only_missing_files_are_added(cli: Cli, repository: dict[str, bytes]) -> None:
    shop = Cli(cli.folder / "shop")
    command = ("init", ".", "--framework", "sklearn")
    plan = shop(*command, "--dry-run")
    assert "keep  .gitignore    is there already, and stays as it is" in plan
    assert not (shop.folder / "training").exists()
    out = shop(*command)
    assert plan.splitlines()[:-1] == out.splitlines()[: len(plan.splitlines()) - 1]
    assert "note: your .gitignore does not name .env" in out
    files = contents(shop.folder)
    assert {name: files[name] for name in repository} == repository
    own = {name for name in files if not name.startswith(".git/")} - repository.keys()
    assert {name.split("/")[0] for name in own} == {".env.example", "training"}
    assert 'source = "training/data.csv"' in files["training/usecase.toml"].decode(), "the table's place was taken"
    assert shop.json("config")["problems"] == []
    assert shop.json(*command)["changed"] is False


def test_the_options_add_templates_and_a_workflow(cli: Cli) -> None:
    cli("init", "my_churn", "--framework", "sklearn", "--name", "churn")
    (cli.folder / "my_churn" / "training" / "train.py").write_text("print('mine')\n")
    usecase = cli.folder / "my_churn" / "training" / "usecase.toml"
    usecase.write_text(usecase.read_text().replace("accuracy = 0.7", "accuracy = 0.8"))
    assert cli.json("init", "my_churn")["name"] == "churn", "the project has a name, whatever its folder's is"
    before = contents(cli.folder / "my_churn")
    (cli.folder / "my_churn" / "training" / "preprocess.py").unlink()
    added = cli.json("init", "my_churn", "--aws", "--github")["added"]
    assert {name.split("/")[0] for name in added} == {"templates", ".github"}, "a script that was removed stays so"
    after = contents(cli.folder / "my_churn")
    assert {name: after[name] for name in before if name in after} == {
        name: content for name, content in before.items() if name != "training/preprocess.py"
    }
    assert b"mlops_cli.locks server" in after[".github/workflows/mlops.yml"], "without TensorFlow"


@pytest.mark.parametrize("options", [[], ["--framework", "sklearn"]])
def test_the_scripts_folder_has_another_name_if_training_is_taken(cli: Cli, options: list[str]) -> None:
    own = cli.folder / "training" / "plan.md"
    own.parent.mkdir()
    own.write_text("Monday: swimming\n")
    shop = Cli(cli.folder)
    if options:
        _, err = shop.both("init", ".", "--name", "shop", *options, code=2)
        assert "hint: Name another folder for the use case's scripts: mlops init . --framework sklearn" in err
        assert "--scripts-dir ml\n" in err
    else:
        shutil.rmtree(own.parent)
    command = ("init", ".", "--name", "shop", *options, "--scripts-dir", "src/ml")
    out = shop(*command)
    assert "add  src/ml        the scripts and gates of the use case\n" in out
    assert "add  usecase.toml  the use case: data, metrics, limits\n" in out
    text = (cli.folder / "usecase.toml").read_text()
    assert '[code]\nscripts_dir = "src/ml"\n' in text
    assert shop.json("config")["problems"] == []
    assert shop.json(*command)["changed"] is False
    assert [path.name for path in (cli.folder / "training").rglob("*")] == (["plan.md"] if options else [])

    _, err = shop.both("init", ".", "--name", "shop", "--scripts-dir", "lib", code=2)
    assert "is a project already, with its scripts in src/ml/" in err
    (cli.folder / "src" / "ml" / "preprocess.py").unlink()
    added = shop.json("init", ".", "--name", "shop", "--aws", "--github")["added"]
    assert {name.split("/")[0] for name in added} == {"templates", ".github"}
    workflow = (cli.folder / ".github" / "workflows" / "mlops.yml").read_text()
    assert "dependency-path: src/ml/requirements.txt" in workflow
    assert "training/" not in workflow


@pytest.mark.parametrize("folder", ["../ml", "/ml", ".mlops", "a b", "", "templates"])
def test_a_folder_that_cannot_hold_the_scripts_is_refused(cli: Cli, folder: str) -> None:
    _, err = cli.both("init", "churn", "--minimal", f"--scripts-dir={folder}", code=2)
    assert "scripts_dir is " in err
    assert "hint: Name another one: mlops init churn --scripts-dir ml" in err
    assert list(cli.folder.iterdir()) == []


@pytest.mark.parametrize("folder", ["data.csv", "usecase.toml", "usecase.toml/ml", ".env.example/ml", "data.csv/a/b"])
def test_a_scripts_folder_with_the_name_of_a_file_is_refused(cli: Cli, folder: str) -> None:
    _, err = cli.both("init", "churn", "--framework", "sklearn", f"--scripts-dir={folder}", code=2)
    assert f"scripts_dir is '{folder}'" in err
    assert "--scripts-dir ml" in err
    assert list(cli.folder.iterdir()) == []


def test_a_file_of_the_name_of_usecase_toml_is_not_touched(cli: Cli) -> None:
    (cli.folder / "usecase.toml").write_text("mine")
    _, err = cli.both("init", ".", "--name", "a", "--minimal", "--scripts-dir", "ml", code=2)
    assert "usecase.toml is there already" in err
    assert contents(cli.folder) == {"usecase.toml": b"mine"}


def test_a_link_is_not_followed(cli: Cli) -> None:
    (cli.folder / "precious").mkdir()
    (cli.folder / "here").mkdir()
    for name in ("training", ".env.example", ".github"):
        (cli.folder / "here" / name).symlink_to(cli.folder / "precious")
        cli("init", "here", "--minimal", "--github", code=2)
        (cli.folder / "here" / name).unlink()
    assert contents(cli.folder / "precious") == {}


@pytest.mark.parametrize("name", [".gitignore", ".env.example", "training/train.py", ".github"])
def test_a_pipe_is_not_replaced(cli: Cli, name: str) -> None:
    pipe = cli.folder / "here" / name
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    _, err = cli.both("init", "here", "--minimal", "--github", code=2)
    assert f"{name} must be a f" in err
    assert pipe.is_fifo()


def test_a_file_in_place_of_the_folder_is_refused(cli: Cli) -> None:
    (cli.folder / "here").write_text("mine")
    _, err = cli.both("init", "here", code=2)
    assert "here is not a folder" in err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["my_model"], "mlops init my_model --name my-model"),
        (["my_model", "--minimal"], "mlops init my_model --minimal --name my-model"),
        (["My Project", "--minimal"], "mlops init 'My Project' --minimal --name My-Project"),
        (["it's"], """mlops init 'it'"'"'s' --name it-s"""),
        (["x", "--name", "a.b"], "mlops init x --name a-b"),
        (["x", "--name", "n" * 42], f"mlops init x --name {'n' * 41}"),
        (["x", "--name", "käse"], "mlops init x --name k-se"),
        (["x", "--name", "..."], "mlops init x --name my-model"),
    ],
)
def test_a_name_that_no_endpoint_can_have_is_refused(cli: Cli, arguments: list[str], hint: str) -> None:
    _, err = cli.both("init", *arguments, code=2)
    assert f"hint: Name it: {hint}\n" in err
    assert list(cli.folder.iterdir()) == []


BROKEN = """
import os, sys
from pathlib import Path
from mlops_cli.__main__ import main
rename, left = Path.rename, [int(sys.argv.pop(1))]
def failing(path, target):
    left[0] -= 1
    if left[0] == 0:
        {how}
    return rename(path, target)
Path.rename = failing
main()
"""


def broken(cli: Cli, how: str, when: int) -> int:
    """Run an `mlops init` that ends before it moves this file into place."""
    command = [sys.executable, "-c", BROKEN.format(how=how), str(when), "init", "deep/churn", "--minimal"]
    return subprocess.run(command, cwd=cli.folder, capture_output=True).returncode


@pytest.mark.parametrize("when", [1, 2, 5])
def test_when_it_fails_nothing_is_left(cli: Cli, when: int) -> None:
    assert broken(cli, "raise OSError(28, 'No space left on device')", when) == 1
    assert list(cli.folder.iterdir()) == []


def test_when_it_fails_in_a_repository_only_its_own_files_are_left(cli: Cli) -> None:
    (cli.folder / "deep" / "churn").mkdir(parents=True)
    (cli.folder / "deep" / "churn" / "mine.txt").write_text("mine")
    assert broken(cli, "raise OSError(28, 'No space left on device')", 5) == 1
    assert sorted(path.name for path in cli.folder.rglob("*")) == ["churn", "deep", "mine.txt"]


@pytest.mark.parametrize("when", [1, 2, 5])
def test_a_killed_init_leaves_no_half_project_and_is_finished_by_a_second_one(cli: Cli, when: int) -> None:
    assert broken(cli, "os._exit(9)", when) == 9
    assert not (cli.folder / "deep" / "churn" / "training" / "usecase.toml").exists()
    assert cli.json("init", "deep/churn", "--minimal")["changed"] is True
    cli("init", "whole/churn", "--minimal")
    assert contents(cli.folder / "deep" / "churn") == contents(cli.folder / "whole" / "churn")


def test_cleanup_removes_the_files_of_an_init_that_was_killed_at_its_end(cli: Cli) -> None:
    from mlops_cli.project.scaffold import new_project, project_files

    folder = cli.folder / "churn"
    project = new_project.new_project(folder, project_files.Kind("churn", minimal=True))
    killer = f"""
import os
from pathlib import Path
from mlops_cli.project.scaffold import new_project
from mlops_cli.project.scaffold import project_files
new_project.remove_tree = lambda path: os._exit(9)
new_project.write_project(new_project.new_project(Path({str(folder)!r}), project_files.Kind("churn", minimal=True)))
"""
    assert subprocess.run([sys.executable, "-c", killer]).returncode == 9
    assert [path.name for path in folder.iterdir() if path.name not in {Path(name).parts[0] for name in project.files}]
    removed = Cli(folder).json("cleanup", "--yes")["plan"]
    assert [change["reason"] for change in removed] == ["left by a killed init"]
    assert contents(folder) == dict(project.files)
    assert {path.name for path in folder.iterdir()} == {Path(name).parts[0] for name in project.files}


def test_a_repetition_with_the_number_of_the_killed_process_finishes_it(tmp_path: Path) -> None:
    from mlops_cli.project.scaffold import new_project, project_files

    staging = tmp_path / f"{new_project.STAGING}.{os.getpid()}.partial"
    staging.mkdir()
    (staging / "0").write_text("half")
    project = new_project.new_project(tmp_path, project_files.Kind("churn", minimal=True))
    new_project.write_project(project)
    assert contents(tmp_path) == dict(project.files)
    assert not staging.exists()


@pytest.mark.slow
def test_an_installed_mlops_writes_the_same_files_as_the_source_tree(cli: Cli) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "dist", str(ROOT)]
    subprocess.run(build, cwd=cli.folder, check=True)
    (wheel,) = (cli.folder / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(cli.folder / "installed")
    environment = {**os.environ, "PYTHONPATH": str(cli.folder / "installed")}
    for options in (["--name", "a", "--github"], ["--name", "a", "--minimal", "--github"]):
        installed, source = f"installed{len(options)}", f"source{len(options)}"
        command = [sys.executable, "-m", "mlops_cli", "init", installed, *options]
        subprocess.run(command, cwd=cli.folder, env=environment, check=True)
        cli("init", source, *options)
        actual, expected = contents(cli.folder / installed), contents(cli.folder / source)
        assert actual.keys() == expected.keys()
        # Each keeps the very mlops that made it: an installed one has copies of the repository's files in it.
        assert [name for name in sorted(actual) if actual[name] != expected[name]] == [
            f".github/mlops/mlops_cli-{__version__}-py3-none-any.whl",
            ".github/mlops/wheel.txt",
        ]
