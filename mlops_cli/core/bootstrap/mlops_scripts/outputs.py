"""The files that a training writes beside the model: metrics.json, predictions.json, instances.json, its own plots."""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mlops_scripts.row_metrics import RowMetric, described
from mlops_scripts.table_metrics import TableMetric
from mlops_scripts.table_metrics import described as described_tables
from mlops_scripts.values import check_lengths, labels_of, numbers_of, shown

# More rows would make the report slow. The rows are chosen by their hash, which gives a fair sample.
MOST_ROWS = 20_000
# The files in this folder of SM_OUTPUT_DATA_DIR are shown in the report and kept in MLflow.
FILES = "files"
NEAR = 0.7


def write_metrics(rows: Mapping[str, Mapping[str, Any]], split: str = "test", **more: Any) -> None:
    """Write metrics.json. ``rows``: numbers by label, class, group or target; ``macro``: the row of their mean.

    ``more``: ``confusion`` and ``history`` (a list of {"epoch": 1, "loss": 0.4, ...}), which the report draws.
    """
    for row, metrics in rows.items():
        if not isinstance(metrics, Mapping):
            raise ValueError(
                f"write_metrics: {row} is {shown(metrics)}, expected the metrics of a row by name, such as "
                f'{{"label": {{"{row}": 0.5}}}}'
            )
    _write_json("metrics.json", {"metrics": {split: rows}, **more}, 1)


def labels(truth: Iterable[Any], probability: Iterable[Any], threshold: float | None = None) -> dict[str, Any]:
    """Return a column for ``write_predictions``: the truth of each row, 0 or 1, and the predicted probability."""
    chances = [float(f"{chance:.6g}") for chance in numbers_of("labels", "probability", probability)]
    true = labels_of("labels", "truth", truth)
    check_lengths("labels", truth=true, probability=chances)
    return {"kind": "label", "truth": true, "predicted": chances, "threshold": threshold}


def numbers(truth: Iterable[Any], predicted: Iterable[Any]) -> dict[str, Any]:
    """Return a column for ``write_predictions``: the true number of each row, and the predicted one."""
    true, values = numbers_of("numbers", "truth", truth), numbers_of("numbers", "predicted", predicted)
    check_lengths("numbers", truth=true, predicted=values)
    return {"kind": "number", "truth": true, "predicted": values}


def write_predictions(
    columns: Mapping[str, Mapping[str, Any]],
    instances: Sequence[Any],
    trained_on: Sequence[Any] | None = None,
    split: str = "test",
    one_of: bool = False,
    row_metrics: Mapping[str, RowMetric] | None = None,
    table_metrics: Mapping[str, TableMetric] | None = None,
) -> None:
    """Write the predictions on the rows of ``split``: the report draws curves from them, `mlops` compares models.

    ``instances``: each row as the endpoint gets it; a row is identified by this. ``trained_on``: the training rows in
    the same form, which a comparison leaves out. ``one_of``: exactly one of the labels, the class, is true.
    ``row_metrics``: your own metrics by name, each as ``row_metric`` takes it; ``table_metrics``: as ``table_metric``
    takes it.
    """
    for title, functions in {"row_metrics": row_metrics, "table_metrics": table_metrics}.items():
        _check_names(title, functions if isinstance(functions, Mapping) else {})
    for name, column in columns.items():
        check_lengths("write_predictions", instances=instances, **{f"the column {name}": column["truth"]})
    digests = [_digest(instance) for instance in instances]
    chosen = sorted(range(len(digests)), key=digests.__getitem__)[:MOST_ROWS]
    kept = {name: _chosen(column, chosen) for name, column in columns.items()}
    of_rows, of_table = described(row_metrics or {}, kept), described_tables(table_metrics or {}, kept)
    if twice := sorted(of_rows.keys() & of_table.keys()):
        raise ValueError(f"row_metrics and table_metrics both have {', '.join(twice)}; give one of them another name")
    content = {
        "split": split,
        "of": len(instances),
        "rows": [digests[row].hex() for row in chosen],
        "one_of": one_of,
        "columns": kept,
        "row_metrics": of_rows,
        "table_metrics": of_table,
        "trained_on": None if trained_on is None else _packed(trained_on),
    }
    _write_json("predictions.json", content)
    _write_json("instances.json", [instances[row] for row in chosen])


def _check_names(title: str, functions: Mapping[str, Any]) -> None:
    """Raise ValueError for a metric that has a similar name in metrics.json: it would not be compared."""
    path = _output() / "metrics.json"
    splits = json.loads(path.read_text(encoding="utf-8"))["metrics"] if path.is_file() else {}
    recorded = {metric for rows in splits.values() for row in rows.values() for metric in row}
    for name in functions:
        near = [] if name in recorded else get_close_matches(name, sorted(recorded), 1, NEAR)
        if near:
            raise ValueError(f"{title} has {name}, and metrics.json does not; did you mean {near[0]}?")


def add_files(*paths: str | Path) -> None:
    """Copy plots and other files into the output. The report shows images; MLflow keeps all files."""
    folder = _output() / FILES
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copy(path, folder)


def _chosen(column: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    return {name: [value[row] for row in rows] if isinstance(value, list) else value for name, value in column.items()}


def _digest(instance: Any) -> bytes:
    """Return a row's name: the hash of a text, or of the JSON of anything else."""
    text = instance if isinstance(instance, str) else json.dumps(instance, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=8).digest()


def _packed(instances: Sequence[Any]) -> str:
    heads = sorted(int.from_bytes(_digest(instance)[:4], "big") for instance in instances)
    return base64.b64encode(b"".join(head.to_bytes(4, "little") for head in heads)).decode()


def _output() -> Path:
    return Path(os.environ["SM_OUTPUT_DATA_DIR"])


def _write_json(name: str, content: Any, indent: int | None = None) -> None:
    for key in _not_finite(content, ""):
        raise ValueError(f"{name}: {key}, expected finite numbers; null stands for a value that is not known")
    _output().mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=indent, allow_nan=False, ensure_ascii=False, default=_plain)
    (_output() / name).write_text(text + "\n", encoding="utf-8")


def _not_finite(value: Any, key: str) -> Iterator[str]:
    """Yield the keys of numbers that JSON cannot represent."""
    if hasattr(value, "item") and not getattr(value, "shape", None):
        value = value.item()
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _not_finite(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, (list, tuple)):
        for position, part in enumerate(value):
            yield from _not_finite(part, f"{key}[{position}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{key} is {value}"


def _plain(value: Any) -> Any:
    """Return a number of numpy or pandas as a Python number."""
    return value.item() if hasattr(value, "item") else str(value)
