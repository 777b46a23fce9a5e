"""The parameters, metrics and tags of a run, with the names of a tracking server. No IO."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mlops_cli import __version__
from mlops_cli.core.cache_inputs import THE_DATA
from mlops_cli.core.models.evidence import make_evidence
from mlops_cli.core.models.metric_rows import is_number
from mlops_cli.core.runs import Run, StageRun
from mlops_cli.core.secrets import hidden
from mlops_cli.core.stages import PREPARATION, STAGES, TRAINING, Kind
from mlops_cli.project.usecase.use_case import UseCase

RUN_TAG, STATUS_TAG = "mlops.run", "mlops.status"
LONGEST = 5000  # characters of a tag or a parameter
INVALID = re.compile(r"[^\w\-. :/]", re.ASCII)


class TrackedMetric(NamedTuple):
    """One value of a metric. ``at``: seconds since the epoch."""

    name: str
    value: float
    at: float
    step: int = 0


@dataclass(frozen=True)
class RunRecord:
    run: Run
    parameters: dict[str, str]
    measures: list[TrackedMetric]
    tags: dict[str, str]


def run_record(run: Run, use_case: UseCase, target: str, environment: str) -> RunRecord:
    """Return the present record of the run. A stage without output adds nothing."""
    finished = {stage.name: stage for stage in run.stages if stage.status.has_output}
    trained = finished.get(TRAINING.name)
    measures = [
        TrackedMetric(f"seconds/{name}", stage.seconds or 0.0, _end_time(stage)) for name, stage in finished.items()
    ]
    about = {"mlops.use_case": use_case.name, "mlops.target": target, "mlops.environment": environment}
    tags = {RUN_TAG: run.id, STATUS_TAG: run.status.value, "mlops.version": __version__, **about}
    return RunRecord(
        run=run,
        parameters=_shortened({**_hyperparameters(finished, use_case), **_data(finished)}),
        measures=[*measures, *(_metrics(trained) if trained else ())],
        tags=_shortened(
            {**tags, **_digests(finished), **_gates(run), **_comparison_tags(run, use_case), **_decision(run)}
        ),
    )


def _hyperparameters(finished: dict[str, StageRun], use_case: UseCase) -> dict[str, str]:
    """Return the hyperparameters with which the stages ran. usecase.toml may have changed since."""
    return {
        f"{stage}.{name}": finished[stage].cache_inputs[name]
        for stage, values in use_case.hyperparameters.items()
        for name in values
        if stage in finished and name in finished[stage].cache_inputs
    }


def _data(finished: dict[str, StageRun]) -> dict[str, str]:
    dataset = finished[PREPARATION.name].detail.get("dataset", {}) if PREPARATION.name in finished else {}
    return {f"data.{name}": str(value) for name, value in dataset.items()}


def _metrics(trained: StageRun) -> Iterator[TrackedMetric]:
    """Yield metrics.json as ``split/row/metric``, and ``history/curve`` by epoch, without NaN and infinity."""
    at = _end_time(trained)
    splits = trained.detail.get("metrics")
    for split, rows in splits.items() if isinstance(splits, dict) else ():
        for row, values in rows.items() if isinstance(rows, dict) else ():
            for name, value in values.items() if isinstance(values, dict) else ():
                if is_number(value):
                    yield TrackedMetric(_name(split, row, name), float(value), at)
    history = trained.detail.get("history")
    for step, point in enumerate(history if isinstance(history, list) else (), 1):
        for name, value in point.items() if isinstance(point, dict) else ():
            if is_number(value) and name != "epoch":
                yield TrackedMetric(_name("history", name), float(value), at, step)


def _name(*parts: str) -> str:
    """Return a metric's name in characters that MLflow accepts."""
    return INVALID.sub("_", "/".join(parts))


def _end_time(stage: StageRun) -> float:
    return stage.finished_at or stage.started_at or 0.0


def _digests(finished: dict[str, StageRun]) -> dict[str, str]:
    prepared, trained = finished.get(PREPARATION.name), finished.get(TRAINING.name)
    digests = {
        "mlops.data_digest": prepared.cache_inputs.get(THE_DATA, "") if prepared else "",
        "mlops.prepared_digest": prepared.output if prepared else "",
        "mlops.model_digest": trained.output if trained else "",
        "mlops.training_key": trained.key if trained else "",
    }
    return {name: digest for name, digest in digests.items() if digest}


def _gates(run: Run) -> dict[str, str]:
    gates = [run.stage(stage.name) for stage in STAGES if stage.kind is Kind.GATE]
    return {
        f"mlops.gate.{gate.name}": f"{gate.detail.get('passed', 0)} passed, {gate.detail.get('failed', 0)} failed"
        for gate in gates
        if gate.detail
    }


def _comparison_tags(run: Run, use_case: UseCase) -> dict[str, str]:
    if not run.training.status.has_output:
        return {}
    falls_short = make_evidence(run, use_case.metrics, {}, None, None).shortfalls
    return {"mlops.limits": "; ".join(falls_short) or "within its limits"}


def _decision(run: Run) -> dict[str, str]:
    decision = run.decision
    if decision is None:
        return {}
    tags = {
        "decision": decision.verb,
        "decision_kind": decision.kind.value,
        "decided_by": decision.actor.name,
        "decided_by.system_user": decision.actor.system_user,
        "decided_by.claimed_name": decision.actor.claimed_name,
        "decided_by.arn": decision.actor.arn,
        "decision_comment": decision.comment,
        "rollback_to": decision.rollback_to.digest if decision.rollback_to else "",
        "rolled_back_from": decision.rolled_back_from.digest if decision.rolled_back_from else "",
        "forwarded_from": decision.forwarded_from,
        "accepted_shortfalls": "; ".join(decision.shortfalls) if decision.approved else "",
    }
    return {f"mlops.{name}": value for name, value in tags.items() if value}


def _shortened(texts: dict[str, str]) -> dict[str, str]:
    return {name: text[:LONGEST] for name, text in hidden(texts).items()}
