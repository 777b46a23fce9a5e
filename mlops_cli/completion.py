"""What the shell offers when somebody presses Tab: the runs, models, stages and hyperparameters of the project at hand.

Each function gets the unfinished command's context and word, as the command line's library hands them over, and gives
words with their explanations. Whatever is wrong with the project is for the command itself to say: here it means that
there is nothing to offer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from mlops_cli.errors import MlopsError
from mlops_cli.runs import Status
from mlops_cli.seen import Seen, SeenRun, SeenVersion, seen_runs, seen_versions
from mlops_cli.session import Session
from mlops_cli.stages import STAGES

Offer: TypeAlias = tuple[str, str]
Completer: TypeAlias = Callable[[Any, str], list[Offer]]


def offered(words: Callable[[Session], Iterable[Offer]]) -> Completer:
    """Those of the words that begin as the unfinished one does; none when the project cannot be read."""

    def complete(ctx: Any, incomplete: str) -> list[Offer]:
        options = ctx.find_root().params  # as they were typed: nothing is converted yet
        folder = options.get("project")
        flags = {"MLOPS_TARGET": "target", "AWS_PROFILE": "profile", "AWS_REGION": "region"}
        typed = {setting: options.get(name) for setting, name in flags.items()}
        session = Session(typed, Path(folder).expanduser() if folder else None)
        with suppress(MlopsError, OSError):
            return [(word, said) for word, said in words(session) if word.startswith(incomplete)]
        return []

    return complete


@offered
def run_ids(session: Session) -> Iterator[Offer]:
    yield from map(_in_words, _runs(session))


@offered
def waiting_run_ids(session: Session) -> Iterator[Offer]:
    """The runs that can be approved."""
    yield from (_in_words(run) for run in _runs(session) if run.status == Status.WAITING.value)


def _runs(session: Session) -> list[SeenRun]:
    """The newest first; of aws those that commands have seen: a Tab must not wait for the network."""
    return seen_runs(session.backend.list_runs()) if session.settings.target == "local" else _seen(session).runs()


def _seen(session: Session) -> Seen:
    return Seen(session.project.state, session.settings.place(session.use_case.name))


def _in_words(run: SeenRun) -> Offer:
    from mlops_cli.console.words import moment

    return run.id, f"{run.status}, {moment(run.created_at)}"


@offered
def versions(session: Session) -> Iterator[Offer]:
    yield from map(_version_in_words, _versions(session))


@offered
def approved_versions(session: Session) -> Iterator[Offer]:
    """The models that can be deployed again; one of them may be live."""
    yield from (_version_in_words(one) for one in _versions(session) if one.approved)


def _versions(session: Session) -> list[SeenVersion]:
    """The newest first, from where runs are taken, too."""
    return seen_versions(session.backend.models()) if session.settings.target == "local" else _seen(session).versions()


def _version_in_words(version: SeenVersion) -> Offer:
    from mlops_cli.console.words import moment

    return version.name, f"{version.said}, trained {moment(version.trained_at)}"


@offered
def stage_names(_: Session) -> Iterator[Offer]:
    yield from ((stage.name, stage.kind.value) for stage in STAGES)


@offered
def hyperparameters(session: Session) -> Iterator[Offer]:
    """As they stand in usecase.toml, to be changed."""
    for stage, values in session.use_case.hyperparameters.items():
        yield from ((f"{stage}.{name}={value}", f"of {stage}") for name, value in values.items())


@offered
def sources(_: Session) -> Iterator[Offer]:
    """When none of these fits, the shell offers files."""
    yield "sample", "made-up comments"
    yield "kaggle", "the competition that usecase.toml names"


@offered
def targets(_: Session) -> Iterator[Offer]:
    yield "local", "this machine"
    yield "aws", "an AWS account"
