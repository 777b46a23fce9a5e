"""The head of the report: what a person who has to say yes or no needs to see first."""

from __future__ import annotations

from mlops_cli.comparison import CONFIDENCE, Comparison, Standing, verdict
from mlops_cli.evidence import MACRO, Evidence, MetricRow
from mlops_cli.measures.predictions import LABEL
from mlops_cli.report.material import Material
from mlops_cli.report.remarks import remarks
from mlops_cli.report.wording import count, escape, number, signed, title, when
from mlops_cli.runs import Status

MARKS = {"good": "✓", "bad": "✗", "warn": "!", "": "–"}


def summary(material: Material) -> str:
    run, evidence = material.run, material.evidence
    kind, headline = _headline(material)
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in evidence.shortfalls)
    return f"""<header>
<p class="kicker">{escape(material.use_case.name)} · run <b>{escape(run.id)}</b> · started {when(run.created_at)}</p>
<div class="verdict"><span class="mark {kind}" aria-hidden="true">{MARKS[kind]}</span><div>
<h1>{headline}</h1>{f"<ul>{reasons}</ul>" if reasons else ""}{_decisions(material)}</div></div>
<div class="tiles">{_primary_tile(material)}{_rival_tile(evidence)}{_data_tile(material)}{_gates_tile(evidence)}</div>
{_heed(material)}{_commands(material)}
</header>"""


def _headline(material: Material) -> tuple[str, str]:
    """A mark, and the verdict in a sentence."""
    evidence = material.evidence
    if evidence.shortfalls:
        return "bad", "This model falls short of what is demanded of it."
    floors = "It meets every floor" if any(row.minimum for row in evidence.rows) else "No floor is set"
    if evidence.live_digest == evidence.model_digest:
        return "good", f"{floors}; this very model is live now."
    if not evidence.has_rival:
        return "good", f"{floors}; it would be the first model to go live."
    return _against(floors, evidence.comparison)


def _against(floors: str, comparison: Comparison | None) -> tuple[str, str]:
    words = {
        Standing.BETTER: ("good", "and is better than the live model, beyond noise."),
        Standing.WORSE: ("bad", "but is worse than the live model, beyond noise."),
        Standing.LEVEL: ("warn", "but is not better than the live model, beyond noise."),
        Standing.UNKNOWN: ("warn", "but could not be compared with the live model."),
    }
    kind, words_against = words[comparison.standing if comparison else Standing.UNKNOWN]
    return kind, f"{floors}, {words_against}"


def _decisions(material: Material) -> str:
    """What was said of this model before, and of this run."""
    said = [material.evidence.earlier, material.run.decision]
    lines = []
    for one, about in zip(said, ("This very model was", "This run was"), strict=True):
        if one and not (about == "This very model was" and one == material.run.decision):
            verb = "approved" if one.approved else "REJECTED"
            comment = f": {escape(one.comment)}" if one.comment else ""
            lines.append(f"<p>{about} <b>{verb}</b> by {escape(one.who)}, {when(one.at)}{comment}</p>")
    return "".join(lines)


def _tile(kind: str, name: str, big: str, *small: str) -> str:
    mark = f'<span class="mark {kind}">{MARKS[kind]}</span> ' if kind else ""
    lines = "".join(f"<p>{line}</p>" for line in small if line)
    return f'<div class="tile {kind}"><p class="name">{name}</p><p class="big">{mark}{big}</p>{lines}</div>'


def overall_row(evidence: Evidence) -> MetricRow | None:
    """The row that the decision is about: the mean over all, or the only one there is."""
    return next((row for row in evidence.rows if row.name == MACRO), evidence.rows[-1] if evidence.rows else None)


def _primary_tile(material: Material) -> str:
    evidence = material.evidence
    row = overall_row(evidence)
    if row is None or evidence.primary not in row.metrics:
        return _tile("bad", escape(evidence.primary), "–", "not in metrics.json")
    floor = row.minimum.get(evidence.primary)
    interval = material.intervals.get(row.name)
    span = f"{CONFIDENCE:.0%} between {number(interval[0])} and {number(interval[1])}" if interval else ""
    kind = "" if floor is None else "bad" if evidence.primary in row.below else "good"
    return _tile(
        kind,
        f"{title(row.name)} {title(evidence.primary)}, {escape(evidence.split)}",
        number(row.metrics[evidence.primary]),
        span,
        "no floor is set" if floor is None else f"floor {number(floor)}",
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
    rare = (
        min((column for column in found.columns if column.kind == LABEL), key=lambda one: one.truth.sum(), default=None)
        if found
        else None
    )
    rarest = f"fewest positives there: {int(rare.truth.sum()):,} ({title(rare.name)})" if rare else ""
    kind = "warn" if data.get("synthetic") else ""
    return _tile(kind, "rows of data", number(rows), "SYNTHETIC, not real" if kind else "", tested, rarest)


def _gates_tile(evidence: Evidence) -> str:
    passed, failed = (sum(getattr(gate, name) for gate in evidence.gates) for name in ("passed", "failed"))
    waiting = [gate.name for gate in evidence.gates if not gate.passed and not gate.failed]
    kind = "bad" if failed else "good" if passed else ""
    later = f"{escape(waiting[0])} come after the deployment" if waiting else ""
    return _tile(kind, "gate tests passed", f"{passed:,}", f"{failed:,} failed" if failed else "none failed", later)


def _heed(material: Material) -> str:
    found = remarks(material)
    items = "".join(f"<li>{remark}</li>" for remark in found)
    return f'<section class="heed"><h2>Before you decide</h2><ul>{items}</ul></section>' if found else ""


def _commands(material: Material) -> str:
    if material.run.status is not Status.WAITING:
        return ""
    base = f"mlops approve --run-id {escape(material.run.id)}"
    reason = " --comment 'WHY'" if material.evidence.shortfalls else ""
    yes, no = f"<code>{base}{reason}</code>", f"<code>{base} --reject --comment 'WHY'</code>"
    return f'<div class="commands"><p><b>yes</b> {yes}</p><p><b>no</b> {no}</p></div>'
