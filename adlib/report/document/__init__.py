"""Documents of numbered tables and figures, written as HTML, PDF, CSV and LaTeX."""

from adlib.report.document._blocks import (
    Block,
    Document,
    Illustration,
    Paragraph,
    Section,
    Table,
)
from adlib.report.document._html import write_html
from adlib.report.document._pdf import write_pdf
from adlib.report.document._references import Span, labels, spans
from adlib.report.document._tables import as_csv, as_latex, write_tables

__all__ = [
    "Block",
    "Document",
    "Illustration",
    "Paragraph",
    "Section",
    "Span",
    "Table",
    "as_csv",
    "as_latex",
    "labels",
    "spans",
    "write_html",
    "write_pdf",
    "write_tables",
]
