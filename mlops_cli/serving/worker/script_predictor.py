"""Pass requests through the functions of a script model: one at a time, or their rows in one call of predict_fn."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_cli.serving.runtime import rows
from mlops_cli.serving.runtime.script_model import AnswerError, ScriptModel
from mlops_cli.serving.worker.batch import Batch, Invocation


@dataclass
class State:
    """A request after input_fn. ``was_joined``: predict_fn was called with its rows and others'."""

    data: Any
    was_joined: bool = False
    is_predicted: bool = False
    prediction: Any = None


class ScriptPredictor:
    """Answers requests with a script model."""

    # Only one thread calls the functions unless they hang, because their author does not expect several threads.
    patience = 5

    def __init__(self, model: ScriptModel) -> None:
        self._model = model

    def run(self, batch: Batch) -> None:
        if self._model.joins_rows and len(batch.invocations) > 1:
            for group in self._groups(batch):
                batch.attempt_together(self._predict_together, group, keeps=False)
        for invocation in batch.invocations:
            batch.attempt(self._answer, invocation)

    def _groups(self, batch: Batch) -> list[list[Invocation]]:
        """Return the requests whose rows can be joined."""
        groups: dict[Hashable, list[Invocation]] = {}
        for invocation in batch.invocations:
            if invocation.state is None and not invocation.predict_only:
                batch.attempt(self._read, invocation)
            state: State | None = invocation.state
            if state is not None and not state.was_joined and (kind := rows.kind(state.data)) is not None:
                groups.setdefault(kind, []).append(invocation)
        return [group for group in groups.values() if len(group) > 1]

    def _read(self, invocation: Invocation) -> None:
        invocation.state = State(self._model.read(invocation.body, invocation.context.request_content_type))

    def _predict_together(self, group: Sequence[Invocation]) -> None:
        states: list[State] = [invocation.state for invocation in group]
        for state in states:
            state.was_joined = True
        predictions = self._model.predict_together([state.data for state in states])
        for state, prediction in zip(states, predictions, strict=True):
            state.prediction, state.is_predicted = prediction, True

    def _answer(self, invocation: Invocation) -> None:
        if invocation.predict_only:
            raise AnswerError(404, "This model is not served by TensorFlow Serving.")
        state: State | None = invocation.state
        accept = invocation.context.accept_header
        if state is None or (state.was_joined and not state.is_predicted):  # a failed call may have changed its data
            content_type = invocation.context.request_content_type
            invocation.answer = self._model.answer(invocation.body, content_type, accept)
        else:
            prediction = state.prediction if state.is_predicted else self._model.predict(state.data)
            invocation.answer = self._model.write(prediction, accept)
