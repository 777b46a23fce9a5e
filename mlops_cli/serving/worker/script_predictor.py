"""Pass requests through the functions of a script model, one at a time, as a container's worker does."""

from __future__ import annotations

from mlops_cli.serving.runtime.script_model import AnswerError, ScriptModel
from mlops_cli.serving.worker.batch import Batch, Invocation


class ScriptPredictor:
    """Answers requests with a script model."""

    # Only one thread calls the functions unless they hang, because their author does not expect several threads.
    patience = 5

    def __init__(self, model: ScriptModel) -> None:
        self._model = model

    def run(self, batch: Batch) -> None:
        for invocation in batch.invocations:
            batch.attempt(self._answer, invocation)

    def _answer(self, invocation: Invocation) -> None:
        if invocation.predict_only:
            raise AnswerError(404, "This model is not served by TensorFlow Serving.")
        context = invocation.context
        content_type, accept = context.request_content_type, context.accept_header
        invocation.answer = self._model.answer(invocation.body, content_type, accept)
