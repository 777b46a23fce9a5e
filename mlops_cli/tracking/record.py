"""What there is to log of a run: parameters, metrics and tags, by the names that a tracking server shows. No IO."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mlops_cli import __version__
from mlops_cli.evidence import is_number, make_evidence
from mlops_cli.runs import Run, StageRun
from mlops_cli.stages import STAGES, Kind
from mlops_cli.usecase import UseCase

RUN_TAG, STATUS_TAG = "mlops.run", "mlops.status"
LONGEST = 5000  # characters of a tag or a parameter
STRANGE = re.compile(r"[^\w\-. :/]", re.ASCII)


class Measure(NamedTuple):
    """One value of a metric; ``at`` in seconds since the epoch."""

    name: str
    value: float
    at: float
    step: int = 0


@dataclass(frozen=True)
class Record:
    run: Run
    parameters: dict[str, str]
    measures: list[Measure]
    tags: dict[str, str]


def record_of(run: Run, use_case: UseCase, target: str, environment: str) -> Record:
    """All that is known of the run as it stands; stages that have no output yet add nothing."""
    settled = {stage.name: stage for stage in run.stages if stage.status.settled}
    trained = settled.get("train")
    measures = [Measure(f"seconds/{name}", stage.seconds or 0.0, _ended(stage)) for name, stage in settled.items()]
    about = {"mlops.use_case": use_case.name, "mlops.target": target, "mlops.environment": environment}
    tags = {RUN_TAG: run.id, STATUS_TAG: run.status.value, "mlops.version": __version__, **about}
    return Record(
        run=run,
        parameters=_shortened({**_hyperparameters(settled, use_case), **_data(settled)}),
        measures=[*measures, *(_measured(trained) if trained else ())],
        tags=_shortened({**tags, **_digests(settled), **_gates(run), **_verdict(run, use_case), **_decision(run)}),
    )


def _hyperparameters(settled: dict[str, StageRun], use_case: UseCase) -> dict[str, str]:
    """As the stages were called with them: usecase.toml may say something else by now."""
    return {
        f"{stage}.{name}": settled[stage].ingredients[name]
        for stage, values in use_case.hyperparameters.items()
        for name in values
        if stage in settled and name in settled[stage].ingredients
    }


def _data(settled: dict[str, StageRun]) -> dict[str, str]:
    facts = settled["preprocess"].detail.get("dataset", {}) if "preprocess" in settled else {}
    return {f"data.{name}": str(value) for name, value in facts.items()}


def _measured(trained: StageRun) -> Iterator[Measure]:
    """metrics.json: ``split/row/metric``, and ``history/curve`` by epoch; what is no finite number is left out."""
    at = _ended(trained)
    splits = trained.detail.get("metrics")
    for split, rows in splits.items() if isinstance(splits, dict) else ():
        for row, values in rows.items() if isinstance(rows, dict) else ():
            for name, value in values.items() if isinstance(values, dict) else ():
                if is_number(value):
                    yield Measure(_name(split, row, name), float(value), at)
    history = trained.detail.get("history")
    for step, point in enumerate(history if isinstance(history, list) else (), 1):
        for name, value in point.items() if isinstance(point, dict) else ():
            if is_number(value) and name != "epoch":
                yield Measure(_name("history", name), float(value), at, step)


def _name(*parts: str) -> str:
    """A metric's name, of characters that MLflow takes."""
    return STRANGE.sub("_", "/".join(parts))


def _ended(stage: StageRun) -> float:
    return stage.finished_at or stage.started_at or 0.0


def _digests(settled: dict[str, StageRun]) -> dict[str, str]:
    prepared, trained = settled.get("preprocess"), settled.get("train")
    digests = {
        "mlops.data_digest": prepared.ingredients.get("the data", "") if prepared else "",
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


def _verdict(run: Run, use_case: UseCase) -> dict[str, str]:
    if not run.stage("train").status.settled:
        return {}
    falls_short = make_evidence(run, use_case.metrics, {}, None, None).shortfalls
    return {"mlops.verdict": "; ".join(falls_short) or "within its bounds"}


def _decision(run: Run) -> dict[str, str]:
    said = run.decision
    if said is None:
        return {}
    facts = {
        "decision": said.verb,
        "decision_kind": said.kind.value,
        "decided_by": said.actor.name,
        "decided_by.system_user": said.actor.system_user,
        "decided_by.claimed_name": said.actor.claimed_name,
        "decided_by.arn": said.actor.arn,
        "decision_comment": said.comment,
        "rollback_to": said.rollback_to.digest if said.rollback_to else "",
        "rolled_back_from": said.rolled_back_from.digest if said.rolled_back_from else "",
        "forwarded_from": said.forwarded_from,
        "accepted_shortfalls": "; ".join(said.shortfalls) if said.approved else "",
    }
    return {f"mlops.{name}": fact for name, fact in facts.items() if fact}


def _shortened(texts: dict[str, str]) -> dict[str, str]:
    return {name: text[:LONGEST] for name, text in texts.items()}
