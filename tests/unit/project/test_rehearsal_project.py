"""The files, settings and data of a project in a rehearsal."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_cli.backends.aws.infra.source.bundle import bundle_source
from mlops_cli.errors import ConfigurationError
from mlops_cli.frameworks import FRAMEWORKS
from mlops_cli.frameworks.base import Framework
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.catalog import SETTINGS
from mlops_cli.project.settings.values import load_settings, resolve
from mlops_cli.project.usecase.reader import load_use_case
from mlops_cli.project.usecase.use_case import UseCase
from mlops_cli.rehearsal.caller import caller_policy
from mlops_cli.rehearsal.findings import missing_modules
from mlops_cli.rehearsal.images import OTHER_NAMES, image_packages, other_versions, packages_file
from mlops_cli.rehearsal.project_copy import copy_project, rehearsed_data, rehearsed_settings
from mlops_cli.rehearsal.secrets import store_secrets
from tests.conftest import ROOT, USE_CASES


@pytest.fixture
def project(tmp_path: Path) -> Project:
    shutil.copytree(USE_CASES / "tiny" / "training", tmp_path / "tiny" / "training")
    return Project(tmp_path / "tiny")


@pytest.fixture
def use_case(project: Project) -> UseCase:
    return load_use_case(project.training / "usecase.toml")


@pytest.mark.parametrize("source", ["kaggle", "https://example.org/a.csv", "s3://bucket/a.csv"])
def test_data_that_is_elsewhere_is_not_fetched(project: Project, use_case: UseCase, source: str) -> None:
    use_case = replace(use_case, source=source, quickstart=source)
    with pytest.raises(ConfigurationError, match="no network") as error:
        rehearsed_data(project, use_case, ())
    assert "mlops download-data" in error.value.hint
    assert rehearsed_data(project, use_case, ["here.csv"]).sources == ["here.csv"]


def test_a_file_of_the_project_is_its_data(project: Project, use_case: UseCase) -> None:
    (project.root / "rows.csv").write_text("id,text,long\n")
    request = rehearsed_data(project, replace(use_case, source="rows.csv", quickstart="rows.csv"), ())
    assert request.sources == [str(project.root / "rows.csv")]


def test_settings_of_this_machine_and_of_other_services_stay_here() -> None:
    arguments = {
        "AWS_PROFILE": "mine",
        "AWS_REGION": "eu-west-1",
        "SOURCE": "connection",
        "STAGE": "prod",
        "KAGGLE_KEY": "k",
    }
    rehearsed = rehearsed_settings(resolve(arguments, {}, {}))
    assert set(rehearsed) == {setting.name for setting in SETTINGS}
    shown = {name: rehearsed[name] for name in (*arguments, "MLOPS_TARGET")}
    assert shown == {
        "AWS_PROFILE": "",
        "AWS_REGION": "us-east-1",
        "SOURCE": "s3",
        "STAGE": "prod",
        "KAGGLE_KEY": "",
        "MLOPS_TARGET": "aws",
    }


def test_a_setting_with_a_quote_is_the_same_in_the_copy(project: Project, tmp_path: Path) -> None:
    settings = rehearsed_settings(resolve({"BRANCH": "ann's-branch", "OWNER": "Ann"}, {}, {}))
    copy = copy_project(project, tmp_path / "copy", settings)
    copied = load_settings(copy.dotenv, {})
    assert {name: copied[name] for name in ("BRANCH", "OWNER", "STAGE")} == {
        "BRANCH": "ann's-branch",
        "OWNER": "Ann",
        "STAGE": "dev",
    }


class FakeAws:
    """A simulated AWS that stores every secret under another ARN."""

    def control(self, name: str, /, **secrets: str) -> dict[str, str]:
        assert name == "store-secrets"
        return {secret: f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{secret}-New123" for secret in secrets}


@pytest.mark.parametrize("scripts_dir", ["training", "ml"])
def test_the_copy_names_the_secrets_of_the_simulated_account(
    project: Project, tmp_path: Path, scripts_dir: str
) -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/db-AbC123"
    secrets = f'[secrets]\nnames = ["DB"]\naws = {{ DB = "{arn}" }}\n\n[metrics]\n'
    file = project.use_case_file
    text = file.read_text().replace("[metrics]\n", secrets)
    file.unlink()
    if scripts_dir != "training":
        project.training.rename(project.root / scripts_dir)
        file = project.root / "usecase.toml"
        text = text.replace("[secrets]", f'[code]\nscripts_dir = "{scripts_dir}"\n\n[secrets]')
    file.write_text(text)
    copy = Project(project.root)
    store_secrets(FakeAws(), copy, load_use_case(file).passed.secrets, "tiny-dev", {"DB": "value"})  # type: ignore[arg-type]
    addresses = load_use_case(copy.use_case_file).passed.secrets
    assert addresses == {"DB": "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop/db-New123"}


def test_only_files_that_would_be_sent_are_copied(project: Project, tmp_path: Path) -> None:
    (project.root / ".env").write_text("KAGGLE_KEY=k\n")
    (project.root / ".mlops").mkdir()
    (project.root / ".mlops" / "state.db").write_text("")
    (project.root / "training" / "train.py").touch()
    settings = rehearsed_settings(resolve({"STAGE": "prod"}, {}, {}))
    copy = copy_project(project, tmp_path / "copy", settings)
    assert "STAGE='prod'" in copy.dotenv.read_text()
    assert "KAGGLE_KEY" not in copy.dotenv.read_text()
    assert not copy.state.exists()
    assert (copy.training / "train.py").is_file()
    assert (copy.root / "templates" / "pipeline.yaml").read_bytes() == (
        ROOT / "templates" / "pipeline.yaml"
    ).read_bytes()


@pytest.mark.parametrize("has_secrets", [False, True])
def test_the_callers_permissions_are_on_the_projects_own_endpoint(use_case: UseCase, has_secrets: bool) -> None:
    passed = replace(use_case.passed, secrets={"TOKEN": ""} if has_secrets else {})
    use_case = replace(use_case, name="tiny", passed=passed)
    settings = rehearsed_settings(resolve({"STAGE": "prod"}, {}, {}))
    statements = caller_policy(settings, use_case, "endpoint-of-tiny", "us-east-1")["Statement"]
    actions = {action for statement in statements for action in statement["Action"]}
    assert ({"ssm:DescribeParameters", "secretsmanager:DescribeSecret"} <= actions) is has_secrets
    resources = " ".join(statement["Resource"] for statement in statements)
    assert "endpoint/endpoint-of-tiny" in resources
    assert "endpoint/tiny-prod" not in resources


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name)
def test_the_packages_of_every_framework_s_image_are_known(use_case: UseCase, framework: Framework) -> None:
    """The list includes packages that the project's requirements omit because the image has them.

    Other versions are unknown.
    """
    use_case = replace(use_case, framework=framework, framework_version="")
    packages = image_packages(use_case)
    needed = {OTHER_NAMES.get(framework.package, framework.package), *framework.unnamed_packages, "numpy", "boto3"}
    assert needed <= {OTHER_NAMES.get(name, name) for name in packages}
    version = packages.get(framework.package, "") or packages.get("tensorflow-cpu", "")
    assert version.startswith(framework.training.version.partition("-")[0]), version
    assert all(image_version for _, image_version in other_versions(use_case).values())
    assert image_packages(replace(use_case, framework_version="0.1")) == {}


@pytest.mark.parametrize(
    ("stage", "name"), [("train", "requirements.txt"), ("pre-training-tests", "tests/requirements.txt")]
)
def test_a_missing_package_belongs_into_the_list_of_its_stage(project: Project, stage: str, name: str) -> None:
    (project.training / "tests" / "requirements.txt").write_text("numpy\n")
    file = f"training/{name}"
    assert packages_file(project, stage) == file
    text = "ModuleNotFoundError: No module named 'matplotlib'"
    (finding,) = missing_modules([text, text], packages_file(project, stage))
    assert finding.reason == f"{file} does not name its package, so nothing installs it there."
    assert finding.fix == f"Add the package of matplotlib to {file}, then: mlops rehearse"
    (project.training / "tests" / "requirements.txt").unlink()
    assert packages_file(project, stage) == "training/requirements.txt"


def test_a_copy_has_its_scripts_where_the_project_has_them(project: Project, tmp_path: Path) -> None:
    project.training.rename(project.root / "ml")
    text = (project.root / "ml" / "usecase.toml").read_text()
    (project.root / "ml" / "usecase.toml").unlink()
    (project.root / "usecase.toml").write_text(text.replace("[metrics]", '[code]\nscripts_dir = "ml"\n\n[metrics]', 1))
    settings = rehearsed_settings(resolve({"STAGE": "prod"}, {}, {}))
    copy = copy_project(Project(project.root), tmp_path / "copy", settings)
    assert copy.training == copy.root / "ml"
    assert load_use_case(copy.use_case_file).scripts_dir == "ml"
    assert (copy.training / "train.py").is_file()


@pytest.mark.parametrize("has_templates", [True, False])
def test_a_copy_has_the_code_above_the_project_at_its_place(
    project: Project, tmp_path: Path, has_templates: bool
) -> None:
    repository = tmp_path.resolve() / "repository"
    (repository / "src" / "shop").mkdir(parents=True)
    (repository / "src" / "shop" / "features.py").write_text("X = 1\n")
    project.root.rename(repository / "churn")
    own = Project(repository / "churn")
    own.use_case_file.write_text(
        own.use_case_file.read_text().replace("[metrics]", '[code]\npath = ["../src"]\n\n[metrics]', 1)
    )
    if has_templates:
        shutil.copytree(ROOT / "templates", own.root / "templates")
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    subprocess.run(["git", "-C", str(repository), "add", "."], check=True)
    settings = rehearsed_settings(resolve({"STAGE": "prod"}, {}, {}))
    copy = copy_project(own, tmp_path / "copy", settings)
    assert copy.root == (tmp_path / "copy" / "churn").resolve()
    assert bundle_source(copy).root == (tmp_path / "copy").resolve()
    assert "src/shop/features.py" in bundle_source(copy).files
