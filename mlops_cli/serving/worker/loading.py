"""Load a model package with the runtime of its framework, and send it a first request."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.frameworks import framework_named
from mlops_cli.monitoring.statistics import EXCLUDE_FROM_STATISTICS
from mlops_cli.serving.control_files import Limits
from mlops_cli.serving.worker.batch import Batch, Invocation
from mlops_cli.serving.worker.failures import describe
from mlops_cli.serving.worker.handlers import MODEL_NAME, Context
from mlops_cli.serving.worker.lane import Engine
from mlops_cli.serving.worker.progress_board import ProgressBoard

log = logging.getLogger("mlops.server")


@dataclass(frozen=True)
class LoadedModel:
    """``predictions`` answers a ``handler`` that sends requests to the model over HTTP."""

    requests: Engine
    version: str
    predictions: Engine | None = None

    def warm_up(self, examples: str, board: ProgressBoard) -> None:
        """Send the use case's examples, because a model's first call is slow. Serve the model even if this fails."""
        error = self.error_of(examples, board)
        if error is not None:
            log.warning("the model does not answer the examples of usecase.toml: %s", describe(error))

    def error_of(self, examples: str, board: ProgressBoard) -> BaseException | None:
        """Return the error of a request with the examples; None without an error, examples, or for a ``handler``."""
        if not examples or self.predictions is not None:
            return None
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
            content_length=len(examples.encode()),
            timeout=Limits.request_seconds,
        )
        invocation = Invocation(0, examples.encode(), context)
        self.requests.run(Batch([invocation], board, 0, lambda _batch: None))
        return invocation.error


def load_model(package: Path, framework_name: str, limits: Limits, batching: bool = False) -> LoadedModel:
    """Load the package. Raise ModelError, TensorFlowError or the package's own exception.

    ``batching``: the package's predict_fn gets the rows of several requests.
    """
    framework = framework_named(framework_name)
    if framework.uses_handlers:
        from mlops_cli.serving.runtime.script_model import ScriptModel
        from mlops_cli.serving.worker.script_predictor import ScriptPredictor

        script_model = ScriptModel(package, framework, batching)
        return LoadedModel(ScriptPredictor(script_model), script_model.version)
    from mlops_cli.serving.runtime.saved_model import Model
    from mlops_cli.serving.worker import handlers
    from mlops_cli.serving.worker.predictor import Predictor, WholeHandler

    model = Model(package, intra_threads=1, inter_threads=min(8, os.cpu_count() or 1))
    own = handlers.load(package)
    predictor = Predictor(model, own, limits)
    if own.whole is None:
        return LoadedModel(predictor, model.version)
    return LoadedModel(WholeHandler(own.whole), model.version, predictor)
