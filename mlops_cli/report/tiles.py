"""The four figures under the verdict: the metric that counts, the live model, the data, the gates."""

from __future__ import annotations

from mlops_cli.comparison import CONFIDENCE, Standing, verdict
from mlops_cli.evidence import Evidence, MetricRow
from mlops_cli.measures.predictions import LABEL
from mlops_cli.report.material import Material
from mlops_cli.report.wording import count, escape, number, signed, title
from mlops_cli.usecase import MACRO

MARKS = {"good": "✓", "bad": "✗", "warn": "!", "": "–"}


def tiles(material: Material) -> str:
    evidence = material.evidence
    return _primary_tile(material) + _rival_tile(evidence) + _data_tile(material) + _gates_tile(evidence)


def _tile(kind: str, name: str, big: str, *small: str) -> str:
    mark = f'<span class="mark {kind}">{MARKS[kind]}</span> ' if kind else ""
    lines = "".join(f"<p>{line}</p>" for line in small if line)
    return f'<div class="tile {kind}"><p class="name">{name}</p><p class="big">{mark}{big}</p>{lines}</div>'


def _overall_row(evidence: Evidence) -> MetricRow | None:
    """The row that the decision is about: the mean over all, or the only one there is."""
    return next((row for row in evidence.rows if row.name == MACRO), evidence.rows[-1] if evidence.rows else None)


def _primary_tile(material: Material) -> str:
    evidence = material.evidence
    row = _overall_row(evidence)
    if row is None or evidence.primary not in row.metrics:
        return _tile("bad", escape(evidence.primary), "–", "not in metrics.json")
    bound = row.bound(evidence.primary)
    interval = material.intervals.get(row.name)
    span = f"{CONFIDENCE:.0%} between {number(interval[0])} and {number(interval[1])}" if interval else ""
    kind = "" if bound is None else "bad" if evidence.primary in row.out_of_bounds else "good"
    return _tile(
        kind,
        f"{title(row.name)} {title(evidence.primary)}, {escape(evidence.split)}",
        number(row.metrics[evidence.primary]),
        span,
        "no bound is set" if bound is None else f"{bound[0]} {number(bound[1])}",
    )


def _rival_tile(evidence: Evidence) -> str:
    name = "against the live model"
    if not evidence.has_rival:
        return _tile("", name, "–", "this model is live" if evidence.live_digest else "nothing is live yet")
    comparison = evidence.comparison
    one = comparison.overall if comparison else None
    if comparison is None or one is None or one.value is None or one.low is None or one.high is None:
        return _tile("warn", name, "?", escape(verdict(comparison)) if comparison else "not compared")
    kinds = {Standing.BETTER: "good", Standing.WORSE: "bad", Standing.LEVEL: "warn", Standing.UNKNOWN: "warn"}
    words = {Standing.BETTER: "better", Standing.WORSE: "worse", Standing.LEVEL: "within noise"}
    span = f"{CONFIDENCE:.0%} between {signed(one.low)} and {signed(one.high)}"
    same = f"on the same {count(comparison.rows, 'test row')}"
    return _tile(kinds[comparison.standing], name, signed(one.value), f"{words[comparison.standing]}: {span}", same)


def _data_tile(material: Material) -> str:
    data, found = material.evidence.data, material.predictions
    rows = data.get("rows")
    tested = f"{found.of:,} in the {escape(found.split)} split" if found else ""
    positives = [(int(one.truth.sum()), one.name) for one in found.columns if one.kind == LABEL] if found else []
    rarest = f"fewest positives there: {min(positives)[0]:,} ({title(min(positives)[1])})" if positives else ""
    kind = "warn" if data.get("synthetic") else ""
    return _tile(kind, "rows of data", number(rows), "SYNTHETIC, not real" if kind else "", tested, rarest)


def _gates_tile(evidence: Evidence) -> str:
    passed, failed = (sum(getattr(gate, name) for gate in evidence.gates) for name in ("passed", "failed"))
    waiting = [gate.name for gate in evidence.gates if not gate.passed and not gate.failed]
    kind = "bad" if failed else "good" if passed else ""
    later = f"{escape(waiting[0])} come after the deployment" if waiting else ""
    return _tile(kind, "gate tests passed", f"{passed:,}", f"{failed:,} failed" if failed else "none failed", later)
