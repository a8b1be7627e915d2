"""Phase 10: the report, from saved results alone.

    python examples/phase10_report.py [--data ROOT] [--classes NAME ...]

Needs phases 0 to 7; what phases 8 and 9 found is in the report where they have run.
Nothing is fitted or judged here. Writes outputs/report: report.html, report.pdf, every
table as CSV and LaTeX, the figures, and numbers.csv, where each number stands that was
looked up in results.
"""

# %%

from pathlib import Path

from adlib.report import write_study_report
from adlib.study import config_from_arguments

config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
folder = config.paths.outputs / "report"
try:
    report = write_study_report(config.paths.outputs, folder)
except FileNotFoundError as error:
    raise SystemExit(str(error)) from None
print(f"{report.n_numbers} numbers, each with its file, in {report.numbers}.")
print(f"Written to {report.page} and {report.pdf}.")
