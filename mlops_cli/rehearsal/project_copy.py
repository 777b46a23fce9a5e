"""A copy of exactly the files of a project that would be sent to AWS, and the settings for the simulated AWS."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlops_cli.backends.aws.infra.source.bundle import bundle_source
from mlops_cli.backends.aws.infra.source.git_files import list_files
from mlops_cli.backends.aws.infra.source.root import outside_folders, source_root
from mlops_cli.backends.aws.infra.source.sent_files import outside_reasons
from mlops_cli.data.metadata import load
from mlops_cli.data.request import DataRequest
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.git.commands import git
from mlops_cli.project.paths import Project
from mlops_cli.project.scaffold.project_files import TEMPLATES, Kind, common_files
from mlops_cli.project.settings.catalog import SETTINGS
from mlops_cli.project.settings.company_settings import COMPANY_SETTINGS
from mlops_cli.project.settings.values import Settings
from mlops_cli.project.usecase.data_request import data_request, quickstart_request
from mlops_cli.project.usecase.reader import load_use_case
from mlops_cli.project.usecase.use_case import UseCase
from mlops_cli.rehearsal.simulated_aws import REGION

# The other settings concern this machine, its credentials and services outside of AWS.
REHEARSED = (
    "STAGE", "BUCKET_NAME", "SOURCE", "REPOSITORY_NAME", "BRANCH", "NOTIFICATION_EMAIL", "OWNER", "INSTANCE",
    "MAX_RUN_COST", "MAX_MONTHLY_COST", "MAX_DOWNLOAD_GB", *(name for name, *_ in COMPANY_SETTINGS),
)  # fmt: skip
UPLOAD, CONNECTION = "s3", "connection"
KAGGLE = "kaggle"


def has_templates(project: Project) -> bool:
    return (project.root / TEMPLATES).is_dir()


def copy_project(project: Project, folder: Path, settings: dict[str, str]) -> Project:
    """Copy the files that would be sent into ``folder``. Add mlops' templates if the project has none.

    Raise MlopsError if a file that AWS needs would not be sent.
    """
    folders = load_use_case(project.use_case_file).passed.code
    top = source_root(project.root, folders)
    names = list(bundle_source(project).files) if has_templates(project) else _files(project, top, folders)
    for name in names:
        source, target = top / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    if top != project.root:
        git(folder, "init", "--quiet")  # the copy is one repository, too
    folder = folder / project.root.relative_to(top)
    if not has_templates(project):
        for name, content in common_files(Kind(settings["STAGE"], aws=True)).items():
            if name.startswith(f"{TEMPLATES}/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        bundle_source(Project(folder))
    # In .env a value between single quotes has a backslash before such a quote, and before a backslash.
    values = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in settings.items() if value}
    lines = [f"{name}='{value}'" for name, value in values.items()]
    (folder / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Project(folder.resolve())


def _files(project: Project, top: Path, folders: Sequence[Path]) -> list[str]:
    """Return the files of a project without templates, and of code outside of its folder, relative to ``top``."""
    names = list_files(project.root)[0]
    for folder in outside_folders(project.root, folders):
        names += [name for name, reason in outside_reasons(project.root, folder)[0].items() if not reason]
    return [os.path.relpath(os.path.normpath(project.root / name), top) for name in names]


def rehearsed_settings(settings: Settings) -> dict[str, str]:
    """Return every setting for the copy. No setting comes from the environment of this process."""
    values = {setting.name: setting.default for setting in SETTINGS}
    values |= {name: settings[name] for name in REHEARSED}
    if values["SOURCE"] == CONNECTION:
        values["SOURCE"] = UPLOAD
    return {**values, "MLOPS_TARGET": "aws", "AWS_REGION": REGION}


def rehearsed_data(project: Project, use_case: UseCase, sources: Sequence[str]) -> DataRequest:
    """Return a request for data on this machine.

    The data are the named ones, the project's own dataset, a file that usecase.toml names, or the sample. Raise
    ConfigurationError if the data are elsewhere, because a rehearsal has no network.
    """
    if sources:
        return data_request(use_case, sources)
    dataset = load(project.data)
    if dataset is not None:
        return data_request(use_case, [str(dataset.path)])
    file = project.root / use_case.source
    if file.is_file():
        return data_request(use_case, [str(file)])
    if "://" in use_case.quickstart or use_case.quickstart.partition(":")[0] == KAGGLE:
        raise ConfigurationError(
            f"The project has no data yet, and a rehearsal has no network to get it from {use_case.quickstart}.",
            "Download it, then rehearse: mlops download-data. Or name a file: mlops rehearse --source FILE",
        )
    request = quickstart_request(use_case)
    return replace(request, folder=project.root)
