"""The report: one HTML page that shows graphs, their evidence and the history of the runs that made them."""

from knowledge.exports.report.page import report_html
from knowledge.exports.report.report import Attempt, LeftOut, Report, ReportedRun

__all__ = ["Attempt", "LeftOut", "Report", "ReportedRun", "report_html"]
