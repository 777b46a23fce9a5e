"""The six stages of the lifecycle as data: their order, what each is made of and what it takes in. No IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mlops_cli.errors import ConfigurationError

DATA = "data"


class Kind(str, Enum):
    """How a stage is executed; each target has one executor per kind."""

    PROCESSING = "processing"
    TRAINING = "training"
    GATE = "gate"
    APPROVAL = "approval"
    DEPLOY = "deploy"


@dataclass(frozen=True)
class Stage:
    """One step of the lifecycle.

    ``script`` is relative to ``training/``, as are the scripts that it ``packs`` into its output, if they are there.
    ``inputs`` names the stages whose output the stage takes in, or DATA for the dataset that ``download-data`` put in
    place.
    """

    name: str
    kind: Kind
    script: str = ""
    inputs: tuple[str, ...] = ()
    packs: tuple[str, ...] = ()


STAGES: tuple[Stage, ...] = (
    Stage("preprocess", Kind.PROCESSING, "preprocess.py", (DATA,)),
    Stage("pre-training-tests", Kind.GATE, "tests/test_pretraining.py", ("preprocess",)),
    Stage("train", Kind.TRAINING, "train.py", ("preprocess",), packs=("inference.py",)),
    Stage("approval", Kind.APPROVAL, inputs=("train",)),
    Stage("deploy", Kind.DEPLOY, inputs=("train",)),
    Stage("post-training-tests", Kind.GATE, "tests/test_posttraining.py", ("deploy",)),
)


def position(name: str, stages: Sequence[Stage] = STAGES) -> int:
    """Where in the line the stage called ``name`` stands, from 0."""
    names = [stage.name for stage in stages]
    if name not in names:
        raise ConfigurationError(f"There is no stage {name!r}.", f"The stages are: {', '.join(names)}.")
    return names.index(name)


def stage_named(name: str, stages: Sequence[Stage] = STAGES) -> Stage:
    return stages[position(name, stages)]
