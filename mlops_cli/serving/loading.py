"""Load a model package with the runtime of its framework, and send it a first request."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlops_cli.frameworks import framework_named
from mlops_cli.monitoring.statistics import EXCLUDE_FROM_STATISTICS
from mlops_cli.serving.control_files import Limits
from mlops_cli.serving.handlers import MODEL_NAME, Answer, Context


class Predictor(Protocol):
    """Answers requests with one loaded model."""

    async def invoke(self, body: bytes, context: Context, is_gone: Callable[[], bool]) -> Answer: ...

    async def predict(self, body: bytes, context: Context, is_gone: Callable[[], bool]) -> Answer: ...

    @property
    def is_stuck(self) -> bool: ...


@dataclass(frozen=True)
class LoadedModel:
    """``calls_itself``: its handler sends requests to the model over HTTP, so it answers only inside a server."""

    predictor: Predictor
    version: str
    calls_itself: bool = False

    async def answer_examples(self, body: str) -> Answer:
        """Return the answer to a request with the use case's examples; raise what a request raises."""
        context = Context(
            model_name=MODEL_NAME,
            model_version=None,
            method=None,
            rest_uri="",
            grpc_port=None,
            channel=None,
            custom_attributes=EXCLUDE_FROM_STATISTICS,
            request_content_type="application/json",
            accept_header="application/json",
            content_length=len(body.encode()),
            timeout=Limits.request_seconds,
        )
        return await self.predictor.invoke(body.encode(), context, lambda: False)


def load_model(package: Path, framework_name: str, limits: Limits) -> LoadedModel:
    """Load the package in the running event loop; raise ModelError, TensorFlowError or the package's own exception."""
    framework = framework_named(framework_name)
    if framework.uses_handlers:
        from mlops_cli.serving.script_model import ScriptModel
        from mlops_cli.serving.script_predictor import ScriptPredictor

        script_model = ScriptModel(package, framework)
        return LoadedModel(ScriptPredictor(script_model, limits), script_model.version)
    from mlops_cli.serving import handlers, predictor
    from mlops_cli.serving.runtime.saved_model import Model

    model = Model(package, intra_threads=1, inter_threads=min(8, os.cpu_count() or 1))
    own = handlers.load(package)
    return LoadedModel(predictor.Predictor(model, own, limits), model.version, calls_itself=own.whole is not None)
