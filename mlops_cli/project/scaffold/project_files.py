"""The files of a new project: a starter or the toxic comments; with options also templates and a workflow."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mlops_cli.errors import ConfigurationError
from mlops_cli.frameworks import DEFAULT, NAMES, framework_named
from mlops_cli.packaging import wheel
from mlops_cli.project.scripts_dir import DEFAULT as TRAINING
from mlops_cli.project.scripts_dir import FILE, KEY
from mlops_cli.project.settings.catalog import NAME

STARTER = Path(__file__).parent / "starter"
REPOSITORY = Path(__file__).parents[3]
# SHARED: files of this repository's root for every project; COMMENTS: only for the toxic comments. A wheel has copies
# of them in starter/ (see pyproject.toml), the source tree the originals.
SHARED, COMMENTS, TEMPLATES = (".env.example", ".gitignore"), "training", "templates"
SAMPLE = "data.csv"
WORKFLOW = ".github/workflows/mlops.yml"
# The project contains its mlops wheel, for the workflow: the name on the package index is not ours.
PINNED = ".github/mlops"
CACHES = ("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints")


@dataclass(frozen=True)
class Kind:
    """The kind of a new project: ``minimal`` scripts for a table, with a framework; with AWS's templates; a workflow.

    ``scripts_dir``: the folder of the scripts, relative to the project's.
    """

    name: str
    minimal: bool = False
    framework: str = ""
    aws: bool = False
    github: bool = False
    scripts_dir: str = TRAINING

    @property
    def marker(self) -> str:
        """The file that makes a folder a project: usecase.toml."""
        return f"{TRAINING}/{FILE}" if self.scripts_dir == TRAINING else FILE


def project_name(name: str, folder: Path, minimal: bool) -> str:
    """Return the given name, or the folder's. Raise ConfigurationError if an endpoint cannot have this name."""
    chosen = name or folder.resolve().name
    if re.fullmatch(NAME, chosen):
        return chosen
    proposed = re.sub(r"[^A-Za-z0-9]+", "-", chosen)[:41].strip("-") or "my-model"
    raise ConfigurationError(
        f"{chosen!r} cannot be a use case's name: expected up to 41 letters, digits and -.",
        f"Name it: mlops init {shlex.quote(str(folder))}{' --minimal' if minimal else ''} --name {proposed}",
    )


def starters() -> list[str]:
    """Return the frameworks for which there is a minimal starter."""
    return [name for name in NAMES if name == DEFAULT.name or (STARTER / name).is_dir()]


def script_files(kind: Kind) -> dict[str, bytes]:
    """Return the use case's files by path, and the sample table of a minimal one.

    Raise ConfigurationError for a framework without a starter.
    """
    if kind.framework and kind.framework not in starters():
        near = get_close_matches(kind.framework.lower(), starters(), 1)
        raise ConfigurationError(
            f"There is no starter for {kind.framework!r}; there are starters for {', '.join(starters())}.",
            f"Did you mean --framework {near[0]}?"
            if near
            else "Begin with one of them, then write [model] framework in usecase.toml.",
        )
    files = {_path(path, kind): source.read_bytes() for path, source in _sources(kind)}
    text = re.sub(r'^name = ".*"$', f'name = "{kind.name}"', files[kind.marker].decode(), count=1, flags=re.M)
    if kind.scripts_dir != TRAINING:
        setting = (
            f'# The folder of the scripts and gates, relative to this file.\n[code]\n{KEY} = "{kind.scripts_dir}"\n\n'
        )
        first_table = re.compile(r"^(?=(#.*\n)*\[)", re.M)
        text = first_table.sub(setting, text, count=1).replace(
            "the scripts beside it", f"the scripts in {kind.scripts_dir}/"
        )
    return {**dict(sorted(files.items())), kind.marker: text.encode()}


def _path(path: str, kind: Kind) -> str:
    """Return the path of a starter's file in a project of this kind."""
    if path == f"{TRAINING}/{FILE}":
        return kind.marker
    below = path.removeprefix(f"{TRAINING}/")
    return path if below == path else f"{kind.scripts_dir}/{below}"


def with_sample_beside_scripts(files: Mapping[str, bytes], kind: Kind) -> dict[str, bytes]:
    """Return the files with the sample table in the scripts' folder, because its usual path exists."""
    path = f"{kind.scripts_dir}/{SAMPLE}"
    moved = {path if name == SAMPLE else name: content for name, content in files.items()}
    text = moved[kind.marker].decode().replace(f'source = "{SAMPLE}"', f'source = "{path}"')
    return {**moved, kind.marker: text.encode()}


def common_files(kind: Kind) -> dict[str, bytes]:
    """Return the files beside the use case: the settings' example, .gitignore, and the templates of AWS."""
    entries = (*SHARED, *([TEMPLATES] if kind.aws else []))
    roots = STARTER / "shared", REPOSITORY
    root = roots[0] if (roots[0] / SHARED[0]).is_file() else roots[1]
    return {path: source.read_bytes() for entry in entries for path, source in _below(root / entry, root)}


def workflow_files(kind: Kind, below: str) -> dict[str, bytes]:
    """Return the workflow, and the mlops wheel that it installs.

    ``below``: the project's folder in the repository, "" for its root. GitHub reads workflows only at the repository's
    root.
    """
    text = (STARTER / "shared" / WORKFLOW).read_text(encoding="utf-8")
    if kind.framework not in ("", DEFAULT.name):
        text = text.replace("mlops_cli.locks local)", "mlops_cli.locks server)")
        if packages := framework_named(kind.framework).unnamed_packages:
            line = "          [ ! -f training/"
            text = text.replace(line, f"          python -m pip install {' '.join(packages)}\n{line}")
    text = text.replace(f" {TRAINING}/", f" {kind.scripts_dir}/")
    if not below:
        return {WORKFLOW: text.encode(), **_pinned_mlops()}
    text = text.replace("name: mlops\n", f"name: mlops {kind.name}\n").replace(
        "group: mlops-aws", f"group: mlops-{kind.name}"
    )
    text = text.replace("\njobs:\n", f"\ndefaults:\n  run:\n    working-directory: {below}\n\njobs:\n")
    text = text.replace("dependency-path: ", f"dependency-path: {below}/")
    text = text.replace("path: .mlops/runs", f"path: {below}/.mlops/runs")
    up = "/".join([".."] * (below.count("/") + 1))
    return {f"{up}/.github/workflows/mlops-{kind.name}.yml": text.encode(), **_pinned_mlops()}


def _pinned_mlops() -> dict[str, bytes]:
    """Return the running mlops as a wheel, and the requirement line that pins it."""
    name, content = wheel.wheel_bytes()
    line = f"./{PINNED}/{name} --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"
    return {f"{PINNED}/{name}": content, f"{PINNED}/wheel.txt": line.encode()}


def _sources(kind: Kind) -> Iterator[tuple[str, Path]]:
    """Yield the files by path. A later file replaces an earlier one with the same path."""
    if kind.minimal:
        for layer in (STARTER / "minimal", *([STARTER / kind.framework] if kind.framework else [])):
            yield from _below(layer, layer)
        return
    root = STARTER / "comments" if (STARTER / "comments").is_dir() else REPOSITORY
    yield from _below(root / COMMENTS, root)


def _below(path: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the file itself, or all files in the folder except the caches of tools."""
    if path.is_file():
        yield path.relative_to(root).as_posix(), path
    for child in sorted(path.iterdir()) if path.is_dir() and path.name not in CACHES else ():
        yield from _below(child, root)
