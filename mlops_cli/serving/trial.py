"""``python -m mlops_cli.serving.trial``: load a model package as the server does and answer the use case's examples.

Ends with 0 if the package can be served, else with 1 and the reason as its last line. A package whose ``handler``
calls the model over HTTP is only loaded: it answers only inside a server.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import falcon

from mlops_cli.files.model_archive import unpack
from mlops_cli.serving.control_files import Limits
from mlops_cli.serving.loading import load_model
from mlops_cli.serving.predictor import http_error
from mlops_cli.serving.runtime.predict_api import PredictError
from mlops_cli.serving.runtime.tensorflow_c import TensorFlowError


def main() -> None:
    archive, folder, framework, examples = sys.argv[1:]
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    try:
        unpack(Path(archive), Path(folder))
        asyncio.run(_try(Path(folder), framework, Path(examples).read_text(encoding="utf-8")))
    except Exception as error:
        logging.getLogger("mlops.server").debug("the trial failed", exc_info=True)
        sys.exit(" ".join(_reason(error).split()))


async def _try(package: Path, framework: str, examples: str) -> None:
    model = load_model(package, framework, Limits())
    if not examples or model.calls_itself:
        return
    try:
        await model.answer_examples(examples)
    except Exception as error:
        raise RuntimeError(f"it does not answer [endpoint].examples of usecase.toml: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, (PredictError, TensorFlowError)):
        error = http_error(error)
    if isinstance(error, falcon.HTTPError):
        error = error.__cause__ if isinstance(error.__cause__, Exception) else error
    if isinstance(error, falcon.HTTPError):
        return f"{error.status} {error.description or ''}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


if __name__ == "__main__":
    main()
