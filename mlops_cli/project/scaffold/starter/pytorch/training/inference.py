"""Between the client and the model: {"instances": [{"months": 2, ...}]} to {"predictions": [{"left": 0.93}]}.

SageMaker's PyTorch container and the server on one machine call these functions.
"""

import json
from pathlib import Path
from typing import Any

import torch
from network import TARGET, network, table
from safetensors.torch import load_file


def model_fn(model_dir: str) -> Any:
    """Load the model: safetensors keeps its numbers, so that loading it runs no code of the file's."""
    model = network()
    model.load_state_dict(load_file(Path(model_dir, "model.safetensors")))
    return model.eval()


def input_fn(body: str | bytes, content_type: str) -> Any:
    """Return one row for each instance."""
    return table(json.loads(body)["instances"])


def predict_fn(rows: Any, model: Any) -> Any:
    """Return the chance that the customer leaves, for each row."""
    with torch.no_grad():
        return model(rows).sigmoid().tolist()


def output_fn(chances: list[float], accept: str) -> tuple[str, str]:
    """Return the answer and its content type."""
    return json.dumps({"predictions": [{TARGET: chance} for chance in chances]}), "application/json"
