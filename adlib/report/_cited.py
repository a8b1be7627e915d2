"""Numbers of the table of figures as a report prints them, each with its row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pandas import DataFrame

from adlib._files import replacing
from adlib._validation import refusal
from adlib.report._figures import words

NOTHING, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
FORM = {"ms": ".0f", "megabytes": ".1f", "second": ".1f", "share": ".0%", "area": ".2%"}
PRINTED = ["printed", "file", "row", "column"]
SMALLEST = 0.001  # p-values below it are printed as that
Row = Mapping[str, Any]


@dataclass
class Table:
    """A table of texts, the first ``n_names`` columns of which are names."""

    name: str
    cells: DataFrame
    n_names: int
    files: list[str]

    def lines(self) -> list[list[str]]:
        """Return the cells by line; names that repeat those above are ""."""
        names = self.cells[self.cells.columns[: self.n_names - 1]]
        same = (names == names.shift()).cumprod(axis=1).astype(bool)
        same = same.reindex(columns=self.cells.columns, fill_value=False)
        lines: list[list[str]] = self.cells.mask(same, "").to_numpy().tolist()
        return lines

    def write(self, path: Path) -> None:
        """Write it as CSV and as LaTeX, beside each other."""
        self.cells.to_csv(path.with_suffix(".csv"), index=False)
        style = self.cells.style.hide(axis="index").format(escape="latex")
        columns = "l" * self.n_names + "r" * (len(self.cells.columns) - self.n_names)
        style = style.format_index(escape="latex", axis=1)
        text = style.to_latex(column_format=columns, hrules=True)
        text = text.replace(MINUS, "$-$")  # pdfLaTeX does not know the character
        path.with_suffix(".tex").write_text(text, encoding="utf-8")


@dataclass
class Cited:
    """The table of figures, and every number of it that was printed."""

    figures: DataFrame  # with the columns "file" and "row"
    # Printed text, file, row and column of each number, in order.
    used: dict[tuple[str, str, str, str], None] = field(default_factory=dict)

    def rows(self, **where: str | Sequence[str]) -> DataFrame:
        """Return the rows whose columns have a value, one of some, or begin as "bin *".

        Of several values, rows come in the order in which these are given.
        """
        found = self.figures
        for column, wanted in where.items():
            if not isinstance(wanted, str):
                found = found[found[column].isin(list(wanted))]
                place = found[column].map(list(wanted).index)
                found = found.loc[place.sort_values(kind="stable").index]
            elif wanted.endswith("*"):
                found = found[found[column].str.startswith(wanted[:-1])]
            else:
                found = found[found[column] == wanted]
        return found

    def row(self, **where: str) -> dict[str, Any]:
        """Return the one row with these values; setting and versus: "" by default."""
        found = self.rows(**{"setting": "", "versus": ""} | where)
        if len(found) != 1:
            rule = f"one row with {where}"
            raise LookupError(refusal("where", "value", rule, f"{len(found)} rows"))
        return dict(found.iloc[0])

    def value(self, **where: str) -> str:
        """Return the value of the one row with these values, printed and noted."""
        return self.text(self.row(**where))

    def say(
        self, rows: DataFrame | Sequence[Row], pattern: str, join: str = "; "
    ) -> str:
        """Return a text for each row, joined; numbers in them are noted.

        The pattern is filled in by ``str.format``, with what ``_Printed`` has.
        """
        records = rows if isinstance(rows, Sequence) else rows.to_dict("records")
        return join.join(pattern.format_map(_Printed(self, row)) for row in records)

    def text(self, row: Row, column: str = "value", form: str = "") -> str:
        """Return a number of a row as it is printed, and note it."""
        if row[column] != row[column]:
            return NOTHING
        text = format(row[column], form or _form(row)).replace("-", MINUS)
        return self.note(row, column, text.replace("%", " %"))

    def note(self, row: Row, column: str, text: str) -> str:
        """Note what was printed for a number of a row, and return it."""
        self.used[text, str(row["file"]), str(row["row"]), column] = None
        return text

    def table(
        self, name: str, rows: DataFrame, index: list[str], columns: str | list[str]
    ) -> Table:
        """Return a pivot of rows: values with their intervals, in the rows' order."""
        shown = rows.assign(
            metric=rows["metric"].map(words),
            setting=rows["setting"].str.replace("_", " "),
            text=[self.say([row], "{text}") for row in rows.to_dict("records")],
        )
        if isinstance(columns, list):
            between = ": " if columns[0] == "class" else " less "
            parts = shown[columns].replace("^shifted, ", "", regex=True)
            columns = between.join(columns)
            shown[columns] = parts.agg(between.join, axis=1)
        for of in (*index, columns):
            shown[of] = pd.Categorical(shown[of], dict.fromkeys(shown[of]))
        cells = shown.pivot(index=index, columns=columns, values="text")
        cells.columns = list(map(str, cells.columns))
        cells = cells.fillna(NOTHING).reset_index().astype(str)
        return Table(name, cells, len(index), sorted(set(rows["file"])))

    def write(self, path: Path) -> None:
        """Write what was printed as CSV."""
        printed = DataFrame(list(self.used), columns=PRINTED)
        with replacing(path) as temporary:
            printed.to_csv(temporary, index=False)


class _Printed(dict[str, Any]):
    """A row for ``str.format_map``, with the texts that its numbers are printed as.

    "text" is value and interval, "short" the value, "count" n, "what" the metric, and
    "name" the setting without its first word.
    """

    def __init__(self, cited: Cited, row: Row) -> None:
        super().__init__(row)
        self.cited = cited

    def __missing__(self, key: str) -> str:
        if key == "text":
            ends = ("low", "high") if self["low"] == self["low"] else ()
            bounds = ", ".join(self.cited.text(self, end) for end in ends)
            return self.cited.text(self) + (f" [{bounds}]" if bounds else "")
        if key == "p_text":
            source = self | {"row": self.get("row_of_p", self["row"])}
            return self.cited.note(source, "p", p_text(float(self["p"])))
        if key == "what":
            return words(self["metric"])
        if key == "name":
            return str(self["setting"]).partition(" ")[2].replace("_", " ")
        column, form = {"short": ("value", ""), "count": ("n", ",.0f")}[key]
        return self.cited.text(self, column, form)


def _form(row: Row) -> str:
    """Return how a metric's values are written; differences have their sign."""
    metric = str(row["metric"])
    parts = metric.split("_")
    form = next((form for part, form in FORM.items() if part in parts), ".3f")
    if metric.startswith("n_"):
        form = ",.0f" if float(row["value"]).is_integer() else ".1f"
    return f"+{form}" if row["versus"] and metric != "neighbour_share" else form


def p_text(p: float) -> str:
    """Return a p-value as a sentence has it: "p = 0.029", "p < 0.001"."""
    if math.isnan(p):
        return "p not defined"
    return f"p < {SMALLEST}" if p < SMALLEST else f"p = {p:.3f}"
