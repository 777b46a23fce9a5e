"""``python -m mlops_cli.serving.worker.trial``: load a model package as the server does, and answer the examples.

Exit with 0 if the package can be served, or with 1 and the reason as the last line. A package whose ``handler`` calls
the model over HTTP is only loaded, because it answers only inside a server.
"""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path

import falcon

from mlops_cli.files.model_archive import unpack
from mlops_cli.serving.control_files import Limits
from mlops_cli.serving.worker.loading import load_model
from mlops_cli.serving.worker.progress_board import ProgressBoard, open_board_file


def main() -> None:
    archive, folder, framework, request = sys.argv[1:]
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    try:
        unpack(Path(archive), Path(folder))
        model = load_model(Path(folder), framework, Limits())
        error = model.error_of(Path(request).read_text(encoding="utf-8"), ProgressBoard(open_board_file()))
    except Exception as failure:  # noqa: BLE001 - the package's code is the user's
        sys.exit(_one_line(_reason(failure, folder)))
    if error is not None:
        sys.exit(_one_line(f"it does not answer [endpoint].examples of usecase.toml: {_reason(error, folder)}"))


def _reason(error: BaseException, folder: str) -> str:
    """Return the cause in words, with its place in the package, which is unpacked in ``folder``.

    The original exception says more than the container's error response.
    """
    if isinstance(error, falcon.HTTPError):
        cause = error.__cause__
        return _reason(cause, folder) if cause is not None else f"{error.status} {error.description or ''}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(f"{folder}/")]
    line = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{line}".replace(f"{folder}/", "")


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
