"""The files that are sent to AWS, and those that are not."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from mlops_cli.backends.aws.clients.cloudformation import Stack
from mlops_cli.backends.aws.infra.deploy import excluded_files
from mlops_cli.backends.aws.infra.deployed_settings import check_deployed_path
from mlops_cli.backends.aws.infra.source import git_files
from mlops_cli.backends.aws.infra.source.bundle import SourceBundle, bundle_source
from mlops_cli.backends.aws.infra.source.root import project_path, source_root
from mlops_cli.backends.aws.infra.source.sent_files import shared_code
from mlops_cli.errors import MlopsError
from mlops_cli.project.paths import Project
from tests.conftest import ROOT

# Where people keep secrets. Each is tracked by git in the tests, as it happens.
CONTENT = "what a secret file holds"
SECRETS = (
    ".env", ".env.local", ".env.production", "prod.env", "config/.env", ".ENV", "kaggle.json", ".kaggle/kaggle.json",
    ".aws/credentials", "credentials", "credentials.csv", "alice_accessKeys.csv", "rootkey.csv", "id_rsa", "id_ed25519",
    "deploy/id_rsa.pub", "server.pem", "tls/private.KEY", "cert.p12", ".netrc", ".pypirc", ".git-credentials",
    "access_token", "secrets.toml", "training/secrets.yaml", "client_secret_123.json", "terraform.tfstate",
    "service-account-prod.json", "training/.env",
)  # fmt: skip
DATA = ("data/train.csv", "train.csv.gz", "notes/table.parquet", "download.zip", "datasets/a.txt", "runs.db")
KEPT = (".env.example", "README.md", "pyproject.toml", "training/vocabulary.csv", "training/credentials.py", "keys.py")
STATE = (".mlops/state.db", ".mlops/data/dataset.csv", "training/__pycache__/train.cpython-311.pyc")


@pytest.fixture
def project(project_folder: Path) -> Project:
    (project_folder / "templates").mkdir()
    for name in ("buildspec.yml", "endpoint.yaml"):
        (project_folder / "templates" / name).write_text((ROOT / "templates" / name).read_text())
    for name in (*SECRETS, *DATA, *KEPT, *STATE):
        (project_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project_folder / name).write_text(f"{CONTENT}\n" if name in SECRETS else "x\n")
    return Project(project_folder)


def git(project: Project, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", str(project.root), *identity, *arguments], check=True, capture_output=True)


def tracked(project: Project) -> Project:
    """Let git track everything, including secrets."""
    git(project, "init", "-q")
    git(project, "add", "--force", ".")
    return project


def without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_files.shutil, "which", lambda _: None)


@pytest.mark.parametrize("how", ["tracked", "no repository", "no git at all"])
def test_secrets_and_data_are_never_sent(project: Project, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "tracked":
        tracked(project)
    elif how == "no git at all":
        without_git(monkeypatch)
    parcel = bundle_source(project)
    assert {*SECRETS, *DATA, *STATE}.isdisjoint(parcel.files)
    assert set(KEPT) <= set(parcel.files)
    assert {"training/train.py", "training/tests/test_pretraining.py", "templates/endpoint.yaml"} <= set(parcel.files)
    assert CONTENT.encode() not in zipped(parcel)
    assert set(SECRETS) <= set(parcel.left_out)


def zipped(parcel: SourceBundle) -> bytes:
    path = parcel.root / ".mlops" / "source.zip"
    parcel.write_zip(path)
    with zipfile.ZipFile(path) as archive:
        return b"\n".join(archive.read(name) for name in archive.namelist())


def test_only_what_git_tracks_is_sent(project: Project) -> None:
    (project.root / ".gitignore").write_text("ignored.txt\n")
    tracked(project)
    for name in ("scratch.txt", "ignored.txt"):
        (project.root / name).write_text("x")
    parcel = bundle_source(project)
    assert {"scratch.txt", "ignored.txt"}.isdisjoint(parcel.files)
    assert parcel.left_out["scratch.txt"] == "git does not track it"
    assert "ignored.txt" not in parcel.left_out


@pytest.mark.parametrize("how", ["no repository", "no git at all"])
def test_without_a_repository_what_gitignore_says_stays(
    project: Project, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "no git at all":
        without_git(monkeypatch)
    (project.root / ".gitignore").write_text("# mine\nnotes.md\n/output/\n")
    for name in ("notes.md", "output/a.txt", ".venv/bin/python", "build/lib/x.py"):
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text("x")
    files = bundle_source(project).files
    assert {"notes.md", "output/a.txt", ".venv/bin/python", "build/lib/x.py"}.isdisjoint(files)
    assert not (project.root / ".git").exists()


def test_what_was_changed_is_sent_as_it_is_and_what_was_deleted_is_not(project: Project) -> None:
    tracked(project)
    (project.root / "README.md").write_text("changed")
    (project.root / "keys.py").unlink()
    parcel = bundle_source(project)
    assert parcel.content("README.md") == b"changed"
    assert "keys.py" not in parcel.files


def test_a_module_that_a_stage_needs_and_git_does_not_track_is_reported(project: Project) -> None:
    tracked(project)
    (project.root / "training" / "extra.py").write_text("x = 1\n")
    train = project.training / "train.py"
    train.write_text(train.read_text() + "\nimport extra\n")
    with pytest.raises(MlopsError, match=r"training/extra.py would not be uploaded") as caught:
        bundle_source(project)
    assert caught.value.hint == "Track it: git add training/extra.py"


def test_a_project_in_a_larger_repository_is_sent_alone(tmp_path: Path, project: Project) -> None:
    (tmp_path / "other.txt").write_text("x")
    git(Project(tmp_path), "init", "-q")
    git(Project(tmp_path), "add", ".")
    assert "training/train.py" in bundle_source(project).files
    assert not [name for name in bundle_source(project).files if "other.txt" in name]


def test_a_link_out_of_the_project_or_to_a_secret_is_not_followed(project: Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text(CONTENT)
    for name, target in (("out.txt", outside), ("alias.txt", ".env"), ("good.txt", "README.md"), ("gone.txt", "no")):
        (project.root / name).symlink_to(target)
    parcel = bundle_source(tracked(project))
    assert {"out.txt", "alias.txt", "gone.txt"}.isdisjoint(parcel.files)
    assert parcel.content("good.txt") == b"x\n"


def test_a_missing_template_is_named(project: Project) -> None:
    (project.root / "templates" / "endpoint.yaml").unlink()
    with pytest.raises(MlopsError, match=r"templates/endpoint.yaml is missing"):
        bundle_source(project)


def test_equal_files_give_equal_bytes_whatever_their_times(project: Project, tmp_path: Path) -> None:
    (project.root / "run.sh").write_text("#!/bin/sh\n")
    (project.root / "run.sh").chmod(0o755)
    written = []
    for moment in (1_000_000_000, 1_700_000_000):
        for path in project.root.rglob("*"):
            os.utime(path, (moment, moment))
        target = tmp_path / f"{moment}.zip"
        bundle_source(project).write_zip(target)
        written.append(target.read_bytes())
    assert written[0] == written[1]
    with zipfile.ZipFile(io.BytesIO(written[0])) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
    assert (modes["run.sh"], modes["README.md"]) == (0o755, 0o644)


def test_an_empty_file_is_sent_as_an_empty_line(project: Project) -> None:
    (project.root / "training" / "__init__.py").write_text("")
    assert bundle_source(project).content("training/__init__.py") == b"\n"


def committed(project: Project) -> Project:
    tracked(project)
    git(project, "commit", "-q", "-m", "first")
    return project


def test_through_a_connection_only_what_was_pushed_is_run(project: Project, tmp_path: Path) -> None:
    with pytest.raises(MlopsError, match="is not a git repository"):
        git_files.pushed_head(project.root)
    committed(project)
    with pytest.raises(MlopsError, match="is not pushed"):
        git_files.pushed_head(project.root)
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "remote")], check=True)
    git(project, "remote", "add", "origin", str(tmp_path / "remote"))
    git(project, "push", "-q", "origin", "HEAD")
    head = git_files.pushed_head(project.root)
    assert len(head) == 40
    (project.root / "README.md").write_text("changed")
    with pytest.raises(MlopsError, match="uncommitted changes"):
        git_files.pushed_head(project.root)


def test_every_file_that_may_be_secret_is_named(project: Project) -> None:
    shown = {change.resource for change in excluded_files(bundle_source(tracked(project)))}
    assert set(SECRETS) <= shown


def test_a_key_in_a_file_of_any_name_is_not_sent(project: Project) -> None:
    (project.root / "my-project-123456-0a1b2c3d4e5f.json").write_text('{"type": "service_account"}')
    bundle = bundle_source(tracked(project))
    assert bundle.left_out["my-project-123456-0a1b2c3d4e5f.json"] == "it may hold a secret"


@pytest.fixture
def shared(project: Project) -> Project:
    """Return the project and a package of its repository that its training imports."""
    for name, text in {
        "src/shop/__init__.py": "",
        "src/shop/rates.csv": "1\n",
        "src/shop/features.py": "X = 1\n",
    }.items():
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text(text)
    usecase = project.training / "usecase.toml"
    usecase.write_text(usecase.read_text().replace("[metrics]", '[code]\npath = ["src"]\n\n[metrics]', 1))
    script = project.training / "train.py"
    script.write_text(script.read_text().replace("import json\n", "import json\nimport shop.features\n", 1))
    return project


def test_shared_code_is_sent_and_reaches_the_jobs_under_its_own_names(shared: Project) -> None:
    assert {"src/shop/__init__.py", "src/shop/features.py"} <= set(bundle_source(shared).files)
    files = shared_code(shared.root, (shared.root / "src",))
    assert files == {name: shared.root / "src" / name for name in ("shop/__init__.py", "shop/features.py")}


def test_shared_code_that_git_ignores_is_refused_before_the_upload(shared: Project) -> None:
    (shared.root / ".gitignore").write_text("src/shop/features.py\n")
    git(shared, "init", "-q")
    git(shared, "add", ".")
    with pytest.raises(MlopsError, match=r"src/shop/features.py would not be uploaded, but a stage on AWS needs it"):
        bundle_source(shared)


def test_shared_code_of_one_name_is_refused(shared: Project) -> None:
    (shared.root / "lib" / "shop").mkdir(parents=True)
    (shared.root / "lib" / "shop" / "features.py").write_text("X = 2\n")
    with pytest.raises(MlopsError, match="would have the same path on AWS"):
        shared_code(shared.root, (shared.root / "src", shared.root / "lib"))


def test_scripts_in_a_folder_of_another_name_are_sent_as_those_in_training(project: Project) -> None:
    root = project.root
    project.training.rename(root / "ml")
    (root / "training").mkdir()
    (root / "training" / "swimming.csv").write_text("Monday\n")
    text = (root / "ml" / "usecase.toml").read_text()
    (root / "ml" / "usecase.toml").unlink()
    (root / "usecase.toml").write_text(text.replace("[metrics]", '[code]\nscripts_dir = "ml"\n\n[metrics]', 1))
    moved = tracked(Project(root))
    sent = bundle_source(moved).files
    assert {"usecase.toml", "ml/train.py", "ml/vocabulary.csv", "ml/common/hyperparameters.py"} <= set(sent)
    assert not {"ml/.env", "ml/secrets.yaml", "training/swimming.csv"} & set(sent)
    (root / ".gitignore").write_text("usecase.toml\n")
    git(moved, "rm", "-q", "--cached", "usecase.toml")
    with pytest.raises(MlopsError, match=r"^usecase\.toml would not be uploaded, but a stage on AWS needs it"):
        bundle_source(moved)


@pytest.fixture
def below(shared: Project, tmp_path: Path) -> Project:
    """Return a project in a folder of a repository, with its package above it. Git tracks neither yet."""
    repository = tmp_path.resolve() / "repository"
    (repository / "models").mkdir(parents=True)
    shared.root.rename(repository / "models" / "tiny")
    project = Project(repository / "models" / "tiny")
    (project.root / "src").rename(repository / "src")
    (repository / "data").mkdir()
    (repository / "data" / "huge.bin").write_text("not of this project")
    usecase = project.training / "usecase.toml"
    usecase.write_text(usecase.read_text().replace('path = ["src"]', 'path = ["../../src"]'))
    return project


def repository_of(project: Project) -> Project:
    return Project(project.root.parents[1])


def test_shared_code_above_the_project_is_sent_at_its_place_in_the_repository(below: Project) -> None:
    repository = tracked(repository_of(below))
    bundle = bundle_source(below)
    assert bundle.root == repository.root
    assert {"src/shop/features.py", "models/tiny/training/train.py", "models/tiny/templates/buildspec.yml"} <= set(
        bundle.files
    )
    assert {name for name in bundle.files if not name.startswith("models/tiny/")} == {
        "src/shop/__init__.py",
        "src/shop/features.py",
    }, "nothing else of the repository"
    assert not {f"models/tiny/{name}" for name in SECRETS} & set(bundle.files)
    assert bundle.left_out["../../src/shop/rates.csv"].startswith("data")
    files = shared_code(below.root, (repository.root / "src",))
    assert files["shop/features.py"] == repository.root / "src" / "shop" / "features.py"
    assert project_path(below.root, (repository.root / "src",), "s3") == "models/tiny/"


def test_what_aws_would_not_get_of_shared_code_above_the_project_is_refused(below: Project) -> None:
    repository = repository_of(below)
    with pytest.raises(MlopsError, match="is outside of the project's folder, and no git repository has both") as error:
        bundle_source(below)
    assert error.value.hint.endswith(f"git init {repository.root}")
    tracked(repository)
    (repository.root / ".gitignore").write_text("features.py\n")
    git(repository, "rm", "-q", "--cached", "src/shop/features.py")
    with pytest.raises(MlopsError, match=r"^\.\./\.\./src/shop/features\.py would not be uploaded.*git ignores it"):
        bundle_source(below)
    (repository.root / ".gitignore").unlink()
    with pytest.raises(MlopsError, match=r"\.\./\.\./src/shop/features\.py would .*git does not track it") as error:
        bundle_source(below)
    assert error.value.hint.startswith("Track it: git add ../../src/shop/features.py")


@pytest.mark.parametrize("how", ["another repository", "a repository in it", "a link", "a linked module"])
def test_shared_code_that_the_repository_does_not_have_is_refused(below: Project, tmp_path: Path, how: str) -> None:
    repository = repository_of(below)
    if how == "another repository":
        git(below, "init", "-q")
        expected = "is not in the project's git repository"
    elif how == "a repository in it":
        committed(Project(repository.root / "src"))
        expected = "is not in the project's git repository"
    elif how == "a link":
        (repository.root / "src").rename(tmp_path / "elsewhere")
        (repository.root / "src").symlink_to(tmp_path / "elsewhere")
        expected = r"^\.\./\.\./src, in .*is a link or below one"
    else:
        module = repository.root / "src" / "shop" / "features.py"
        module.rename(tmp_path / "features.py")
        module.symlink_to(tmp_path / "features.py")
        expected = r"^\.\./\.\./src/shop/features\.py would not be uploaded.*a link to somewhere else"
    if how != "another repository":
        tracked(repository)
    with pytest.raises(MlopsError, match=expected):
        bundle_source(below)


def test_a_connection_gets_the_whole_repository(below: Project) -> None:
    repository = tracked(repository_of(below))
    assert source_root(below.root, (), "connection") == repository.root
    assert source_root(below.root, (), "s3") == below.root
    assert project_path(below.root, (), "connection") == "models/tiny/"
    assert project_path(repository.root, (), "connection") == ""
    below.root.parent.rename(repository.root / "my models")
    with pytest.raises(MlopsError, match="its repository is my models/tiny: AWS's steps take only letters"):
        project_path(repository.root / "my models" / "tiny", (), "connection")


def test_a_project_that_has_moved_in_its_source_asks_for_a_deployment(below: Project) -> None:
    folders = (tracked(repository_of(below)).root / "src",)
    deployed = Stack("s", "id", "CREATE_COMPLETE", parameters={"SourceType": "s3", "ProjectPath": "models/tiny/"})
    check_deployed_path(below.root, folders, deployed)
    with pytest.raises(MlopsError, match="in the root of its source, and the pipeline was deployed for the f") as error:
        check_deployed_path(below.root, (), deployed)
    assert error.value.hint == "Bring it up to date: mlops deploy-infra"
