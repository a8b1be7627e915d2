"""Tables as CSV and LaTeX files, for those who write on."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from adlib._files import replacing
from adlib.report.document._blocks import Document, Table
from adlib.report.document._references import labels, spans

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
}


def as_csv(table: Table) -> str:
    """Return a table as CSV, its headings first."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return text.getvalue()


def as_latex(table: Table, caption: str) -> str:
    """Return a table as LaTeX; the preamble needs booktabs.

    Args:
        table: The table; its key becomes the label, "tab:key".
        caption: Its caption, references resolved.
    """
    kinds = "l" * table.n_names + "r" * (len(table.columns) - table.n_names)
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_escaped(caption)}}}",
        rf"  \label{{tab:{table.key}}}",
        rf"  \begin{{tabular}}{{{kinds}}}",
        r"    \toprule",
        f"    {_row(table.columns)}",
        r"    \midrule",
        *(f"    {_row(row)}" for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def write_tables(document: Document, folder: Path) -> list[Path]:
    """Write each table as ``{key}.csv`` and ``{key}.tex``; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers, written = labels(document), []
    for table in document.tables():
        caption = "".join(span.text for span in spans(table.caption, numbers))
        texts = {".csv": as_csv(table), ".tex": as_latex(table, caption)}
        for suffix, text in texts.items():
            path = folder / f"{table.key}{suffix}"
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="")
            written.append(path)
    return written


def _row(cells: Sequence[str]) -> str:
    return " & ".join(_escaped(cell) for cell in cells) + r" \\"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(letter, letter) for letter in text)
