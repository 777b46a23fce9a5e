"""The checks of `mlops doctor` on this machine: what a run and the endpoint need, and leftovers."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_cli.backends.common_checks import dataset_check, secrets_check
from mlops_cli.backends.local.infra.deploy import has_infra, missing_packages, plan_infra
from mlops_cli.backends.local.public_address import LOOPBACK, public_address_warning
from mlops_cli.core.checks import Check, Finding, State, ok
from mlops_cli.core.endpoint import EndpointState
from mlops_cli.data.metadata import load
from mlops_cli.errors import MlopsError
from mlops_cli.packaging.install_hint import install_command
from mlops_cli.project.paths import Project

if TYPE_CHECKING:
    from mlops_cli.backends.base import ServedEndpoint
    from mlops_cli.backends.local.services import LocalServices
    from mlops_cli.frameworks.base import Framework

TENSORFLOWS = ("tensorflow", "tensorflow-cpu")
# Measured with the built-in use case: its sample of 8 MB becomes 49 MB in .mlops/; training takes 1.16 GB of memory.
DISK_BYTES, DATA_COPIES = 100_000_000, 6
MEMORY_BYTES = 1_200_000_000


def checks(services: LocalServices, served: ServedEndpoint) -> tuple[Check, ...]:
    project = services.project
    return (
        Check("packages", lambda: packages(services.use_case.framework)),
        Check("folder", lambda: folder(project, services.use_case.framework)),
        Check("disk", lambda: disk(project)),
        Check("memory", memory),
        Check("lock", lambda: lock(services)),
        Check("leftovers", lambda: orphaned_processes(services)),
        Check("store", lambda: store(services)),
        Check("dataset", lambda: dataset_check(services.use_case, services.settings, lambda: load(project.data))),
        Check("secrets", lambda: secrets_check(services.use_case, project.dotenv)),
        Check("port", lambda: port(services)),
        Check("endpoint", lambda: endpoint(project, served)),
    )


def packages(framework: Framework) -> Iterator[Finding]:
    """Look for the packages without an import: TensorFlow takes seconds, and without AVX it ends the process."""
    missing = missing_packages(framework)
    if missing:
        yield Finding(
            "packages",
            State.FAILURE,
            f"Not installed: {', '.join(missing)}.",
            "The stages and the endpoint need them.",
            install_command(framework.extra),
        )
    elif "tensorflow" in framework.modules:
        yield from _tensorflow()
    else:
        yield ok("packages", f"installed for {framework.title}, the server and the gates")


def _tensorflow() -> Iterator[Finding]:
    versions = [f"{name} {installed}" for name in TENSORFLOWS if (installed := _version(name))]
    if lacks_avx(_cpu_flags()):
        yield Finding(
            "tensorflow",
            State.FAILURE,
            "This processor has no AVX.",
            "TensorFlow needs it: a process that imports it dies with an illegal instruction.",
            "Use another machine, or the aws target: mlops --target aws deploy-infra",
        )
    else:
        yield ok("tensorflow", ", ".join(versions) or "there, of an unknown version")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _cpu_flags() -> str:
    """Return the CPU flags on Linux on a PC; empty on other systems."""
    file = Path("/proc/cpuinfo")
    is_readable = platform.machine() in ("x86_64", "AMD64") and file.is_file()
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if is_readable else []
    return next((line for line in lines if line.startswith("flags")), "")


def lacks_avx(flags: str) -> bool:
    return bool(flags) and "avx" not in flags.split()


def folder(project: Project, framework: Framework) -> Iterator[Finding]:
    """Check that mlops may write to .mlops/, and that mlops created the existing one."""
    try:
        plan_infra(project, framework)
    except MlopsError as error:
        if str(project.state) in error.message:
            yield Finding("folder", State.FAILURE, error.message, "mlops keeps its state there.", error.hint)
            return
    path = project.state if project.state.exists() else project.root
    if os.access(path, os.W_OK | os.X_OK):
        yield ok("folder", f"{path} can be written")
    else:
        yield Finding(
            "folder",
            State.FAILURE,
            f"{path} cannot be written.",
            "mlops keeps its state there.",
            f"chmod u+wx {path}",
        )


def disk(project: Project) -> Iterator[Finding]:
    try:
        dataset = load(project.data)
    except MlopsError:  # another check reports it
        dataset = None
    needed = DISK_BYTES + DATA_COPIES * (dataset.bytes if dataset else 0)
    free = shutil.disk_usage(project.root).free
    text = f"{free / 1e9:,.1f} GB are free, and a run takes about {needed / 1e9:,.1f} GB"
    if free >= 2 * needed:
        yield ok("disk", text)
        return
    yield Finding(
        "disk",
        State.FAILURE if free < needed else State.WARNING,
        f"{text}.",
        "A run whose disk is full fails; finished work is kept.",
        f"Free some space, or remove outputs of earlier runs: du -sh {project.state.name}/*; mlops cleanup --keep-data",
    )


def memory() -> Iterator[Finding]:
    free = available_memory()
    if free is None:
        return
    text = f"{free / 1e9:,.1f} GB are available; training the built-in use case takes {MEMORY_BYTES / 1e9:,.1f} GB"
    if free >= MEMORY_BYTES:
        yield ok("memory", text)
        return
    yield Finding(
        "memory",
        State.WARNING,
        f"{text}.",
        "When memory runs out, the system kills the training without a message (exit code -9).",
        "End other programs, or train on fewer rows.",
    )


def available_memory() -> int | None:
    """Return the bytes that programs can use without swapping; None if the system does not report them."""
    file = Path("/proc/meminfo")
    lines = file.read_text(encoding="ascii", errors="replace").splitlines() if file.is_file() else []
    values = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(values[0]) * 1024 if values else None


def lock(services: LocalServices) -> Iterator[Finding]:
    holder = services.lock.holder()
    if holder:
        yield Finding(
            "lock",
            State.WARNING,
            f"{holder} holds this project.",
            "Another run, approval or download must wait until it has ended.",
            holder.hint,
        )
    else:
        yield ok("lock", "free")


def store(services: LocalServices) -> Iterator[Finding]:
    """Check that the runs and decisions can be read."""
    if not has_infra(services.project):
        return
    try:
        runs = services.list_runs()
    except MlopsError as error:
        yield Finding("store", State.FAILURE, error.message, "All runs and decisions are in it.", error.hint)
    else:
        yield ok("store", f"{len(runs)} run{'s' if len(runs) != 1 else ''}")


def orphaned_processes(services: LocalServices) -> Iterator[Finding]:
    """Look for processes whose command, server or folder is gone. Skip those of running commands."""
    stages, servers = services.children.orphans(), services.server_processes.orphans()
    without_folder = services.server_processes.without_folder()
    if stages:
        yield Finding(
            "leftovers",
            State.WARNING,
            f"A command that has ended has left {len(stages)} processes: {', '.join(map(str, stages))}.",
            "Nothing needs them; the next run ends them.",
            "mlops run",
        )
    if servers or without_folder:
        pids = sorted({*servers, *without_folder})
        yield Finding(
            "leftovers",
            State.WARNING,
            f"A model server that has ended, or whose folder was removed, has left {len(pids)} processes: "
            f"{', '.join(map(str, pids))}.",
            "They may hold the endpoint's port.",
            "mlops cleanup",
        )
    if not (stages or servers or without_folder):
        yield ok("leftovers", "no processes of killed commands")


def port(services: LocalServices) -> Iterator[Finding]:
    """Check that the endpoint's port is free by binding it briefly, unless our own endpoint uses it."""
    from mlops_cli.serving.control_files import Deployment
    from mlops_cli.serving.http.listen_socket import bind
    from mlops_cli.serving.supervision.worker_handle import DeploymentError

    server = services.server
    status = server.status()
    if warning := public_address_warning((status.pid and status.host) or server.host):
        reason = "ENDPOINT_HOST is an address that other machines reach, or was one at the deployment."
        yield Finding("port", State.WARNING, warning, reason, LOOPBACK)
    held = int(status.url.rpartition(":")[2]) if status.pid and status.url else 0
    if held and server.port in (0, held):
        also = f", which answers to {', '.join(status.hosts)}, too" if status.hosts else ""
        yield ok("port", f"{held}, used by the endpoint {server.name}{also}")
        return
    try:
        with bind(Deployment("doctor", server.name, server.host, server.port, "", 0.0), 0) as listener:
            yield ok("port", f"{listener.getsockname()[1]} of {server.host} is free")
    except DeploymentError as error:
        yield Finding("port", State.FAILURE, str(error), "The endpoint could not be deployed.", error.hint)


def endpoint(project: Project, served: ServedEndpoint) -> Iterator[Finding]:
    """Check that the endpoint serves the approved model that should be live."""
    if not has_infra(project):
        yield Finding("endpoint", State.OK, "none yet")
        return
    status = served.status()
    if status.state is EndpointState.FAILED:
        yield Finding(
            "endpoint",
            State.FAILURE,
            f"{status.name} does not answer: {status.reason}",
            "Every request gets an error.",
            f"{status.fix_command}, which deploys an approved model; or remove it: mlops cleanup",
        )
    elif status.live_digest and not status.is_approved:
        yield Finding(
            "endpoint",
            State.FAILURE,
            f"{status.name} serves {status.served}.",
            "The live model is not the approved one.",
            status.fix_command,
        )
    else:
        yield ok("endpoint", f"{status.name}: {status.state.value} {status.url}".rstrip())
    if status.incidents:
        yield Finding(
            "endpoint",
            State.WARNING,
            f"{status.name} has restarted its worker: {'; '.join(status.incidents)}",
            "A request may have hung or crashed the model's code.",
            f"Look at the end of {project.endpoint / 'server.log'}; mlops run --from deploy restarts the endpoint.",
        )
