"""The study's report: a page and a PDF, written from saved results alone."""

from adlib.report.study_report._cited_numbers import CitedNumbers, UsedNumber
from adlib.report.study_report._write import StudyReport, write_study_report

__all__ = ["CitedNumbers", "StudyReport", "UsedNumber", "write_study_report"]
