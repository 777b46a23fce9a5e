"""The killed commands, how each is prepared, and the conditions that must hold afterwards."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.harness.project import Project

LATEST = "@"  # stands for the newest run's id
TWO_LIVE = (
    ("download-data",),
    ("run",),
    ("approve", "--run-id", LATEST, "--yes"),
    ("run", "--set", "epochs=2"),
    ("approve", "--run-id", LATEST, "--yes"),
)


@dataclass(frozen=True)
class Case:
    """``command`` runs after the commands in ``before``. ``live``: start the endpoint, which the snapshot lacks.

    ``is_new``: begin in a folder without a project, in which the command creates one. ``has_code``: the folder is a
    repository with code. ``is_held``: the training of a background run waits, and so the run is under way.
    """

    command: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    live: bool = False
    is_new: bool = False
    has_code: bool = False
    is_held: bool = False
    ends: str = ""  # the run's status once the command was repeated


CASES = {
    "init": Case(("init", ".", "--minimal", "--name", "tiny", "--aws", "--github"), is_new=True),
    "init-here": Case(("init", ".", "--minimal", "--name", "tiny", "--aws", "--github"), is_new=True, has_code=True),
    "deploy-infra": Case(("deploy-infra",)),
    "download-data": Case(("download-data",)),
    "quickstart": Case(("quickstart", "--yes"), ends="done"),
    "run": Case(("run",), ends="waiting"),  # it gets the data, too
    "approve": Case(("approve", "--run-id", LATEST, "--yes"), TWO_LIVE[:2], ends="done"),
    "reject": Case(("approve", "--run-id", LATEST, "--reject", "--yes"), TWO_LIVE[:2], ends="rejected"),
    "reproduce": Case(("reproduce",), TWO_LIVE[:2]),
    "report": Case(("report",), TWO_LIVE[:2], ends="waiting"),
    "refresh": Case(("download-data", "--refresh"), TWO_LIVE[:2], ends="waiting"),
    "stop": Case(("stop",), TWO_LIVE[:2], is_held=True, ends="interrupted"),
    "test-endpoint": Case(("test-endpoint",), TWO_LIVE[:3], live=True, ends="done"),
    "rollback": Case(("rollback", "--yes", "--comment", "bad"), TWO_LIVE, live=True, ends="done"),
    "cleanup": Case(("cleanup", "--yes"), TWO_LIVE[:3], live=True),
}
AT_ONCE = {
    "init": ("init", "."),
    "download-data": ("download-data",),
    "refresh": ("download-data", "--refresh"),
    "run": ("run", "--force"),
    "detached": ("run", "--force", "--detach"),
    "approve": ("approve", "--run-id", LATEST, "--yes"),
    "reject": ("approve", "--run-id", LATEST, "--reject", "--yes"),
    "rollback": ("rollback", "--yes"),
    "reproduce": ("reproduce",),
    "cleanup": ("cleanup", "--yes"),
    "deploy-infra": ("deploy-infra",),
    "status": ("status", "--json"),
    "doctor": ("doctor", "--json"),
    "stop": ("stop",),
    "test-endpoint": ("test-endpoint", "--json"),
    "report": ("report",),
    "models": ("models", "--json"),
    "logs": ("logs",),
    "quickstart": ("quickstart", "--yes"),
}


def prepared(folder: Path, case: Case, has_files: bool = False) -> Project:
    """Prepare a project in which the case's command can run, and its snapshot."""
    project = Project(folder, has_files)
    project.end_all()
    shutil.rmtree(folder, ignore_errors=True)
    if case.is_new:
        return prepared_empty(project, case)
    project.make()
    for command in case.before:
        filled = with_id(project, command)
        if code := project(*filled):
            raise RuntimeError(f"{filled} ended with {code}: {project.said(*filled)}")
        project.preload()
    project.save()
    return project


def prepared_empty(project: Project, case: Case) -> Project:
    """Prepare an empty folder. Note the files that the command creates there if it is not killed."""
    project.make_empty(case.has_code)
    if code := project(*case.command):
        raise RuntimeError(f"{case.command} ended with {code}: {project.said(*case.command)}")
    own_files, project.reference = project.files(), project.contents()
    shutil.rmtree(project.folder)
    project.make_empty(case.has_code)
    project.own_files = own_files
    project.save()
    return project


