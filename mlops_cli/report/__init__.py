"""A run's evidence as one HTML page that needs nothing else: a pure function from what the run recorded to text.

It takes numpy, so it is imported only where a report is made. Both targets call the same function.
"""

from mlops_cli.report.context import ReportContext, gather
from mlops_cli.report.page import report_html

__all__ = ["ReportContext", "gather", "report_html"]
