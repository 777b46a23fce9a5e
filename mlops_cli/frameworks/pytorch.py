"""PyTorch. The container's default model_fn loads TorchScript, which is not a pickle of Python objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlops_cli.frameworks import formats
from mlops_cli.frameworks.base import CSV, JSON, NPY, Framework, Image, Toolkit


def model_fn(folder: Path) -> Any:
    import torch

    path = folder / "model.pt"
    if not path.is_file():
        files = sorted(file for file in folder.iterdir() if file.suffix in (".pt", ".pth"))
        if len(files) != 1:
            names = [file.name for file in files]
            raise ValueError(f"Exactly one .pth or .pt file is required for PyTorch models: {names}")
        (path,) = files
    return torch.jit.load(str(path), map_location=_device()).to(_device())


def input_fn(body: Any, content_type: str) -> Any:
    import torch

    array = formats.decode(body, content_type)
    tensor = torch.FloatTensor(array) if content_type in (JSON, CSV) else torch.from_numpy(array)
    return tensor.to(_device())


def predict_fn(data: Any, model: Any) -> Any:
    import torch

    with torch.no_grad():
        model = model.to(_device())
        model.eval()
        return model(data.to(_device()))


def output_fn(prediction: Any, accept: str) -> tuple[str | bytes, str]:
    plain = prediction.detach().cpu().numpy().tolist() if hasattr(prediction, "detach") else prediction
    return formats.encode(plain, accept)[0], accept


def _device() -> Any:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


FRAMEWORK = Framework(
    name="pytorch",
    title="PyTorch",
    extra="pytorch",
    modules=("torch", "safetensors"),
    package="torch",
    training=Image("2.10", python="py313"),
    serving=Image("2.6", python="py312"),
    training_repository="pytorch-training",
    repository="pytorch-inference",
    toolkit=Toolkit.INFERENCE,
    unnamed_packages=("torch", "safetensors"),
    content_types=(JSON, CSV, NPY),
    model_fn=model_fn,
    input_fn=input_fn,
    predict_fn=predict_fn,
    output_fn=output_fn,
)