def begin(project: Project, case: Case) -> tuple[str, ...]:
    """Restore the snapshot. Return the command to run."""
    project.restore()
    if case.live:
        project("run", "--from", "deploy")
        project.preload()
    if case.is_held:
        project.hold()
    command = with_id(project, case.command)
    project.preload()
    return command


def with_id(project: Project, command: tuple[str, ...]) -> tuple[str, ...]:
    if LATEST not in command:
        return command
    return tuple(project.json("runs")[0]["id"] if word == LATEST else word for word in command)


def repeated(project: Project, case: Case, command: tuple[str, ...]) -> list[str]:
    """Return the faults of the project after the killed command and after its repetition."""
    runs = [] if case.is_new or case.is_held else project.json("runs") or []
    faults = [f"{run['id']} is still {run['status']}" for run in runs if is_phantom(run)]
    code = project(*command)
    output = project.said(*command)
    if code and command[0] != "cleanup":
        faults.append(f"repeated: {code} {output[-300:]}")
    if case.ends:
        state = project.json("status") or {}
        if (status := state.get("run", {}).get("status")) != case.ends:
            faults.append(f"the run is {status}")
        if case.ends == "done" and not state.get("endpoint", {}).get("is_what_was_approved"):
            faults.append(f"live is {state.get('endpoint')}")
    if command[0] == "rollback":
        faults += versions(project)
    if case.is_new and project.contents() != project.reference:
        faults.append("the files are not those of a command that nobody killed")
    return faults + unfinished(project)


def versions(project: Project) -> list[str]:
    """Return the model versions. A rollback goes from the second to the first, however often it is started."""
    live = [model["version"] for model in project.json("models") or [] if model["is_live"]]
    return [] if live == [1] else [f"live is {live}, not version 1"]


def is_phantom(run: dict[str, str]) -> bool:
    return run["status"] in ("running", "pending")


def unfinished(project: Project) -> list[str]:
    strange = (".partial", ".tmp-", "journal", "children", "reproduction", "state.~")
    files = [
        file for file in project.files() if ".mlops" in file and "endpoint/children" not in file
    ]  # its server lives
    return [f"left: {file}" for file in files if any(word in file for word in strange)]


def cleaned(project: Project) -> list[str]:
    """Return the faults after cleanup."""
    faults = []
    if code := project("cleanup", "--yes"):
        faults.append(f"cleanup: {code} {project.said('cleanup')[-300:]}")
    extra = [file for file in project.files() if file not in project.own_files]
    faults += [f"cleanup left {extra}"] if extra else []
    faults += [f"a process lives: {line}" for line in project.processes()]
    faults += [f"in TMPDIR: {path.name}" for path in project.temporary.iterdir()]
    for link in Path("/tmp").glob("mlops-*"):
        with suppress(OSError):  # of another project, which has just removed it
            if str(link.readlink()).startswith(f"{project.folder}/"):
                faults.append(f"in /tmp: {link}")
    for path in project.temporary.iterdir():
        path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
    return faults


def tried(project: Project, case: Case, kill: Callable[[tuple[str, ...]], object], straight: bool) -> list[str]:
    """Kill the case's command and repeat it, unless cleanup comes at once. Return all faults."""
    command = begin(project, case)
    kill(command)
    faults = [] if "Traceback" not in project.said(*command) else ["a traceback"]
    if not straight and command[0] != "cleanup":
        faults += repeated(project, case, command)
    is_project = (project.folder / "training" / "usecase.toml").is_file()  # an ended `init` may not have made one
    return faults + (cleaned(project) if is_project else [])


def at_once(project: Project, names: tuple[str, ...]) -> list[str]:
    """Return the faults after several commands that run at once."""
    project.restore()
    commands = [with_id(project, AT_ONCE[name]) for name in names]
    codes = [project.wait(pid) for pid in [project.start(*command) for command in commands]]
    faults = [
        f"{name}: a traceback"
        for name, command in zip(names, commands, strict=True)
        if "Traceback" in project.said(*command)
    ]
    faults += [f"{name} hangs" for name, code in zip(names, codes, strict=True) if code == 124]
    deadline = time.monotonic() + 30
    while any(is_phantom(run) for run in project.json("runs") or []):
        if time.monotonic() > deadline:
            faults.append("a run is running for ever")
            break
        time.sleep(0.1)
    if len([run for run in project.json("runs") or [] if run["status"] == "waiting"]) > 1:
        faults.append("two runs wait for approval")
    return faults + cleaned(project)


def pairs() -> list[tuple[str, ...]]:
    return list(itertools.combinations_with_replacement(AT_ONCE, 2))
