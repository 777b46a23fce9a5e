"""The page: its sections in the order in which a person who decides needs them, its style, its safety."""

from __future__ import annotations

from importlib.resources import files

from mlops_cli import __version__
from mlops_cli.report.curves import curves
from mlops_cli.report.data import data
from mlops_cli.report.labels import labels
from mlops_cli.report.learning import learning
from mlops_cli.report.material import Material
from mlops_cli.report.mistakes import mistakes
from mlops_cli.report.origin import origin
from mlops_cli.report.rival import rival
from mlops_cli.report.summary import summary
from mlops_cli.report.wording import escape, when

# Even if a text got through as markup, a browser would neither run nor load anything.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
NAMES = {
    "labels": "Quality",
    "live": "Against the live model",
    "curves": "Curves",
    "mistakes": "Mistakes",
    "training": "Training",
    "data": "Data",
    "origin": "Gates and origin",
}


def report_html(material: Material) -> str:
    """The whole report of one run as a page that loads nothing."""
    sections = "".join(make(material) for make in (labels, rival, curves, mistakes, learning, data, origin))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{escape(material.use_case.name)} · run {escape(material.run.id)}</title>
<style>{files("mlops_cli.report").joinpath("style.css").read_text(encoding="utf-8")}</style>
</head>
<body>
{summary(material)}
<main>{_navigation(sections)}{sections}</main>
<footer>Made by mlops {escape(__version__)}, {when(material.made_at)}. This file loads nothing from anywhere.</footer>
</body>
</html>
"""


def _navigation(sections: str) -> str:
    links = "".join(
        f'<a href="#{name}">{text}</a>' for name, text in NAMES.items() if f'<section id="{name}">' in sections
    )
    return f"<nav>{links}</nav>"
