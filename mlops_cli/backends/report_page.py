"""Render a run's report from each target's data. The targets use the report only through this module."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mlops_cli.errors import MlopsError

if TYPE_CHECKING:
    from mlops_cli.backends.model_evaluation import RenderReport, TrainingOutputs
    from mlops_cli.core.models.evidence import Evidence
    from mlops_cli.core.runs import Run
    from mlops_cli.report.context import ReportedUseCase


def report_renderer(use_case: ReportedUseCase) -> RenderReport:
    return partial(_render_report, use_case)


def _render_report(
    use_case: ReportedUseCase, run: Run, evidence: Evidence, outputs: TrainingOutputs, live_run: Run | None
) -> str:
    if not run.training.output:
        raise MlopsError(f"Run {run.id} has no model to report on yet.", "Continue it: mlops run")
    from mlops_cli.report import gather, report_html

    profile = live_run.preparation.detail if live_run else {}
    context = gather(use_case, run, evidence, outputs.predictions, outputs.instances, profile, outputs.files)
    return report_html(context)
