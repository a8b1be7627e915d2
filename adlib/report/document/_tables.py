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
    """Return a table as CSV, its headings first.

    Args:
        table: The table.

    Returns:
        One line a row, ending in a line feed.

    Example:
        >>> from adlib.report.document import Table, as_csv
        >>> table = Table("clean", "All.", ["class", "AUROC"], [["part", "0.9"]], 1, [])
        >>> as_csv(table).splitlines()
        ['class,AUROC', 'part,0.9']
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return text.getvalue()


def as_latex(table: Table, caption: str) -> str:
    r"""Return a table as LaTeX; the preamble needs booktabs.

    Args:
        table: The table; its key becomes the label, "tab:key".
        caption: Its caption, references resolved.

    Returns:
        A floating table; what is special to LaTeX is escaped.

    Example:
        >>> from adlib.report.document import Table, as_latex
        >>> table = Table("clean", "All.", ["class", "AUROC"], [["part", "0.9"]], 1, [])
        >>> print(as_latex(table, "100 % of it").splitlines()[2].strip())
        \caption{100 \% of it}
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
    """Write each table as ``{key}.csv`` and ``{key}.tex``, whole or not at all.

    Args:
        document: Whose tables are written.
        folder: Made if it is not there.

    Returns:
        The paths, table by table.

    Raises:
        ValueError: A caption refers to what is not there, or two tables have one key.
        OSError: The folder cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.report.document import Document, Section, Table, write_tables
        >>> table = Table("clean", "All.", ["class", "AUROC"], [["part", "0.9"]], 1, [])
        >>> document = Document("A report", "", "", [Section("Results", [table])])
        >>> with TemporaryDirectory() as folder:
        ...     [path.name for path in write_tables(document, Path(folder))]
        ['clean.csv', 'clean.tex']
    """
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
