"""A run's evidence as one self-contained HTML page: a pure function of the run's records.

It needs numpy, so it is imported only by the code that makes a report. Both targets call the same function.
"""

from mlops_cli.report.context import ReportContext, gather
from mlops_cli.report.page import report_html

__all__ = ["ReportContext", "gather", "report_html"]
