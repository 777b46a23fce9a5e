"""The cache inputs of a stage's code, by name, so that the cache key is complete and can be explained."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path

from mlops_cli.caching.package_versions import package_inputs, source_files
from mlops_cli.caching.sources import Source, Sources
from mlops_cli.core.jobs.script_environment import LIBRARY
from mlops_cli.core.stages import STAGES, position
from mlops_cli.files.hashing import digest_bytes, digest_file


def code_inputs(
    script: Path,
    imports_by_digest: MutableMapping[str, list[str]],
    packs: Sequence[str] = (),
    digest: Callable[[Path], str] = digest_file,
    root: Path | None = None,
    code: Sequence[Path] = (),
    project: Path | None = None,
) -> dict[str, str]:
    """Return the sources of a script that runs in this environment, the interpreter, and the imported packages.

    ``root``: the folder of the project's modules, by default the script's own. ``code``: folders with shared modules.
    ``project``: the folder to which the names are relative, by default the one above ``root``.
    """
    root = root or training_of(script)
    sources = Sources(root, imports_by_digest, code)
    own = sources.of([script, *_packed(root, packs)])
    # The packages of packed scripts need not be installed here: these scripts run elsewhere.
    needed = {name for path in sources.of([script]) for name in sources.read(path).imports}
    packages = third_party(needed, root, imports_by_digest, code)
    return {
        "interpreter": f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}",
        **_named(own, project or root.parent),
        **_library(own.values()),
        **{name: value for package in packages for name, value in package_inputs(package, digest).items()},
    }


def source_inputs(
    script: Path,
    imports_by_digest: MutableMapping[str, list[str]],
    packs: Sequence[str] = (),
    code: Sequence[Path] = (),
    project: Path | None = None,
) -> dict[str, str]:
    """Return the script and every module of its project that it imports, without running it.

    The scripts in ``packs`` count the same: the script does not run them, but its output contains them.
    ``imports_by_digest`` holds the imports of files by their digest; newly read files are added to it. Raise
    ConfigurationError if the script is missing or is not valid Python.
    """
    root = training_of(script)
    sources = Sources(root, imports_by_digest, code).of([script, *_packed(root, packs)])
    return {**_named(sources, project or root.parent), **_library(sources.values())}


def packed_modules(
    script: Path, packs: Sequence[str], root: Path, code: Sequence[Path], project: Path
) -> dict[str, Path]:
    """Return the modules that only the scripts in ``packs`` import, by the names of their cache inputs.

    None if the script may load modules by their files: it may run any of these itself.
    """
    sources = Sources(root, {}, code)
    own = sources.of([script])
    if any({"runpy", "importlib"} & {*source.imports} for source in own.values()):
        return {}
    packed = sources.of(_packed(root, packs)).keys() - own.keys()
    return {_name(path, project): path for path in packed}


def check_sources(
    training: Path, from_stage: str, imports_by_digest: MutableMapping[str, list[str]], code: Sequence[Path] = ()
) -> None:
    """Raise ConfigurationError if a module of this stage or of a later one is not valid Python."""
    stages = STAGES[position(from_stage) if from_stage else 0 :]
    names = [name for stage in stages if stage.script for name in (stage.script, *stage.packs)]
    Sources(training, imports_by_digest, code).of([training / name for name in names if (training / name).is_file()])


def _library(sources: Iterable[Source]) -> dict[str, str]:
    """Return the digest of the mlops_scripts package, if one of the scripts imports it."""
    if not any(LIBRARY.name in source.imports for source in sources):
        return {}
    digests = [f"{path.name} {digest_file(path)}" for path in sorted(LIBRARY.glob("*.py"))]
    return {f"package {LIBRARY.name}": digest_bytes("\n".join(digests).encode())}


def training_of(script: Path) -> Path:
    """Return the scripts' folder that contains a script or gate."""
    return script.parent.parent if script.parent.name == "tests" else script.parent


def _packed(root: Path, packs: Sequence[str]) -> list[Path]:
    return [root / name for name in packs if (root / name).is_file()]


def _named(sources: Mapping[Path, Source], project: Path) -> dict[str, str]:
    """Return the digests of modules by their paths relative to the project."""
    return {_name(path, project): source.digest for path, source in sources.items()}


def _name(path: Path, project: Path) -> str:
    return Path(os.path.relpath(path, project)).as_posix()


def third_party(
    names: Iterable[str], root: Path, imports_by_digest: MutableMapping[str, list[str]], code: Sequence[Path] = ()
) -> list[str]:
    """Return the packages among the names, and the imports of those that are installed from a folder."""
    sources, packages, waiting = Sources(root, imports_by_digest), set[str](), set(names)
    while waiting:
        name = waiting.pop()
        if name in packages or not _is_third_party(name, root, code):
            continue
        packages.add(name)
        waiting.update(more for path in source_files(name) for more in sources.peek(path))
    return sorted(packages)


def _is_third_party(name: str, root: Path, code: Sequence[Path]) -> bool:
    folders = (root, *code)
    ours = any((folder / f"{name}.py").is_file() or (folder / name).is_dir() for folder in folders)
    ours = ours or (root / "tests" / f"{name}.py").is_file()
    return not ours and name not in (LIBRARY.name, *sys.stdlib_module_names)
