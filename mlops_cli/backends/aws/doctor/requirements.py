"""Check that builds install packages by hash, and that a build may run long enough for every gate."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.infra.gate_packages import (
    JOBS,
    gate_list,
    lock_command,
    lock_of,
    requirements_of,
    without_hash,
)
from mlops_cli.backends.aws.runs.build_limit import checked_build_minutes
from mlops_cli.core.checks import Finding, State, ok
from mlops_cli.errors import ConfigurationError


def gate_limits(subject: CheckContext) -> Iterator[Finding]:
    """Check that a build may run as long as the gate with the longest time limit."""
    try:
        checked_build_minutes(subject.use_case.time_limits)
    except ConfigurationError as error:
        yield Finding("time limits", State.FAILURE, error.message, "mlops deploy-infra would be refused.", error.hint)


def requirements(subject: CheckContext) -> Iterator[Finding]:
    """Check the use case's own packages; yield nothing if it has none. The packages of mlops always have hashes."""
    project, root = subject.project, subject.project.root
    name, jobs = gate_list(project), f"{project.scripts_dir}/{JOBS}"
    if missing := without_hash(root, name):
        yield Finding(
            "requirements",
            State.FAILURE,
            f"{name} names {', '.join(missing)} without a hash.",
            "mlops deploy-infra would be refused: a gate installs only what has a hash.",
            lock_command(name),
        )
    elif requirements_of(root / name):
        file = lock_of(name) if (root / lock_of(name)).is_file() else name
        yield ok("requirements", f"gates install {file}, every package by its hash")
    if any("--hash=" not in line for line in requirements_of(root / jobs)):
        yield Finding(
            "requirements",
            State.WARNING,
            f"Jobs install {jobs} in the container, without hashes.",
            "pip installs any file that the package index has under these names.",
            "For protection, add hashes to the lines of this file, of versions that fit the container",
        )
    yield from model_packages(subject)


def model_packages(subject: CheckContext) -> Iterator[Finding]:
    """Yield a warning if the model's container installs packages: it cannot read the package index's credential."""
    name = f"{subject.project.scripts_dir}/{JOBS}"
    needs_credential = subject.settings["PACKAGE_INDEX_SECRET"] and subject.use_case.framework.uses_handlers
    if needs_credential and requirements_of(subject.project.root / name):
        yield Finding(
            "requirements",
            State.WARNING,
            f"The model's container installs {name} from PyPI, if the training packs it (pack_code does).",
            "It cannot read the credential in PACKAGE_INDEX_SECRET. Without a way to PyPI the deployment fails, after "
            "the training was paid.",
            "Have a serving image with these packages in IMAGE_REGISTRY, or an index without a credential",
        )
