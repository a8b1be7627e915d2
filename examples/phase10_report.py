"""Phase 10: the report, from saved results alone.

Needs phases 0 to 7; what phases 8 and 9 found is in the report where they have run.
Nothing is fitted or scored here. Writes outputs/report: report.html, report.pdf, every
table as CSV and LaTeX, the figures, and numbers.csv, where each number's row stands.
"""

from adlib.report import write_study_report
from adlib.study import set_seed
from adlib.study._phase import Phase

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)
try:
    page = write_study_report(phase.outputs, phase.outputs / "report")
except FileNotFoundError as error:
    raise SystemExit(str(error)) from None
print(f"Written to {page.parent}: {page.name}, report.pdf, tables, and numbers.csv.")
