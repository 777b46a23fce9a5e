"""Read a buildspec. Refuse everything that the simulator does not support, so that no test passes by accident."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

PHASES = ("install", "pre_build", "build", "post_build")
RUNTIMES = {"python": {"3.9", "3.10", "3.11", "3.12", "3.13"}}
KEYS = {"version", "run-as", "env", "phases", "artifacts", "cache"}
ENV_KEYS = {"shell", "variables", "exported-variables"}
PHASE_KEYS = {"runtime-versions", "commands", "finally", "on-failure"}
ARTIFACT_KEYS = {"files", "name", "discard-paths", "base-directory", "exclude-paths", "secondary-artifacts"}


class BuildspecError(Exception):
    """CodeBuild's YAML_FILE_ERROR."""


@dataclass(frozen=True)
class Phase:
    commands: tuple[str, ...] = ()
    finally_: tuple[str, ...] = ()
    continues: bool = False
    """Whether the build goes on after a command has failed (on-failure: CONTINUE)."""


@dataclass(frozen=True)
class Files:
    """The build's files that belong to an artifact."""

    patterns: tuple[str, ...]
    base: str = "."
    excluded: tuple[str, ...] = ()
    flat: bool = False


@dataclass(frozen=True)
class Buildspec:
    shell: str = "sh"
    variables: dict[str, str] = field(default_factory=dict)
    exported: tuple[str, ...] = ()
    phases: dict[str, Phase] = field(default_factory=dict)
    artifacts: Files | None = None
    secondary: dict[str, Files] = field(default_factory=dict)


def read(text: str) -> Buildspec:
    """Return the buildspec. Raise BuildspecError with CodeBuild's message."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BuildspecError(f"YAML_FILE_ERROR: {error}") from error
    if not isinstance(document, dict) or str(document.get("version")) != "0.2":
        raise BuildspecError("YAML_FILE_ERROR: This build image requires selecting version 0.2")
    _check_keys(document, KEYS, "buildspec")
    env = document.get("env") or {}
    _check_keys(env, ENV_KEYS, "env")
    artifacts = document.get("artifacts")
    return Buildspec(
        shell=env.get("shell", "sh"),
        variables={name: str(value) for name, value in (env.get("variables") or {}).items()},
        exported=tuple(env.get("exported-variables") or ()),
        phases=_phases(document.get("phases") or {}),
        artifacts=_files(artifacts) if artifacts and "files" in artifacts else None,
        secondary={
            name: _files(section) for name, section in ((artifacts or {}).get("secondary-artifacts") or {}).items()
        },
    )


def _phases(section: Mapping[str, Any]) -> dict[str, Phase]:
    _check_keys(section, set(PHASES), "phases")
    phases = {}
    for name, phase in section.items():
        _check_keys(phase, PHASE_KEYS, name)
        if "commands" not in phase and "runtime-versions" not in phase:
            raise BuildspecError(f"YAML_FILE_ERROR: Phase {name} must have commands")
        for runtime, version in (phase.get("runtime-versions") or {}).items():
            _check_runtime(runtime, str(version))
        on_failure = phase.get("on-failure", "ABORT")
        if on_failure not in ("ABORT", "CONTINUE"):
            raise BuildspecError(f"YAML_FILE_ERROR: the simulator does not know on-failure {on_failure}")
        phases[name] = Phase(_strings(phase, "commands"), _strings(phase, "finally"), on_failure == "CONTINUE")
    return phases


def _check_runtime(runtime: str, version: str) -> None:
    versions = RUNTIMES.get(runtime, set())
    if version not in versions and version != "latest":
        supported = ", ".join(sorted(versions))
        message = f"Unknown runtime version named '{version}' of {runtime}."
        raise BuildspecError(f"YAML_FILE_ERROR: {message} This build image has the following versions: {supported}")


def _files(section: Mapping[str, Any]) -> Files:
    _check_keys(section, ARTIFACT_KEYS, "artifacts")
    return Files(
        patterns=_strings(section, "files"),
        base=section.get("base-directory", "."),
        excluded=_strings(section, "exclude-paths"),
        flat=str(section.get("discard-paths", "no")).lower() in ("yes", "true"),
    )


def _strings(section: Mapping[str, Any], name: str) -> tuple[str, ...]:
    commands = section.get(name) or []
    if not isinstance(commands, list) or not all(isinstance(command, str) for command in commands):
        raise BuildspecError(f"YAML_FILE_ERROR: Expected {name} to be a list of strings")
    return tuple(commands)


def _check_keys(section: Mapping[str, Any], keys: set[str], where: str) -> None:
    if unknown := sorted(set(section) - keys):
        raise BuildspecError(f"YAML_FILE_ERROR: {where} has {', '.join(unknown)}, which the simulator does not do")
