"""The evidence about a model before a decision, from files that each target provides.

The comparison with the live model is made once for each pair of models and saved, because its inputs never change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from mlops_cli.core.endpoint import InvocationResponse
from mlops_cli.core.models.comparison import Comparison, comparison_from
from mlops_cli.errors import MlopsError
from mlops_cli.files.json_text import parse_json

if TYPE_CHECKING:
    from mlops_cli.core.models.evidence import Evidence
    from mlops_cli.core.runs import Run
    from mlops_cli.evaluation.predictions import Predictions

PREDICTIONS, INSTANCES = "predictions.json", "instances.json"
# A folder in the training's output with its own plots and files.
FILES = "files"
# With more, the report would be too large for a browser.
MOST_FILES, LARGEST_FILE = 24, 2_000_000
BATCH_ROWS = 100
Invoke = Callable[[bytes, str], InvocationResponse]
Notify = Callable[[int, int, str], None]


def no_message(done: int, total: int, message: str) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class TrainingOutputs:
    """The contents of a training's files beside metrics.json; None for a file that it did not write.

    ``files``: its own plots and other files by name; None for one that is too large to be shown.
    """

    predictions: bytes | None = None
    instances: bytes | None = None
    files: Mapping[str, bytes | None] = field(default_factory=dict)


class RenderReport(Protocol):
    """Return the HTML report of a run. ``live_run`` trained the live model. Raise MlopsError without a model."""

    def __call__(self, run: Run, evidence: Evidence, outputs: TrainingOutputs, live_run: Run | None) -> str: ...


@dataclass(frozen=True)
class ModelPair:
    """The two models to compare, by their digests, and the metric of the comparison."""

    new: str
    live: str
    metric: str
    lower_is_better: bool = False

    @property
    def _key(self) -> list[Any]:
        return [self.new, self.live, self.metric, self.lower_is_better]

    def save_comparison(self, comparison: Comparison) -> dict[str, Any]:
        """Return the comparison as a document to save."""
        return {"pair": self._key, "comparison": comparison.to_dict()}

    def saved_comparison(self, document: Mapping[str, Any] | None) -> Comparison | None:
        """Return the saved comparison; None if it is about another pair."""
        if not document or document.get("pair") != self._key:
            return None
        return comparison_from(document["comparison"])


def compare_models(
    pair: ModelPair, new: TrainingOutputs, live: TrainingOutputs, ask: Invoke, notify: Notify = no_message
) -> Comparison:
    """Compare both models on the same test rows. Ask the live endpoint for predictions that are missing.

    If the comparison fails, the reason becomes its ``problem``.
    """
    try:
        comparison = _compute_comparison(pair.metric, new, live, ask, notify)
    except MlopsError as error:
        comparison = Comparison(pair.metric, problem=error.message.rstrip("."))
    return replace(comparison, lower_is_better=pair.lower_is_better)


def _compute_comparison(
    metric: str, new: TrainingOutputs, live: TrainingOutputs, ask: Invoke, notify: Notify
) -> Comparison:
    from mlops_cli.evaluation.champion_challenger import compare, unknown_rows, with_predictions

    mine, theirs = _read(new), _read(live)
    if mine is None:
        raise MlopsError(f"the training wrote no {PREDICTIONS}")
    written = _parsed(new.instances or b"[]", INSTANCES)
    instances = written if isinstance(written, list) else []
    positions = unknown_rows(mine, theirs)
    # The endpoint returns predictions, but no values of the project's own function.
    is_own = metric in mine.own_metrics
    requested = len(positions) if len(instances) == len(mine.rows) and not is_own else 0
    if requested:
        answers = _live_predictions([instances[position] for position in positions], ask, notify)
        theirs = with_predictions(mine, theirs, positions, answers)
    if theirs is None:
        raise MlopsError(f"the live model's training wrote no {PREDICTIONS}, and this one's no {INSTANCES}")
    return compare(metric, mine, theirs, requested)


def _parsed(content: bytes, name: str) -> Any:
    try:
        return parse_json(content)
    except ValueError as error:
        raise MlopsError(f"{name} is not JSON: {error}") from None


def _read(outputs: TrainingOutputs) -> Predictions | None:
    from mlops_cli.evaluation.predictions import read_predictions

    return read_predictions(outputs.predictions) if outputs.predictions else None


def _live_predictions(instances: Sequence[Any], ask: Invoke, notify: Notify) -> list[Mapping[str, Any]]:
    """Return the live endpoint's predictions for the rows, requested in batches."""
    answers: list[Mapping[str, Any]] = []
    for start in range(0, len(instances), BATCH_ROWS):
        answers += _predict_batch(ask, instances[start : start + BATCH_ROWS])
        notify(len(answers), len(instances), "test rows sent to the live model")
    return answers


def _predict_batch(ask: Invoke, instances: Sequence[Any]) -> list[Mapping[str, Any]]:
    answer = ask(json.dumps({"instances": instances}).encode(), "application/json")
    if answer.status != 200:
        raise MlopsError(f"the live endpoint answered {answer.status} to the test rows")
    document = _parsed(answer.body, "the live endpoint's answer")
    predictions = document.get("predictions") if isinstance(document, dict) else None
    if not isinstance(predictions, list) or not all(isinstance(prediction, dict) for prediction in predictions):
        raise MlopsError("the live endpoint's answers are not one name-to-number object for each row")
    if len(predictions) != len(instances):
        raise MlopsError(f"the live endpoint gave {len(predictions)} answers to {len(instances)} rows")
    return predictions
