"""The packages of the images on AWS, from the lists in images/, and the packages of the builds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlops_cli.core.stages import STAGES, Kind
from mlops_cli.errors import MlopsError
from mlops_cli.packaging.install_hint import pip_install
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.use_case import UseCase

FOLDER = Path(__file__).with_name("images")  # a list for each known training image
BUILD = "build"
# The same package with another name, which may be the one installed on this machine.
OTHER_NAMES = {"tensorflow-cpu": "tensorflow", "xgboost": "xgboost-cpu"}
# Relative to the scripts' folder: the list of jobs, and the list that builds of gates use instead if it exists.
JOB_LIST, GATE_LIST = "requirements.txt", "tests/requirements.txt"


def image_packages(use_case: UseCase) -> dict[str, str]:
    """Return the training image's packages with their versions, "" for an unknown one; nothing if all are unknown."""
    own_version = use_case.framework_version
    path = FOLDER / f"{use_case.framework.training_repository}.txt"
    if not path.is_file() or own_version not in ("", use_case.framework.training.version):
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    parts = (line.partition("==") for line in lines if not line.startswith("#"))
    return {name: version for name, _, version in parts}


def known_images(project: Project, use_case: UseCase) -> dict[str, list[str]]:
    """Return the names of packages that builds and jobs can import, by repository. Unknown ones have no entry."""
    from aws_simulator.packages import requirements_in

    gates = project.training / _gate_list(project)
    packages_by_repository = {BUILD: [*requirements_in(gates), *requirements_in(gates.with_suffix(".lock"))]}
    if packages := image_packages(use_case):
        packages_by_repository[use_case.framework.training_repository] = [
            *packages,
            *(OTHER_NAMES[name] for name in packages if name in OTHER_NAMES),
        ]
    return packages_by_repository


def packages_file(project: Project, stage: str) -> str:
    """Return the list of packages that AWS installs for a stage; by default that of the jobs."""
    is_gate = any(each.name == stage and each.kind is Kind.GATE for each in STAGES)
    return f"{project.scripts_dir}/{_gate_list(project) if is_gate else JOB_LIST}"


def _gate_list(project: Project) -> str:
    return GATE_LIST if (project.training / GATE_LIST).is_file() else JOB_LIST


def other_versions(use_case: UseCase) -> dict[str, tuple[str, str]]:
    """Return the framework's packages whose versions differ, with the version here and in the image."""
    from importlib.metadata import PackageNotFoundError, version

    def installed_version(name: str) -> str:
        for installed in (name, OTHER_NAMES.get(name, name)):
            try:
                return version(installed)
            except PackageNotFoundError:
                continue
        return ""

    image: Mapping[str, str] = image_packages(use_case)
    names = [name for name in (use_case.framework.package, "numpy") if name in image and installed_version(name)]
    return {
        name: (installed_version(name), image[name])
        for name in names
        if image[name] and installed_version(name) != image[name]
    }


def require_installed(project: Project) -> None:
    """Raise MlopsError if the project's requirements are not installed: a rehearsal downloads nothing."""
    from aws_simulator.packages import is_installed, requirements_in

    for name in (JOB_LIST, GATE_LIST):
        path = project.training / name
        missing = [requirement for requirement in requirements_in(path) if not is_installed(requirement)]
        if missing:
            raise MlopsError(
                f"{project.scripts_dir}/{name} asks for {', '.join(missing)}, which this machine does not have: jobs on"
                " AWS would install it, a rehearsal cannot.",
                f"Install it here: {pip_install()} -r {path}",
            )
