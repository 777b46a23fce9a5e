"""The last sentence in a run's report, which is written before the deployment."""

from __future__ import annotations

import time

from mlops_cli.core.runs import Run

# The place in a report for the sentence on the outcome of its run.
OUTCOME = "<!--outcome-->"


def with_outcome(html: str, run: Run) -> str:
    """Return the report of a finished run with a sentence that its model is live. The evidence stays unchanged."""
    if not run.endpoint_gate.status.has_output or run.deployment.finished_at is None:
        return html
    at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(run.deployment.finished_at))
    passed = run.endpoint_gate.detail.get("passed")
    tests = f"; the endpoint has passed its tests: {passed}" if isinstance(passed, int) else ""
    return html.replace(
        OUTCOME, f"<p>This model went <b>live</b> on {at}{tests}. Live now: <code>mlops models</code></p>"
    )
