import argparse
import json
import os
import shutil
from pathlib import Path

from hold import hold

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, required=True)
arguments = parser.parse_args()

model = Path(os.environ["SM_MODEL_DIR"])
for epoch in range(1, arguments.epochs + 1):
    print(f"progress {epoch}/{arguments.epochs} epoch {epoch}", flush=True)
    hold("train")
(model / "code").mkdir()
shutil.copy(Path(__file__).with_name("inference.py"), model / "code")
(model / "epochs.txt").write_text(str(arguments.epochs))
quality = min(0.4 + 0.2 * arguments.epochs, 0.99)
rows = {"long": {"roc_auc": quality, "positives": 3}, "macro": {"roc_auc": quality}}
Path(os.environ["SM_OUTPUT_DATA_DIR"], "metrics.json").write_text(json.dumps({"metrics": {"test": rows}}))
