"""A report of evaluations: one page to look at, with its values as JSON and CSV."""

from moss_perception.evaluation.report.writing import require, write_report
from moss_perception.evaluation.thresholds import Verdict

__all__ = ['Verdict', 'require', 'write_report']
