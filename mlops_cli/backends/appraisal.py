"""What there is to see of a model before a decision, whichever target it was trained on: both targets bring files.

The comparison with the live model is made once for each pair of models, and written down: what it rests on never
changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlops_cli.backends.base import Answer
from mlops_cli.comparison import Comparison, comparison_from
from mlops_cli.errors import MlopsError

if TYPE_CHECKING:
    from mlops_cli.evidence import Evidence
    from mlops_cli.measures.predictions import Predictions
    from mlops_cli.runs import Run
    from mlops_cli.usecase import UseCase

PREDICTIONS, INSTANCES = "predictions.json", "instances.json"
ASKED_TOGETHER = 100
Invoke = Callable[[bytes, str], Answer]
Tell = Callable[[int, int, str], None]


def quiet(done: int, total: int, message: str) -> None:
    """A Tell that shows nothing."""


@dataclass(frozen=True)
class Written:
    """The contents of what a training wrote beside metrics.json; None for a file that it did not write."""

    predictions: bytes | None = None
    instances: bytes | None = None


@dataclass(frozen=True)
class Pair:
    """The models that are compared, by their digests, and the metric that it is done by."""

    new: str
    live: str
    metric: str
    lower_is_better: bool = False

    @property
    def _key(self) -> list[Any]:
        return [self.new, self.live, self.metric, self.lower_is_better]

    def note(self, found: Comparison) -> dict[str, Any]:
        """The comparison to be written down."""
        return {"pair": self._key, "comparison": found.to_dict()}

    def noted(self, document: Mapping[str, Any] | None) -> Comparison | None:
        """The comparison that was written down, if it is of this pair."""
        if not document or document.get("pair") != self._key:
            return None
        return comparison_from(document["comparison"])


def compared(pair: Pair, new: Written, live: Written, ask: Invoke, tell: Tell = quiet) -> Comparison:
    """Both models on the same test rows; the live endpoint is asked about those that nothing is known of.

    What keeps it from being made is told as the comparison's ``problem``.
    """
    try:
        found = _compared(pair.metric, new, live, ask, tell)
    except MlopsError as error:
        found = Comparison(pair.metric, problem=error.message.rstrip("."))
    return replace(found, lower_is_better=pair.lower_is_better)


def _compared(metric: str, new: Written, live: Written, ask: Invoke, tell: Tell) -> Comparison:
    from mlops_cli.measures.challenge import compare, unknown_rows, with_answers

    mine, theirs = _read(new), _read(live)
    if mine is None:
        raise MlopsError(f"the training wrote no {PREDICTIONS}")
    instances = json.loads(new.instances or b"[]")
    places = unknown_rows(mine, theirs)
    asked = len(places) if len(instances) == len(mine.rows) else 0
    if asked:
        answers = _answers([instances[place] for place in places], ask, tell)
        theirs = with_answers(mine, theirs, places, answers)
    if theirs is None:
        raise MlopsError(f"the live model's training wrote no {PREDICTIONS}, and this one's no {INSTANCES}")
    return compare(metric, mine, theirs, asked)


def _read(written: Written) -> Predictions | None:
    from mlops_cli.measures.predictions import read_predictions

    return read_predictions(written.predictions) if written.predictions else None


def _answers(instances: Sequence[Any], ask: Invoke, tell: Tell) -> list[Mapping[str, Any]]:
    """What the live endpoint says of the rows, some of them at a time."""
    answers: list[Mapping[str, Any]] = []
    for start in range(0, len(instances), ASKED_TOGETHER):
        answers += _asked(ask, instances[start : start + ASKED_TOGETHER])
        tell(len(answers), len(instances), "test rows asked of the live model")
    return answers


def _asked(ask: Invoke, instances: Sequence[Any]) -> list[Mapping[str, Any]]:
    answer = ask(json.dumps({"instances": instances}).encode(), "application/json")
    if answer.status != 200:
        raise MlopsError(f"the live endpoint answered {answer.status} to the test rows")
    document = json.loads(answer.body)
    predictions = document.get("predictions") if isinstance(document, dict) else None
    if not isinstance(predictions, list) or not all(isinstance(one, dict) for one in predictions):
        raise MlopsError("the live endpoint's answers are not one name-to-number object for each row")
    if len(predictions) != len(instances):
        raise MlopsError(f"the live endpoint gave {len(predictions)} answers to {len(instances)} rows")
    return predictions


def page(use_case: UseCase, run: Run, evidence: Evidence, written: Written, live_run: Run | None) -> str:
    """The HTML report of a run; ``live_run`` is the one that made the live model. Raises MlopsError without a model."""
    from mlops_cli.report import gather, report_html

    if not run.stage("train").output:
        raise MlopsError(f"Run {run.id} has no model to report about yet.", "Continue it: mlops run")
    profile = live_run.stage("preprocess").detail if live_run else {}
    return report_html(gather(use_case, run, evidence, written.predictions, written.instances, profile))
