"""Inputs for reports without a run, in the form that a training, a profile and a comparison record."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from mlops_cli.core.models.comparison import Comparison
from mlops_cli.core.models.decision import Decision
from mlops_cli.core.models.evidence import make_evidence
from mlops_cli.core.models.metric_bounds import Metrics
from mlops_cli.core.runs import Run, StageRun, Status
from mlops_cli.core.stages import STAGES
from mlops_cli.evaluation.champion_challenger import compare
from mlops_cli.evaluation.predictions import read_predictions
from mlops_cli.project.usecase.reader import load_use_case
from mlops_cli.project.usecase.use_case import UseCase
from mlops_cli.report import ReportContext, gather
from tests.conftest import ROOT

LABELS = ("toxic", "severe_toxic", "threat")
LIVE = "b" * 64


def predictions(labels: tuple[str, ...], rows: int = 600, quality: float = 0.4, noise: int = 1) -> bytes:
    columns = {}
    for index, label in enumerate(labels):
        truth = np.random.default_rng(index).random(rows) < 0.4 / (1 + index)
        scores = np.clip(np.random.default_rng(noise + index).normal(0.4 + quality * (truth - 0.5), 0.2), 0, 1)
        predicted = scores.round(5).tolist()
        columns[label] = {
            "kind": "label",
            "truth": truth.astype(int).tolist(),
            "predicted": predicted,
            "threshold": 0.45,
        }
    names = [f"{index:016x}" for index in range(rows)]
    return json.dumps({"split": "test", "of": rows, "rows": names, "columns": columns, "trained_on": ""}).encode()


def numbers(rows: int = 300, noise: float = 0.1) -> bytes:
    truth = np.random.default_rng(1).lognormal(12, 0.4, rows)
    predicted = truth * np.random.default_rng(2).normal(1, noise, rows)
    column = {"kind": "number", "truth": truth.tolist(), "predicted": predicted.tolist()}
    names = [str(index) for index in range(rows)]
    return json.dumps({"split": "test", "of": rows, "rows": names, "columns": {"price": column}}).encode()


def figures(labels: tuple[str, ...], value: float = 0.9) -> dict[str, Any]:
    row = {"roc_auc": value, "average_precision": 0.7, "f1": 0.6, "threshold": 0.45, "positives": 60}
    means = {"roc_auc": value, "average_precision": 0.7, "f1": 0.6}
    rows = {**{label: dict(row) for label in labels}, "macro": means}
    history = [{"epoch": epoch, "loss": 1 / epoch, "validation_loss": 1.1 / epoch} for epoch in (1, 2, 3)]
    return {"metrics": {"validation": rows, "test": rows}, "history": history, "hyperparameters": {"epochs": 3}}


def profile(labels: tuple[str, ...], rate: float = 0.1, median: int = 32) -> dict[str, Any]:
    splits = {name: {"rows": 5000, "label_rates": dict.fromkeys(labels, rate)} for name in ("train", "test")}
    return {
        "rows_in": 6000,
        "duplicates_dropped": 3,
        "splits": splits,
        "words": {"min": 1, "median": median, "max": 900},
        "words_histogram": {"1": 100, str(median): 800, "128": 100},
        "dataset": {"source": "data.csv", "rows": 6000, "synthetic": False},
    }


def use_case(**changes: Any) -> UseCase:
    metrics = Metrics("test", "roc_auc", {"macro": {"roc_auc": 0.8}, "label": {"roc_auc": 0.7}})
    plain = replace(load_use_case(ROOT / "training" / "usecase.toml"), metrics=metrics, hyperparameters={})
    return replace(plain, **changes)


def run_of(metrics: Any, about_data: Any, status: Status = Status.WAITING) -> Run:
    stages = [StageRun(stage.name, Status.DONE, "first run", started_at=1.0, finished_at=5.0) for stage in STAGES]
    run = Run("ab12cd34", 1_700_000_000.0, status, stages)
    run.stage("train").detail, run.stage("train").output = metrics, "a" * 64
    run.stage("approval").status = Status.WAITING
    run.stage("train").cache_inputs = {
        "interpreter": "CPython 3.11",
        "package numpy": "numpy 2.2.0",
        "training/train.py": "c" * 64,
    }
    run.stage("preprocess").detail = about_data
    run.stage("pre-training-tests").detail = {"passed": 55, "failed": 0, "failures": []}
    return run


def make(
    labels: tuple[str, ...] = LABELS,
    content: bytes | None = b"default",
    instances: bytes | None = b"default",
    metrics: Any = None,
    about_data: Any = None,
    live_data: Any = None,
    rival: bytes | None = b"default",
    comparison: Comparison | None = None,
    case: UseCase | None = None,
    decision: Decision | None = None,
    earlier: Decision | None = None,
    texts: str = "You are kind",
) -> ReportContext:
    """Return the inputs, by default of a model with three labels and of a live one that was tested on the same rows."""
    case = case or use_case()
    content = predictions(labels) if content == b"default" else content
    rival = predictions(labels, quality=0.2, noise=40) if rival == b"default" else rival
    about = profile(labels) if about_data is None else about_data
    run = run_of(figures(labels) if metrics is None else metrics, about)
    run.decision = decision
    live = StageRun("train", output=LIVE, run_id="0ld") if rival else None
    if content and rival and comparison is None:
        comparison = compare(case.metrics.primary, read_predictions(content), read_predictions(rival))
        comparison = replace(comparison, lower_is_better=case.metrics.lower_is_better)
    data = about.get("dataset", {}) if isinstance(about, dict) else {}
    evidence = make_evidence(run, case.metrics, data, live, earlier, comparison)
    if instances == b"default" and content:
        rows = json.loads(content)["rows"]
        instances = json.dumps([f"{texts} {index}" for index in range(len(rows))]).encode()
    return gather(case, run, evidence, content, instances, live_data or {})
