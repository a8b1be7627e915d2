"""Numbers of the table of figures as a report prints them, each with its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adlib._files import replacing
from adlib._validation import refusal
from adlib.report._figures import words
from adlib.report._judgements import p_text

if TYPE_CHECKING:
    from pandas import DataFrame

NOTHING, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
FORMS = {"ms": ".0f", "megabytes": ".1f", "share": ".0%", "area": ".2%", "seconds": ".1f"}


@dataclass
class Table:
    """A table of the report: texts, the first columns of which are names.

    Attributes:
        cells: The texts.
        n_names: How many columns are names.
        files: What the numbers come from.
        caption: Set where the table is printed.
    """

    cells: DataFrame
    n_names: int
    files: list[str]
    caption: str = ""

    def lines(self) -> list[list[str]]:
        """Return the cells by line; a name that repeats the line above is empty."""
        before: list[str] = []
        lines = []
        for line in self.cells.to_numpy().tolist():
            shown = list(line)
            for place in range(self.n_names - 1):
                if before[: place + 1] != line[: place + 1]:
                    break
                shown[place] = ""
            before = line
            lines.append(shown)
        return lines

    def write(self, path: Path) -> None:
        """Write it as CSV and as LaTeX, beside each other."""
        self.cells.to_csv(path.with_suffix(".csv"), index=False)
        columns = "l" * self.n_names + "r" * (self.cells.shape[1] - self.n_names)
        label = f"table:{path.stem}"
        latex = self.cells.style.hide(axis="index").format(escape="latex")
        latex = latex.format_index(escape="latex", axis=1)
        text = latex.to_latex(
            column_format=columns, caption=self.caption, label=label, hrules=True
        )
        path.with_suffix(".tex").write_text(text, encoding="utf-8")


@dataclass
class Cited:
    """The table of figures, and every number of it that was printed.

    Attributes:
        figures: The table, with the columns "file" and "row".
        used: Printed text, file, row and column of each number, once.
    """

    figures: DataFrame
    used: dict[tuple[str, str, str, str], None] = field(default_factory=dict)

    def rows(self, **where: str | Sequence[str]) -> DataFrame:
        """Return the rows whose columns have these values.

        Args:
            **where: A value, some values, or a beginning: "defect *".
        """
        found = self.figures
        for column, wanted in where.items():
            if not isinstance(wanted, str):
                found = found[found[column].isin(list(wanted))]
                # In the order that was asked for, which tables and figures keep.
                order = {value: place for place, value in enumerate(wanted)}
                found = found.sort_values(
                    column, key=lambda of, order=order: of.map(order), kind="stable"
                )
            elif wanted.endswith("*"):
                found = found[found[column].str.startswith(wanted[:-1])]
            else:
                found = found[found[column] == wanted]
        return found

    def row(self, **where: str) -> dict[str, Any]:
        """Return the one row with these values; setting and versus are "" unless given.

        Raises:
            LookupError: There is none, or more than one.
        """
        found = self.rows(**{"setting": "", "versus": ""} | where)
        if len(found) != 1:
            rule = f"one row with {where}"
            raise LookupError(refusal("where", "value", rule, f"{len(found)} rows"))
        row: dict[str, Any] = found.iloc[0].to_dict()
        return row

    def value(self, **where: str) -> str:
        """Return the value of the one row with these values, printed and noted."""
        return self.text(self.row(**where), interval=False)

    def text(
        self, row: Mapping[str, Any], *, interval: bool = True, form: str = ""
    ) -> str:
        """Return "value [low, high]" of a row, and note its numbers."""
        if row["value"] != row["value"]:
            return NOTHING
        form = form or _form(row)
        text = self._noted(row, "value", format(row["value"], form))
        if not interval or row["low"] != row["low"]:
            return text
        low, high = (
            self._noted(row, end, format(row[end], form)) for end in ("low", "high")
        )
        return f"{text} [{low}, {high}]"

    def p(self, row: Mapping[str, Any]) -> str:
        """Return "p = 0.029" of a row, and note it."""
        return self._noted(row, "p", p_text(float(row["p"])))

    def count(self, row: Mapping[str, Any]) -> str:
        """Return how many a row's value is of, and note it."""
        return self._noted(row, "n", f"{int(row['n']):,}")

    def total(self, rows: DataFrame) -> str:
        """Return the sum of the values of rows of one file, and note it with all."""
        if rows.empty:
            return "0"
        first = rows.iloc[0].to_dict() | {"row": "+".join(map(str, rows["row"]))}
        return self._noted(first, "value", f"{rows['value'].sum():,.0f}")

    def table(
        self, rows: DataFrame, index: Sequence[str], columns: str = "metric"
    ) -> Table:
        """Return a pivot of rows: values with their intervals, in the rows' order."""
        shown = rows.assign(text=[self.text(row) for row in rows.to_dict("records")])
        names = {column: list(dict.fromkeys(rows[column])) for column in [*index, columns]}
        cells = shown.pivot(index=list(index), columns=columns, values="text")
        order = shown[list(index)].drop_duplicates()
        cells = cells.loc[[tuple(of) if len(index) > 1 else of[0] for of in order.values]]
        cells = cells[names[columns]].fillna(NOTHING).reset_index()
        cells.columns = [words(str(name)) for name in cells.columns]
        return Table(cells, len(index), sorted(set(rows["file"])))

    def write(self, path: Path) -> int:
        """Write what was printed as CSV, and return how many numbers there are."""
        import pandas as pd  # noqa: PLC0415 - optional

        table = pd.DataFrame(list(self.used), columns=["printed", "file", "row", "column"])
        with replacing(path) as temporary:
            table.to_csv(temporary, index=False)
        return len(table)

    def _noted(self, row: Mapping[str, Any], column: str, text: str) -> str:
        text = text.replace("-", MINUS).replace("%", " %")
        self.used[text, str(row["file"]), str(row["row"]), column] = None
        return text


def _form(row: Mapping[str, Any]) -> str:
    """Return how a metric's values are written; differences have their sign."""
    metric = str(row["metric"])
    parts = metric.split("_")
    form = next((FORMS[part] for part in parts if part in FORMS), ".3f")
    if metric.startswith("n_"):
        form = ",.0f"
    return f"+{form}" if row["versus"] and metric != "neighbour_share" else form
