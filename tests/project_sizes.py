"""Count the lines of projects: ``python -m tests.project_sizes`` prints a table of docs/development/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from mlops_cli.project.scaffold.project_files import Kind, script_files
from tests.conftest import USE_CASES
from tests.e2e.test_guide import blocks

PARTS = ("usecase.toml", "training", "serving", "gates")
ALONE = {"BentoML": "with_bentoml.py", "MLflow": "with_mlflow.py"}


def lines(text: str) -> int:
    """Return the number of lines that are not empty."""
    return sum(bool(line.strip()) for line in text.splitlines())


def part_of(path: PurePosixPath) -> str:
    if path.suffix == ".toml":
        return "usecase.toml"
    if path.parts[1] == "tests":
        return "gates"
    return "serving" if path.name == "inference.py" else "training"


def starter(framework: str) -> dict[str, str]:
    files = script_files(Kind("churn", minimal=True, framework=framework))
    return {path: content.decode() for path, content in files.items() if path.startswith("training/")}


def guide(page: str, section: str = "") -> dict[str, str]:
    """Return the files of a guide's project; preprocess.py may be the starter's."""
    files = {name: text for name, _, text in blocks(page, section) if name.startswith("training/")}
    name = "training/preprocess.py"
    return {name: starter("sklearn")[name], **files}


def projects() -> dict[str, dict[str, str]]:
    return {
        "table, TensorFlow": starter("tensorflow"),
        "table, scikit-learn": starter("sklearn"),
        "table, XGBoost": starter("xgboost"),
        "table, PyTorch": starter("pytorch"),
        "[forecast](../guides/forecast.md), XGBoost": guide("guides/forecast.md"),
        "[pictures](../guides/images.md), Keras": guide("guides/images.md"),
        "[texts](../guides/text.md), PyTorch": guide("guides/text.md", "PyTorch"),
        "texts, Hugging Face": starter("huggingface"),
    }


def sizes(files: Mapping[str, str]) -> dict[str, int]:
    counts = dict.fromkeys(PARTS, 0)
    for name, text in files.items():
        counts[part_of(PurePosixPath(name))] += lines(text)
    return counts


def table() -> str:
    rows = [f"| project | {' | '.join(PARTS)} | all |", "|---|" + "---:|" * 5]
    for title, files in projects().items():
        counts = sizes(files)
        cells = " | ".join(str(counts[part]) for part in PARTS)
        rows.append(f"| {title} | {cells} | {sum(counts.values())} |")
    for title, name in ALONE.items():
        count = lines((USE_CASES / "serving_alone" / name).read_text())
        rows.append(f"| scikit-learn's table served by {title}, no more | | | {count} | | {count} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
