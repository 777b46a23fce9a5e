"""The lock files have pyproject.toml's packages, and a hash for each."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mlops_cli.backends.aws.infra.gate_packages import requirements_of
from mlops_cli.locks import LOCKS, path_of
from mlops_cli.packaging.install_hint import DISTRIBUTION
from tests.locks import GATES, requirements

LINE = re.compile(r"([a-z0-9-]+)==([^ ]+)(?: ; ([^\\]+?))?((?: --hash=sha256:[0-9a-f]{64})+)")
PLATFORMS = [
    {
        "python_version": python,
        "python_full_version": f"{python}.5",
        "sys_platform": system,
        "platform_machine": machine,
    }
    for python in ("3.10", "3.11", "3.12", "3.13")
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
]


def locked(path: Path) -> list[tuple[str, Version, Marker | None]]:
    """Return every package of a lock file. A line without a version and hashes fails the test."""
    text = re.sub(r" \\\n +", " ", path.read_text())
    entries = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        assert match, line
        entries.append((match[1], Version(match[2]), Marker(match[3]) if match[3] else None))
    return entries


def holds(marker: Marker | None, platform: dict[str, str]) -> bool:
    return marker is None or marker.evaluate({**default_environment(), "extra": "", **platform})


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_one_version_and_hashes_and_is_not_ours(name: str) -> None:
    entries = locked(path_of(name))
    for platform in PLATFORMS:
        names = [package for package, _, marker in entries if holds(marker, platform)]
        assert len(names) == len(set(names)), platform
    assert DISTRIBUTION not in {package for package, _, _ in entries}


@pytest.mark.parametrize("name", LOCKS)
def test_the_versions_are_in_the_ranges_of_pyproject(name: str) -> None:
    """If this fails, pyproject.toml was changed. Write the locks again: python -m tests.locks"""
    for platform in PLATFORMS:
        versions = {package: version for package, version, marker in locked(path_of(name)) if holds(marker, platform)}
        for requirement in map(Requirement, requirements(name)):
            if holds(requirement.marker, platform):
                version = versions[canonicalize_name(requirement.name)]
                assert version in requirement.specifier, (requirement, version, platform)


def test_the_use_cases_own_lock_fits_its_requirements_and_our_locks() -> None:
    """If this fails, training/tests/requirements.txt was changed. Write the lock again: python -m tests.locks"""
    entries = locked(GATES.with_suffix(".lock"))
    ours = {(name, version) for lock in LOCKS for name, version, _ in locked(path_of(lock))}
    assert {(name, version) for name, version, _ in entries} <= ours
    for platform in PLATFORMS:
        versions = {package: version for package, version, marker in entries if holds(marker, platform)}
        for requirement in map(Requirement, requirements_of(GATES)):
            assert not holds(requirement.marker, platform) or versions[requirement.name] in requirement.specifier


def test_the_lists_agree_on_versions() -> None:
    versions: dict[tuple[str, str], set[Version]] = {}
    for name in LOCKS:
        for package, version, marker in locked(path_of(name)):
            versions.setdefault((package, str(marker or "")), set()).add(version)
    assert {key for key, several in versions.items() if len(several) > 1} == set()


def test_a_lock_is_found_without_any_installed_package() -> None:
    """The build step reads a lock before it installs any package."""
    done = subprocess.run([sys.executable, "-S", "-m", "mlops_cli.locks", "base"], capture_output=True, text=True)
    assert done.stdout == f"{path_of('base')}\n", done.stderr
    wrong = subprocess.run([sys.executable, "-m", "mlops_cli.locks", "bas"], capture_output=True, text=True)
    assert wrong.returncode == 1
