"""The evidence for an approval, as data, from the records of the run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from mlops_cli.core.cache_inputs import THE_DATA
from mlops_cli.core.models.approval import SHORTFALLS, has_reason, limits_of
from mlops_cli.core.models.comparison import Comparison, summarize
from mlops_cli.core.models.decision import Decision
from mlops_cli.core.models.metric_bounds import Metrics
from mlops_cli.core.models.metric_rows import MetricRow, metric_rows, similar_name
from mlops_cli.core.runs import Run, StageRun
from mlops_cli.core.stages import STAGES, Kind
from mlops_cli.errors import ConfigurationError

OTHER_ROWS = (
    "it cannot be known, as the live model was tested on other rows ({summary}). Give a reason, or let preprocess.py "
    "keep the live model's test rows; {metric} as a row_metric is compared on the common rows"
)


@dataclass(frozen=True)
class GateResult:
    name: str
    status: str
    passed: int
    failed: int


@dataclass(frozen=True)
class Evidence:
    """The evidence. ``comparison``: with the live model, if it is another one; ``report``: the HTML report's address.

    ``before``: the shortfalls at the time of the request, if the limits have changed since. ``splits``: the splits in
    metrics.json.
    """

    run_id: str
    split: str
    primary: str
    rows: tuple[MetricRow, ...]
    gates: tuple[GateResult, ...]
    data: dict[str, Any]
    data_digest: str
    model_digest: str
    live_digest: str
    live_run: str
    earlier: Decision | None
    lower_is_better: bool = False
    missing: tuple[str, ...] = ()
    must_beat_live: bool = False
    comparison: Comparison | None = None
    report: str = ""
    before: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    @property
    def comment_reasons(self) -> list[str]:
        """The reasons why an approval needs a comment: the present shortfalls, and those at the time of the request."""
        return [*self.shortfalls, *self.before]

    @property
    def shortfalls(self) -> list[str]:
        """The shortfalls, as text.

        Violated limits, missing metrics with a limit, a failed demand to beat the live model.
        """
        problems = [problem for row in self.rows for problem in row.shortfalls]
        rows = [row.name for row in self.rows]
        problems += [
            f"metrics.json has no row {name!r}, which has limits{similar_name(name, rows)}"
            for name in self.missing
            if rows
        ]
        if not any(self.primary in row.metrics for row in self.rows):
            near = similar_name(self.primary, self.metric_names) or self._other_splits()
            problems.append(f"metrics.json has no {self.primary!r}, the primary metric{near}")
        return [*problems, *self._not_better()]

    def _other_splits(self) -> str:
        """Return the splits that metrics.json has instead, as the end of a sentence."""
        if self.rows or self.split in self.splits:
            return ""
        if not self.splits:
            return " (the training wrote no metrics)"
        return f" (it has metrics of {', '.join(self.splits)}; [metrics] split is {self.split})"

    @property
    def metric_names(self) -> list[str]:
        """The metrics of the rows, and those for which there is only a limit."""
        return list(dict.fromkeys(name for row in self.rows for name in (*row.metrics, *row.absent)))

    @property
    def has_champion(self) -> bool:
        """True if another model than this one is live."""
        return self.live_digest not in ("", self.model_digest)

    def _not_better(self) -> list[str]:
        if not (self.must_beat_live and self.has_champion):
            return []
        if self.comparison is None:
            return ["must_beat_live: not compared with the live model"]
        if self.comparison.better:
            return []
        summary = summarize(self.comparison)
        if self.comparison.live_rows and not self.comparison.problem:
            summary = OTHER_ROWS.format(metric=self.comparison.metric, summary=summary)
        return [f"must_beat_live: {summary}"]

    def to_dict(self) -> dict[str, Any]:
        return {
            "run": self.run_id,
            "split": self.split,
            "metrics": {row.name: row.metrics for row in self.rows},
            "minimum": {row.name: row.minimum for row in self.rows},
            "maximum": {row.name: row.maximum for row in self.rows},
            "lower_is_better": self.lower_is_better,
            "live_metrics": {row.name: row.live for row in self.rows},
            "shortfalls": self.shortfalls,
            "shortfalls_when_asked": list(self.before),
            "not_numbers": {row.name: row.not_numbers for row in self.rows if row.not_numbers},
            "gates": {gate.name: asdict(gate) for gate in self.gates},
            "data": {**self.data, "digest": self.data_digest},
            "model_digest": self.model_digest,
            "live": {"digest": self.live_digest, "run": self.live_run} if self.live_digest else None,
            "comparison": self.comparison.to_dict() if self.comparison else None,
            "must_beat_live": self.must_beat_live,
            "report": self.report,
        }


def shortfalls_alone(run: Run, metrics: Metrics) -> list[str]:
    """Return the shortfalls of a run's model by its own metrics, without a comparison with the live model."""
    return make_evidence(run, replace(metrics, must_beat_live=False), {}, None, None).shortfalls


def make_evidence(
    run: Run,
    metrics: Metrics,
    data: dict[str, Any],
    live: StageRun | None,
    earlier: Decision | None,
    comparison: Comparison | None = None,
    report: str = "",
) -> Evidence:
    """Combine the records of the run's model. ``live``: the training of the live model."""
    trained = run.training
    rows = metric_rows(trained.detail, metrics, live.detail if live else {})
    return Evidence(
        run_id=run.id,
        split=metrics.split,
        primary=metrics.primary,
        rows=rows,
        gates=tuple(_gate_result(run.stage(stage.name)) for stage in STAGES if stage.kind is Kind.GATE),
        data=data,
        data_digest=run.preparation.cache_inputs.get(THE_DATA, ""),
        model_digest=trained.output,
        live_digest=live.output if live else "",
        live_run=live.run_id if live else "",
        earlier=earlier,
        lower_is_better=metrics.lower_is_better,
        missing=tuple(name for name in metrics.rows if name not in [row.name for row in rows]),
        must_beat_live=metrics.must_beat_live,
        comparison=comparison,
        report=report,
        before=_before(run.approval, metrics),
        splits=_splits(trained.detail),
    )


def _splits(report: dict[str, Any]) -> tuple[str, ...]:
    splits = report.get("metrics")
    return tuple(map(str, splits)) if isinstance(splits, dict) else ()


def _before(gate: StageRun, metrics: Metrics) -> tuple[str, ...]:
    """Return the shortfalls at the time of the request, if usecase.toml has other limits now."""
    requested = limits_of(gate.cache_inputs)
    if not requested or requested == metrics.named():
        return ()
    return tuple(f"{shortfall}, at the time of the request" for shortfall in gate.detail.get(SHORTFALLS, ()))


def _gate_result(stage: StageRun) -> GateResult:
    return GateResult(stage.name, stage.status.value, stage.detail.get("passed", 0), stage.detail.get("failed", 0))


def require_reason(evidence: Evidence, comment: str) -> None:
    """Raise ConfigurationError if a model with shortfalls is approved without a reason."""
    if evidence.comment_reasons and not has_reason(comment):
        raise ConfigurationError(
            f"The model has a shortfall ({'; '.join(evidence.comment_reasons)}): its approval needs a reason.",
            f"mlops approve {evidence.run_id} --comment 'WHY', or mlops approve {evidence.run_id} --reject",
        )
