"""A run's evidence as one HTML page without external files: a pure function of the run's records.

It needs numpy, so only code that makes a report imports it. Both targets call the same function.
"""

from mlops_cli.report.context import ReportContext, gather
from mlops_cli.report.page import report_html

__all__ = ["ReportContext", "gather", "report_html"]
