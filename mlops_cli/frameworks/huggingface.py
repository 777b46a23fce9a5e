"""Hugging Face transformers on PyTorch. Training images are for GPUs only."""

from __future__ import annotations

from mlops_cli.frameworks import formats
from mlops_cli.frameworks.base import CSV, JSON, NPY, Framework, Image, Toolkit

FRAMEWORK = Framework(
    name="huggingface",
    title="Hugging Face",
    extra="huggingface",
    modules=("transformers", "torch", "safetensors"),
    package="transformers",
    training=Image("5.3.0", python="py312", base_framework="pytorch2.9.0"),
    serving=Image("5.5.3", python="py312", base_framework="pytorch2.6.0"),
    training_repository="huggingface-pytorch-training",
    repository="huggingface-pytorch-inference",
    toolkit=Toolkit.INFERENCE,
    unnamed_packages=("transformers", "torch", "safetensors"),
    has_cpu_training=False,
    content_types=(JSON, CSV, NPY),
    input_fn=formats.decode,
    output_fn=formats.encode,
)
