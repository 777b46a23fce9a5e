import argparse
import shutil
from pathlib import Path

from hold import hold

parser = argparse.ArgumentParser()
parser.add_argument("--input-dir", type=Path, required=True)
parser.add_argument("--output-dir", type=Path, required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()

for split in ("train", "test"):
    (arguments.output_dir / split).mkdir()
    shutil.copy(arguments.input_dir / "dataset.csv", arguments.output_dir / split)
    hold("preprocess")
