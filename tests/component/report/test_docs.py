"""docs/reference/evidence.md names exactly the files of a use case that the report reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlops_cli.core.jobs.script_environment import LIBRARY
from mlops_cli.core.models.metric_bounds import Metrics
from mlops_cli.evaluation.bootstrap import AT_THRESHOLD, FEWEST, OF_NUMBERS, PLAIN, RESAMPLES
from mlops_cli.evaluation.predictions import read_predictions
from mlops_cli.report import report_html
from tests.component.report.materials import make, use_case
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "reference" / "evidence.md").read_text()


def test_the_example_makes_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    match = re.search(r"<!-- executed.*?-->\n```python\n(.*?)```", PAGE, re.S)
    assert match
    monkeypatch.setenv("SM_OUTPUT_DATA_DIR", str(tmp_path))
    monkeypatch.syspath_prepend(str(LIBRARY.parent))
    exec(compile(match[1], "docs/reference/evidence.md", "exec"), {})
    content, instances = (tmp_path / name for name in ("predictions.json", "instances.json"))
    assert sorted(read_predictions(content.read_bytes()).columns[0].predicted.tolist()) == [950.0, 1450.0]
    metrics = {"metrics": {"test": {"rent": {"mae": 50.0}}}}
    case = use_case(metrics=Metrics("test", "mae", {}, {}))
    html = report_html(
        make(content=content.read_bytes(), instances=instances.read_bytes(), rival=None, metrics=metrics, case=case)
    )
    assert "rent: predicted against true" in html
    assert "&quot;rooms&quot;: 5" in html


def test_the_page_names_every_metric_and_figure() -> None:
    words = set(re.findall(r"\w+", PAGE))
    assert {*PLAIN, *AT_THRESHOLD, *OF_NUMBERS} <= words
    assert f"{RESAMPLES:,} resamples" in PAGE
    assert FEWEST == 5
