import os
import sys
from pathlib import Path

import pytest
from table import TARGET, read

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GATE = tomllib.loads(Path("usecase.toml").read_text())["gates"]["pre-training"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_rents_are_plausible(split):
    low, high = GATE["rent"]
    target = read(Path(os.environ["MLOPS_DATA_DIR"], split))[TARGET]
    assert low <= target.min() and target.max() <= high, (
        f"rents of {target.min()} to {target.max()}, expected {low} to {high}"
    )


def test_few_years_are_guessed():
    share = read(Path(os.environ["MLOPS_DATA_DIR"], "train"))["guessed"].mean()
    allowed = GATE["most_unknown_years"]
    assert share <= allowed, f"{share:.0%} of the years are unknown, expected at most {allowed:.0%}"
