"""The report's page: its sections in the order of a decision, its style, its content security policy."""

from __future__ import annotations

from importlib.resources import files

from mlops_cli import __version__
from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import escape, when
from mlops_cli.report.sections.comparison import comparison
from mlops_cli.report.sections.confusion import confusion
from mlops_cli.report.sections.curves import curves
from mlops_cli.report.sections.data import data
from mlops_cli.report.sections.labels import labels
from mlops_cli.report.sections.lineage import lineage
from mlops_cli.report.sections.own_files import own_files
from mlops_cli.report.sections.summary import summary
from mlops_cli.report.sections.training_curves import training_curves
from mlops_cli.report.sections.worst_predictions import worst_predictions

# Even if a text were inserted as markup, a browser would neither run nor load anything.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
IMAGES = "; img-src data:"  # the training's own images, which are part of the page
NAMES = {
    "labels": "Quality",
    "confusion": "Confusion",
    "live": "Against the live model",
    "curves": "Curves",
    "mistakes": "Mistakes",
    "training": "Training",
    "files": "Files",
    "data": "Data",
    "origin": "Gates and origin",
}


def report_html(context: ReportContext) -> str:
    """Return the whole report of one run. The page loads no other file."""
    sections = "".join(
        make(context)
        for make in (
            labels,
            confusion,
            comparison,
            curves,
            worst_predictions,
            training_curves,
            own_files,
            data,
            lineage,
        )
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}{IMAGES if context.files else ""}">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{escape(context.use_case.name)} · run {escape(context.run.id)}</title>
<style>{files("mlops_cli.report").joinpath("style.css").read_text(encoding="utf-8")}</style>
</head>
<body>
{summary(context)}
<main>{_navigation(sections)}{sections}</main>
<footer>Created by mlops {escape(__version__)}, {when(context.made_at)}. This file loads no external content.</footer>
</body>
</html>
"""


def _navigation(sections: str) -> str:
    links = "".join(
        f'<a href="#{name}">{text}</a>' for name, text in NAMES.items() if f'<section id="{name}">' in sections
    )
    return f"<nav>{links}</nav>"
