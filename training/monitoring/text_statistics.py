"""Features of a text and its prediction for drift detection: numbers that reveal no text.

The model itself counts the words, so there is no second definition of a word. The same function measures the test rows
at the training and the requests at the endpoint.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mlops_scripts import observation

# The modules that inference.py imports, and the package that counts.
MODULES = ("monitoring/__init__.py", "monitoring/text_statistics.py")
LIBRARY = Path(observation.__file__).parent

# The outputs of the model for one text, by name.
Answer = Mapping[str, Any]


def measure(labels: Sequence[str], texts: Sequence[str], answers: Sequence[Answer]) -> dict[str, list[float | None]]:
    """Return one value per text for each name: the length, the share of unknown words, the score of each label."""
    return {
        "characters": [len(text) for text in texts],
        "words": [answer["words"] for answer in answers],
        "unknown words": [answer["unknown_words"] if answer["words"] else None for answer in answers],
        **{
            f"score {label}": [answer["probabilities"][index] for answer in answers]
            for index, label in enumerate(labels)
        },
    }


def measure_with(labels: Sequence[str]) -> observation.Measure:
    """Return ``measure`` for these labels."""
    return partial(measure, labels)


def export(
    code: Path,
    output: Path,
    texts: Sequence[str],
    answers: Sequence[Answer],
    labels: Sequence[str],
    weights: Sequence[float],
) -> None:
    """Write the modules that measure requests, and the reference: the features of rows outside of the training split.

    ``weights`` adapt these rows to the population in which the model is used.
    """
    for name in MODULES:
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(__file__).parents[1] / name, code / name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(LIBRARY, code / LIBRARY.name, ignore=ignored, dirs_exist_ok=True)
    observation.write_reference([code, output], measure(labels, texts, answers), weights)
