"""The four figures below the conclusion: the primary metric, the live model, the data, the gates."""

from __future__ import annotations

from mlops_cli.core.models.comparison import CONFIDENCE, ComparisonResult, summarize
from mlops_cli.core.models.evidence import Evidence
from mlops_cli.core.models.metric_bounds import MACRO
from mlops_cli.core.models.metric_rows import MetricRow
from mlops_cli.evaluation.predictions import LABEL
from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import count, escape, number, signed, title

MARKS = {"good": "✓", "bad": "✗", "warn": "!", "": "–"}


def summary_cards(context: ReportContext) -> str:
    evidence = context.evidence
    return _primary_card(context) + _comparison_card(evidence) + _data_card(context) + _gates_card(evidence)


def _card(kind: str, name: str, big: str, *small: str) -> str:
    mark = f'<span class="mark {kind}">{MARKS[kind]}</span> ' if kind else ""
    lines = "".join(f"<p>{line}</p>" for line in small if line)
    return f'<div class="tile {kind}"><p class="name">{name}</p><p class="big">{mark}{big}</p>{lines}</div>'


def _overall_row(evidence: Evidence) -> MetricRow | None:
    """Return the row that decides: the mean over all, or the only row."""
    return next((row for row in evidence.rows if row.name == MACRO), evidence.rows[-1] if evidence.rows else None)


def _primary_card(context: ReportContext) -> str:
    evidence = context.evidence
    row = _overall_row(evidence)
    if row is None or evidence.primary not in row.metrics:
        return _card("bad", escape(evidence.primary), "–", "not in metrics.json")
    limits, value = row.limits(evidence.primary), row.metrics[evidence.primary]
    interval = context.intervals.get(row.name)
    span = f"{CONFIDENCE:.0%} between {number(interval[0])} and {number(interval[1])}" if interval else ""
    kind = "" if not limits else "bad" if evidence.primary in row.violations else "good"
    return _card(
        kind,
        f"{title(row.name)} {title(evidence.primary)}, {escape(evidence.split)}",
        number(value),
        span if value is not None else escape(row.not_numbers.get(evidence.primary, "not computed")),
        ", ".join(f"{side} {number(limit)}" for side, limit in limits.items()) or "no limit is set",
    )


def _comparison_card(evidence: Evidence) -> str:
    name = "against the live model"
    if not evidence.has_champion:
        return _card("", name, "–", "this model is live" if evidence.live_digest else "no live model yet")
    comparison = evidence.comparison
    delta = comparison.overall if comparison else None
    if comparison is None or delta is None or delta.value is None or delta.low is None or delta.high is None:
        return _card("warn", name, "?", escape(summarize(comparison)) if comparison else "not compared")
    kinds = {
        ComparisonResult.BETTER: "good",
        ComparisonResult.WORSE: "bad",
        ComparisonResult.LEVEL: "warn",
        ComparisonResult.UNKNOWN: "warn",
    }
    labels = {
        ComparisonResult.BETTER: "better",
        ComparisonResult.WORSE: "worse",
        ComparisonResult.LEVEL: "within noise",
    }
    span = f"{CONFIDENCE:.0%} between {signed(delta.low)} and {signed(delta.high)}"
    same = "each on its own test rows" if comparison.live_rows else f"on the same {count(comparison.rows, 'test row')}"
    return _card(kinds[comparison.result], name, signed(delta.value), f"{labels[comparison.result]}: {span}", same)


def _data_card(context: ReportContext) -> str:
    data, predictions = context.evidence.data, context.predictions
    noun = "files" if data.get("files") else "rows"
    tested = f"{predictions.test_rows:,} in the {escape(predictions.split)} split" if predictions else ""
    positives = (
        [(int(column.truth.sum()), column.name) for column in predictions.columns if column.kind == LABEL]
        if predictions
        else []
    )
    rarest = f"fewest positives there: {min(positives)[0]:,} ({title(min(positives)[1])})" if positives else ""
    kind = "warn" if data.get("synthetic") else ""
    return _card(kind, f"{noun} of data", number(data.get(noun)), "SYNTHETIC, not real" if kind else "", tested, rarest)


def _gates_card(evidence: Evidence) -> str:
    passed, failed = (sum(getattr(gate, name) for gate in evidence.gates) for name in ("passed", "failed"))
    waiting = [gate.name for gate in evidence.gates if not gate.passed and not gate.failed]
    kind = "bad" if failed else "good" if passed else ""
    later = f"{escape(waiting[0])} come after the deployment" if waiting else ""
    return _card(kind, "gate tests passed", f"{passed:,}", f"{failed:,} failed" if failed else "none failed", later)
