import os
from pathlib import Path

from hold import hold


def test_there_are_rows() -> None:
    hold("pre-training-tests")
    rows = Path(os.environ["MLOPS_DATA_DIR"], "train", "dataset.csv").read_text().splitlines()[1:]
    assert len(rows) >= 3, f"there are only {len(rows)} rows, expected at least 3"
