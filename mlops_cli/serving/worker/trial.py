"""``python -m mlops_cli.serving.worker.trial``: load a model package as the server does, and answer the examples.

Exit with 0 if the package can be served, or with 1 and the reason as the last line. A package whose ``handler`` calls
the model over HTTP is only loaded, because it answers only inside a server.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from mlops_cli.files.model_archive import unpack
from mlops_cli.plain_text import clipped
from mlops_cli.serving.control_files import Limits
from mlops_cli.serving.worker.failures import describe
from mlops_cli.serving.worker.loading import LoadedModel, load_model
from mlops_cli.serving.worker.progress_board import ProgressBoard, open_board_file

# So many characters of an example are shown.
EXAMPLE_CHARACTERS = 80


def main() -> None:
    archive, folder, framework, request = sys.argv[1:]
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    try:
        unpack(Path(archive), Path(folder))
        model = load_model(Path(folder), framework, Limits())
        reason = _unanswered(model, Path(request).read_text(encoding="utf-8"))
    except Exception as failure:  # noqa: BLE001 - the package's code is the user's
        reason = describe(failure)
    if reason:
        sys.exit(reason.replace(f"{folder}/", ""))


def _unanswered(model: LoadedModel, examples: str) -> str:
    """Return why the model does not answer the examples, with the first one that it does not answer alone."""
    board = ProgressBoard(open_board_file())
    error = model.error_of(examples, board)
    if error is None:
        return ""
    for number, example in enumerate(json.loads(examples)["instances"], 1):
        if (own := model.error_of(json.dumps({"instances": [example]}), board)) is not None:
            shown = clipped(json.dumps(example), EXAMPLE_CHARACTERS)
            return f"it does not answer example {number} of [endpoint] in usecase.toml, {shown}: {describe(own)}"
    return f"it does not answer the examples of [endpoint] in usecase.toml together: {describe(error)}"


if __name__ == "__main__":
    main()
