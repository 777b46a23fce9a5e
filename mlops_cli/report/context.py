"""The inputs of a report, the same for every target."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from mlops_cli.core.models.evidence import Evidence
from mlops_cli.core.models.metric_bounds import MACRO
from mlops_cli.core.runs import Run
from mlops_cli.errors import MlopsError
from mlops_cli.evaluation.bootstrap import confidence_interval, has_enough_rows, resample
from mlops_cli.evaluation.predictions import Predictions, read_predictions
from mlops_cli.files.json_text import parse_json

Interval = tuple[float, float]


class ReportedUseCase(Protocol):
    """The parts of a use case that a report shows."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def hyperparameters(self) -> Mapping[str, Mapping[str, str]]: ...


@dataclass(frozen=True)
class ReportContext:
    """``intervals``: confidence intervals of the primary metric by row; ``problem``: why some are missing.

    ``instances``: the inputs of the predicted rows. ``live_profile``: profile.json of the live model's data. ``files``:
    the training's own files, None for one that is too large.
    """

    use_case: ReportedUseCase
    run: Run
    evidence: Evidence
    predictions: Predictions | None
    instances: tuple[Any, ...]
    live_profile: Mapping[str, Any]
    intervals: Mapping[str, Interval]
    problem: str
    made_at: float
    files: Mapping[str, bytes | None] = field(default_factory=dict)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The content of metrics.json."""
        return self.run.training.detail

    @property
    def profile(self) -> Mapping[str, Any]:
        """The content of profile.json, of the run's own data."""
        return self.run.preparation.detail


def gather(
    use_case: ReportedUseCase,
    run: Run,
    evidence: Evidence,
    predictions: bytes | None,
    instances: bytes | None,
    live_profile: Mapping[str, Any],
    files: Mapping[str, bytes | None] | None = None,
) -> ReportContext:
    """Return the inputs of a run's report. ``predictions`` and ``instances`` are the contents of these files.

    A missing or malformed file only shortens the report; ``problem`` names the file.
    """
    predicted, problem = _predictions(predictions, evidence.split)
    inputs = _instances(instances, predicted) if predicted else ()
    intervals = _intervals(evidence.primary, predicted) if predicted else {}
    return ReportContext(
        use_case, run, evidence, predicted, inputs, live_profile, intervals, problem, time.time(), files or {}
    )


def _predictions(content: bytes | None, split: str) -> tuple[Predictions | None, str]:
    if content is None:
        return None, "the training wrote no predictions.json"
    try:
        predicted = read_predictions(content)
    except MlopsError as error:
        return None, error.message.rstrip(".")
    if predicted.split != split:
        return None, f"predictions.json is of the split {predicted.split}, the reported metrics are of {split}"
    return predicted, ""


def _instances(content: bytes | None, predicted: Predictions) -> tuple[Any, ...]:
    """Return the inputs of the rows; () unless there is one for each row."""
    try:
        inputs = parse_json(content or b"[]")
    except ValueError:
        return ()
    return tuple(inputs) if isinstance(inputs, list) and len(inputs) == len(predicted.rows) else ()


def _intervals(metric: str, predicted: Predictions) -> dict[str, Interval]:
    (values,) = resample(metric, [predicted.measured])
    names = [*(column.name for column in predicted.columns), MACRO]
    tells = [
        *(has_enough_rows(column) for column in predicted.columns),
        any(has_enough_rows(column) for column in predicted.columns),
    ]
    bounded = {
        name: confidence_interval(values[1:, position]) for position, name in enumerate(names) if tells[position]
    }
    return {name: interval for name, interval in bounded.items() if interval and np.isfinite(interval).all()}
