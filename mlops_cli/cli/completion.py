"""Tab completion: the runs, models, stages and hyperparameters of the current project.

Each function takes click's context and the unfinished word, and returns words with explanations. An error in the
project gives an empty list; the command itself reports it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from mlops_cli.core.stages import STAGES
from mlops_cli.errors import MlopsError
from mlops_cli.project.completion_cache import (
    CachedRun,
    CachedVersion,
    CompletionCache,
    cached_runs,
    cached_versions,
)

if TYPE_CHECKING:
    from mlops_cli.core.models.model_versions import ModelVersion
    from mlops_cli.core.runs import Run
    from mlops_cli.project.paths import Project
    from mlops_cli.project.settings.values import Settings
    from mlops_cli.project.usecase.use_case import UseCase


class RunList(Protocol):
    def list_runs(self) -> list[Run]: ...


class VersionList(Protocol):
    def list_versions(self) -> list[ModelVersion]: ...


class Lists(Protocol):
    @property
    def runs(self) -> RunList: ...

    @property
    def models(self) -> VersionList: ...


class CompletionContext(Protocol):
    """The parts of a command's context that completion reads. ``main`` passes its constructor in click's ``obj``."""

    @property
    def project(self) -> Project: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def use_case(self) -> UseCase: ...

    @property
    def backend(self) -> Lists: ...


Suggestion: TypeAlias = tuple[str, str]
Completer: TypeAlias = Callable[[Any, str], list[Suggestion]]


def completer(suggestions: Callable[[CompletionContext], Iterable[Suggestion]]) -> Completer:
    """Return a completer. It suggests words that begin with the unfinished one; none if the project is unreadable."""

    def complete(ctx: Any, incomplete: str) -> list[Suggestion]:
        options = ctx.find_root().params  # strings as typed, not converted yet
        folder = options.get("project")
        flags = {"MLOPS_TARGET": "target", "AWS_PROFILE": "profile", "AWS_REGION": "region"}
        typed = {setting: options.get(name) for setting, name in flags.items()}
        context = ctx.find_root().obj(typed, _expanded(folder) if folder else None)
        with suppress(MlopsError, OSError):
            return [(text, description) for text, description in suggestions(context) if text.startswith(incomplete)]
        return []

    return complete


def _expanded(folder: str) -> Path:
    return Path(os.path.expanduser(folder))  # noqa: PTH111 (pathlib's raises for an unknown user)


@completer
def complete_run_ids(context: CompletionContext) -> Iterator[Suggestion]:
    yield from map(_run_suggestion, _runs(context))


@completer
def complete_waiting_run_ids(context: CompletionContext) -> Iterator[Suggestion]:
    """Return the runs that wait for approval."""
    from mlops_cli.core.runs import Status

    yield from (_run_suggestion(run) for run in _runs(context) if run.status == Status.WAITING.value)


def _runs(context: CompletionContext) -> list[CachedRun]:
    """Return the runs, the newest first; on AWS those in the cache, because Tab must not wait for the network."""
    if context.settings.target == "local":
        return cached_runs(context.backend.runs.list_runs())
    return _cache(context).runs()


def _cache(context: CompletionContext) -> CompletionCache:
    return CompletionCache(context.project.state, context.settings.cache_location(context.use_case.name))


def _run_suggestion(run: CachedRun) -> Suggestion:
    from mlops_cli.console.formatting import format_datetime

    return run.id, f"{run.status}, {format_datetime(run.created_at)}"


@completer
def complete_versions(context: CompletionContext) -> Iterator[Suggestion]:
    yield from map(_version_suggestion, _versions(context))


@completer
def complete_approved_versions(context: CompletionContext) -> Iterator[Suggestion]:
    """Return the approved models, including the live one."""
    yield from (_version_suggestion(version) for version in _versions(context) if version.approved)


def _versions(context: CompletionContext) -> list[CachedVersion]:
    """Return the model versions, the newest first, from the same source as the runs."""
    if context.settings.target == "local":
        return cached_versions(context.backend.models.list_versions())
    return _cache(context).versions()


def _version_suggestion(version: CachedVersion) -> Suggestion:
    from mlops_cli.console.formatting import format_datetime

    return version.name, f"{version.decision}, trained {format_datetime(version.trained_at)}"


@completer
def complete_stage_names(_: CompletionContext) -> Iterator[Suggestion]:
    yield from ((stage.name, stage.kind.value) for stage in STAGES)


@completer
def complete_hyperparameters(context: CompletionContext) -> Iterator[Suggestion]:
    """Return the hyperparameters of usecase.toml with their values."""
    for stage, values in context.use_case.hyperparameters.items():
        yield from ((f"{stage}.{name}={value}", f"of {stage}") for name, value in values.items())


@completer
def complete_sources(context: CompletionContext) -> Iterator[Suggestion]:
    """Return the named sources. If none matches, the shell suggests files."""
    yield from (
        (name, f"written by {context.use_case.prefix}{script.file}")
        for name, script in context.use_case.scripts.items()
    )
    yield "kaggle", "the competition that usecase.toml names"


@completer
def complete_script_arguments(context: CompletionContext) -> Iterator[Suggestion]:
    """Return the arguments of the scripts that write data, with their values."""
    for source, script in context.use_case.scripts.items():
        yield from ((f"{name}={value}", f"of {source}") for name, value in script.arguments.items())


@completer
def complete_targets(_: CompletionContext) -> Iterator[Suggestion]:
    yield "local", "this machine"
    yield "aws", "an AWS account"
