"""Functions that all scripts need: `import mlops_scripts` in training/, on one machine and in the containers on AWS.

The package needs only Python. `mlops` adds it to the path of every script and gate, and sends it with the code of a
job.
"""

from __future__ import annotations

from mlops_scripts.classes import class_metrics, classes
from mlops_scripts.endpoint import predict
from mlops_scripts.metrics import label_metrics, number_metrics
from mlops_scripts.outputs import add_files, labels, numbers, write_metrics, write_predictions
from mlops_scripts.packing import pack_code
from mlops_scripts.row_metrics import row_metric
from mlops_scripts.skops_files import load_skops, save_skops
from mlops_scripts.table_metrics import table_metric
from mlops_scripts.tables import read_rows, split_csv

__all__ = [
    "add_files",
    "class_metrics",
    "classes",
    "label_metrics",
    "labels",
    "load_skops",
    "number_metrics",
    "numbers",
    "pack_code",
    "predict",
    "read_rows",
    "row_metric",
    "save_skops",
    "split_csv",
    "table_metric",
    "write_metrics",
    "write_predictions",
]
