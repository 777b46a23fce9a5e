"""The head of the report: what a person who has to say yes or no needs to see first."""

from __future__ import annotations

from mlops_cli.comparison import Comparison, Standing
from mlops_cli.decision import Decision
from mlops_cli.evidence import Evidence
from mlops_cli.report.material import Material
from mlops_cli.report.remarks import remarks
from mlops_cli.report.tiles import MARKS, tiles
from mlops_cli.report.wording import escape, when
from mlops_cli.runs import Status

DECIDED = (Status.DONE, Status.REJECTED, Status.SUPERSEDED)


def summary(material: Material) -> str:
    run, evidence = material.run, material.evidence
    kind, headline = _headline(material)
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in evidence.demanding)
    return f"""<header>
<p class="kicker">{escape(material.use_case.name)} · run <b>{escape(run.id)}</b> · started {when(run.created_at)}</p>
<div class="verdict"><span class="mark {kind}" aria-hidden="true">{MARKS[kind]}</span><div>
<h1>{headline}</h1>{f"<ul>{reasons}</ul>" if reasons else ""}{_decisions(material)}</div></div>
<div class="tiles">{tiles(material)}</div>
{_heed(material)}{_commands(material)}
</header>"""


def _headline(material: Material) -> tuple[str, str]:
    """A mark, and the verdict in a sentence."""
    evidence = material.evidence
    if evidence.demanding:
        return "bad", "This model falls short of what is demanded of it."
    kind, bounds = ("good", "It keeps every bound") if _has_bounds(evidence) else ("warn", "No bound is set")
    if evidence.live_digest == evidence.model_digest:
        return kind, f"{bounds}; this very model is live now."
    if not evidence.has_rival:
        return kind, f"{bounds}; it would be the first model to go live."
    return _against(bounds, evidence.comparison)


def _has_bounds(evidence: Evidence) -> bool:
    return any(row.minimum or row.maximum for row in evidence.rows)


def _against(bounds: str, comparison: Comparison | None) -> tuple[str, str]:
    words = {
        Standing.BETTER: ("good", "it is better than the live model, beyond noise."),
        Standing.WORSE: ("bad", "but it is worse than the live model, beyond noise."),
        Standing.LEVEL: ("warn", "it is not better than the live model, beyond noise."),
        Standing.UNKNOWN: ("warn", "it could not be compared with the live model."),
    }
    kind, standing = words[comparison.standing if comparison else Standing.UNKNOWN]
    return kind, f"{bounds}; {standing}"


def _decisions(material: Material) -> str:
    """What was said of this model before, and of this run."""
    earlier, now = material.evidence.earlier, material.run.decision
    before = _said("This very model was", earlier) if earlier and earlier != now else ""
    return before + (_said("This run was", now) if now else "")


def _said(about: str, decision: Decision) -> str:
    verb = decision.verb if decision.approved else decision.verb.upper()
    said = f"<p>{about} <b>{verb}</b> {escape(decision.told(when(decision.at)))}</p>"
    accepted = "".join(f"<li>{escape(shortfall)}</li>" for shortfall in decision.shortfalls)
    return said + (f"<p>Accepted with it:</p><ul>{accepted}</ul>" if accepted and decision.approved else "")


def _heed(material: Material) -> str:
    found = remarks(material)
    items = "".join(f"<li>{remark}</li>" for remark in found)
    return f'<section class="heed"><h2>Before you decide</h2><ul>{items}</ul></section>' if found else ""


def _commands(material: Material) -> str:
    """How to say yes or no, as long as nobody has; in a step on AWS a run that will wait is still running."""
    run = material.run
    if run.decision or run.status in DECIDED or run.stage("approval").status.settled:
        return ""
    base = f"mlops approve --run-id {escape(run.id)}"
    reason = " --comment 'WHY'" if material.evidence.demanding else ""
    yes, no = f"<code>{base}{reason}</code>", f"<code>{base} --reject --comment 'WHY'</code>"
    return f'<div class="commands"><p><b>yes</b> {yes}</p><p><b>no</b> {no}</p></div>'
