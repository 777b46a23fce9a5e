"""The top of the report: the summary for a decision."""

from __future__ import annotations

from mlops_cli.core.models.comparison import Comparison, ComparisonResult
from mlops_cli.core.models.decision import Decision
from mlops_cli.core.models.evidence import Evidence
from mlops_cli.core.models.outcome import OUTCOME
from mlops_cli.core.runs import Status
from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import escape, when
from mlops_cli.report.sections.summary_cards import MARKS, summary_cards
from mlops_cli.report.sections.warnings import warnings

DECIDED = (Status.DONE, Status.REJECTED, Status.SUPERSEDED)


def summary(context: ReportContext) -> str:
    run, evidence = context.run, context.evidence
    kind, headline = _headline(context)
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in evidence.comment_reasons)
    return f"""<header>
<p class="kicker">{escape(context.use_case.name)} · run <b>{escape(run.id)}</b> · started {when(run.created_at)}</p>
<div class="headline"><span class="mark {kind}" aria-hidden="true">{MARKS[kind]}</span><div>
<h1>{headline}</h1>{f"<ul>{reasons}</ul>" if reasons else ""}{_decisions(context)}{OUTCOME}</div></div>
<div class="tiles">{summary_cards(context)}</div>
{_warnings(context)}{_commands(context)}
</header>"""


def _headline(context: ReportContext) -> tuple[str, str]:
    """Return a mark, and the conclusion in a sentence."""
    evidence = context.evidence
    if evidence.comment_reasons:
        return "bad", "This model does not meet its limits."
    kind, bounds = ("good", "It meets every limit") if _has_bounds(evidence) else ("warn", "No limit is set")
    if evidence.live_digest == evidence.model_digest:
        return kind, f"{bounds}; this model is live now."
    if not evidence.has_champion:
        return kind, f"{bounds}; it would be the first model to go live."
    return _against(bounds, evidence.comparison)


def _has_bounds(evidence: Evidence) -> bool:
    return any(row.minimum or row.maximum for row in evidence.rows)


def _against(bounds: str, comparison: Comparison | None) -> tuple[str, str]:
    words = {
        ComparisonResult.BETTER: ("good", "it is better than the live model, beyond noise."),
        ComparisonResult.WORSE: ("bad", "but it is worse than the live model, beyond noise."),
        ComparisonResult.LEVEL: ("warn", "it is not better than the live model, beyond noise."),
        ComparisonResult.UNKNOWN: ("warn", "it could not be compared with the live model."),
    }
    kind, result = words[comparison.result if comparison else ComparisonResult.UNKNOWN]
    return kind, f"{bounds}; {result}"


def _decisions(context: ReportContext) -> str:
    """Return the earlier decisions about this model, and the decision of this run."""
    earlier, current = context.evidence.earlier, context.run.decision
    before = _decision_text("This model was already", earlier) if earlier and earlier != current else ""
    return before + (_decision_text("This run was", current) if current else "")


def _decision_text(about: str, decision: Decision) -> str:
    verb = decision.verb if decision.approved else decision.verb.upper()
    paragraph = f"<p>{about} <b>{verb}</b> {escape(decision.describe(when(decision.at)))}</p>"
    accepted = "".join(f"<li>{escape(shortfall)}</li>" for shortfall in decision.shortfalls)
    return paragraph + (f"<p>Accepted with it:</p><ul>{accepted}</ul>" if accepted and decision.approved else "")


def _warnings(context: ReportContext) -> str:
    sentences = warnings(context)
    items = "".join(f"<li>{sentence}</li>" for sentence in sentences)
    return f'<section class="heed"><h2>Before you decide</h2><ul>{items}</ul></section>' if sentences else ""


def _commands(context: ReportContext) -> str:
    """Return the commands that approve or reject, if no decision is made.

    During a step on AWS the run's status is running.
    """
    run = context.run
    if run.decision or run.status in DECIDED or run.approval.status.has_output:
        return ""
    base = f"mlops approve {escape(run.id)}"
    reason = " --comment 'WHY'" if context.evidence.comment_reasons else ""
    yes, no = f"<code>{base}{reason}</code>", f"<code>{base} --reject --comment 'WHY'</code>"
    return f'<div class="commands"><p><b>yes</b> {yes}</p><p><b>no</b> {no}</p></div>'
