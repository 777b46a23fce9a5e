"""Predictions of the tiny use case, and rows for its metrics."""

from __future__ import annotations

from pathlib import Path

# Appended to train.py: predictions that are the better the more epochs there are; rows say by their id what they are.
PREDICTIONS = """
import csv, hashlib, random
from base64 import b64encode

rows = list(csv.DictReader((Path(os.environ["SM_CHANNEL_TEST"]) / "dataset.csv").open()))
rows = [row for row in rows if row["id"].startswith("test")]
name = lambda row: hashlib.sha256(row["text"].encode()).hexdigest()[:16]
truth = [int(row["long"]) for row in rows]
noise = random.Random(1)
predicted = [min(max(0.5 + (true - 0.5) * 0.2 * arguments.epochs + noise.gauss(0, 0.2), 0), 1) for true in truth]
learnt = csv.DictReader((Path(os.environ["SM_CHANNEL_TRAIN"]) / "dataset.csv").open())
learnt = [row for row in learnt if row["id"].startswith("train")]
heads = b"".join(bytes.fromhex(name(row)[:8])[::-1] for row in learnt)
document = {
    "split": "test", "of": len(rows), "rows": [name(row) for row in rows], "trained_on": b64encode(heads).decode(),
    "columns": {"long": {"kind": "label", "truth": truth, "predicted": predicted, "threshold": 0.5}},
}
output = Path(os.environ["SM_OUTPUT_DATA_DIR"])

from mlops_scripts import row_metric
from mlops_scripts.row_metrics import described

def cost(true, predicted):
    return abs(true - predicted)

document["row_metrics"] = described({"cost": cost}, document["columns"])

from mlops_scripts import table_metric
from mlops_scripts.table_metrics import described as described_tables

def p90(truths, predictions):
    errors = sorted(abs(true - guess) for true, guess in zip(truths, predictions, strict=True))
    return errors[int(0.9 * len(errors))]

document["table_metrics"] = described_tables({"p90": p90}, document["columns"])
metrics = json.loads((output / "metrics.json").read_text())
metrics["metrics"]["test"]["long"]["cost"] = row_metric(cost, document["columns"])
metrics["metrics"]["test"]["long"]["p90"] = table_metric(p90, document["columns"])
(output / "metrics.json").write_text(json.dumps(metrics))
(output / "predictions.json").write_text(json.dumps(document))
(output / "instances.json").write_text(json.dumps([row["text"] for row in rows]))
(model / "predictions.sha256").write_text(hashlib.sha256(json.dumps(document).encode()).hexdigest())
"""


def row(kind: str, number: int) -> str:
    """Return a test row or a training row. Texts with the label are longer, so a model that counts letters is right."""
    long = number % 2
    return f"{kind}{number},{'a longer text' if long else 'short'} {number},{long}\n"


def write_rows(path: Path, *rows: str) -> None:
    path.write_text("id,text,long\n" + "".join(rows))


def first_rows() -> list[str]:
    """Return 200 test rows and, with other numbers, 300 training rows."""
    return [*(row("test", number) for number in range(200)), *(row("train", number) for number in range(1000, 1300))]


def later_rows() -> list[str]:
    """Return 300 test rows: 100 earlier test rows, 140 new rows, and 60 rows of the earlier training."""
    known_and_new = (row("test", number) for number in range(100, 340))
    learnt = (row("test", number) for number in range(1000, 1060))
    return [*known_and_new, *learnt, row("train", 5000)]
