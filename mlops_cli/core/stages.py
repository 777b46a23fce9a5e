"""The six stages of the lifecycle as data: their order, scripts and inputs. No IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mlops_cli.errors import ConfigurationError

DATA = "data"
FIRST_INPUT = "input"
# The command before the first stage. The time limit of a script that writes data has this name.
DOWNLOAD = "download-data"


class Kind(str, Enum):
    """The kind of execution. Each target has one executor for each kind."""

    PROCESSING = "processing"
    TRAINING = "training"
    GATE = "gate"
    APPROVAL = "approval"
    DEPLOY = "deploy"


@dataclass(frozen=True)
class Stage:
    """One stage of the lifecycle.

    ``script`` is relative to ``training/``. So are the scripts that it ``packs`` into its output, if they exist.
    ``inputs``: the stages whose output it reads, the main one first; DATA is the dataset of ``download-data``.
    """

    name: str
    kind: Kind
    script: str = ""
    inputs: tuple[str, ...] = ()
    packs: tuple[str, ...] = ()

    @property
    def folders(self) -> dict[str, str]:
        """The inputs that are folders, by the name that a script uses. The first one is FIRST_INPUT."""
        sources = [source for source in self.inputs if source != DEPLOYMENT.name]
        return {source.replace("-", "_") if number else FIRST_INPUT: source for number, source in enumerate(sources)}

    @property
    def tests_endpoint(self) -> bool:
        return DEPLOYMENT.name in self.inputs


STAGES: tuple[Stage, ...] = (
    Stage("preprocess", Kind.PROCESSING, "preprocess.py", (DATA,)),
    Stage("pre-training-tests", Kind.GATE, "tests/test_pretraining.py", ("preprocess",)),
    Stage("train", Kind.TRAINING, "train.py", ("preprocess",), packs=("inference.py",)),
    Stage("approval", Kind.APPROVAL, inputs=("train",)),
    Stage("deploy", Kind.DEPLOY, inputs=("train",)),
    Stage("post-training-tests", Kind.GATE, "tests/test_posttraining.py", ("deploy",)),
)


# The stages by their role, independent of their names.
PREPARATION = next(stage for stage in STAGES if DATA in stage.inputs)
TRAINING = next(stage for stage in STAGES if stage.kind is Kind.TRAINING)
APPROVAL = next(stage for stage in STAGES if stage.kind is Kind.APPROVAL)
# A rollback is a run that starts at the deployment.
DEPLOYMENT = next(stage for stage in STAGES if stage.kind is Kind.DEPLOY)
# The last gate tests the deployed model. If it fails, the previous model is deployed again.
ENDPOINT_GATE = next(stage for stage in reversed(STAGES) if stage.kind is Kind.GATE)
JOBS = tuple(stage for stage in STAGES if stage.kind in (Kind.PROCESSING, Kind.TRAINING))


def position(name: str, stages: Sequence[Stage] | None = None) -> int:
    """Return the index of the stage in ``stages``, by default in STAGES."""
    names = [stage.name for stage in (STAGES if stages is None else stages)]
    if name not in names:
        from difflib import get_close_matches

        near = get_close_matches(name, names, 1)
        question = f"Did you mean {near[0]}? " if near else ""
        raise ConfigurationError(f"There is no stage {name!r}.", f"{question}The stages are: {', '.join(names)}.")
    return names.index(name)


def stage_named(name: str, stages: Sequence[Stage] | None = None) -> Stage:
    return (STAGES if stages is None else stages)[position(name, stages)]
