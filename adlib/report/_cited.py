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
FORMS = {
    "ms": ".0f",
    "megabytes": ".1f",
    "share": ".0%",
    "area": ".2%",
    "second": ".1f",
}
LATEX = str.maketrans(
    {one: f"\\{one}" for one in "%&#_${}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
)
Row = Mapping[str, Any]


@dataclass
class Table:
    """A table of texts, the first ``n_names`` columns of which are names."""

    name: str
    cells: DataFrame
    n_names: int
    files: list[str]
    caption: str = ""  # set where it is printed

    def lines(self) -> list[list[str]]:
        """Return the cells by line; names that repeat those above are ""."""
        lines: list[list[str]] = []
        before: list[str] = []
        for line in self.cells.to_numpy().tolist():
            same = 0
            while same < self.n_names - 1 and line[: same + 1] == before[: same + 1]:
                same += 1
            lines.append([""] * same + line[same:])
            before = line
        return lines

    def write(self, path: Path) -> None:
        """Write it as CSV and as LaTeX, beside each other."""
        self.cells.to_csv(path.with_suffix(".csv"), index=False)
        style = self.cells.style.hide(axis="index").format(escape="latex")
        text = style.format_index(escape="latex", axis=1).to_latex(
            column_format="l" * self.n_names
            + "r" * (len(self.cells.columns) - self.n_names),
            caption=self.caption.translate(LATEX),
            label=f"table:{path.stem}",
            hrules=True,
        )
        text = text.replace(MINUS, "$-$")  # pdfLaTeX does not know the character
        path.with_suffix(".tex").write_text(text, encoding="utf-8")


@dataclass
class Cited:
    """The table of figures, and every number of it that was printed.

    Attributes:
        figures: The table, with the columns "file" and "row".
        used: Printed text, file, row and column of each number.
    """

    figures: DataFrame
    used: dict[tuple[str, str, str, str], None] = field(default_factory=dict)

    def rows(self, **where: str | Sequence[str]) -> DataFrame:
        """Return the rows whose columns have a value, one of some, or begin as "bin *".

        Of several values, rows come in the order in which these are given.
        """
        found = self.figures
        for column, wanted in where.items():
            if not isinstance(wanted, str):
                found = found[found[column].isin(list(wanted))]
                places = found[column].map(list(wanted).index)
                found = found.loc[places.sort_values(kind="stable").index]
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
        return self.text(self.row(**where))

    def say(
        self, rows: DataFrame | Sequence[Row], pattern: str, join: str = "; "
    ) -> str:
        """Return a text for each row, joined; numbers in them are noted.

        Args:
            rows: Of the table.
            pattern: As ``str.format`` has it, with the columns and "text" (value and
                interval), "short" (value), "p_text", "count" (n), "name" (of the
                setting, without its first word) and "what" (the metric).
            join: Between the texts.
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
        self,
        name: str,
        rows: DataFrame,
        index: Sequence[str],
        columns: str | Sequence[str],
    ) -> Table:
        """Return a pivot of rows: values with their intervals, in the rows' order."""
        import pandas as pd  # noqa: PLC0415 - optional

        several = not isinstance(columns, str)
        shown = rows.assign(
            metric=rows["metric"].map(words),
            setting=rows["setting"].str.replace("_", " "),
            text=[self.say([row], "{text}") for row in rows.to_dict("records")],
        )
        if several:
            between = ": " if columns[0] == "class" else " less "
            parts = shown[list(columns)].replace("^shifted, ", "", regex=True)
            shown["columns"] = parts.agg(between.join, axis=1)
        head = "columns" if several else columns
        for of in (*index, head):
            shown[of] = pd.Categorical(shown[of], dict.fromkeys(shown[of]))
        cells = shown.pivot(index=list(index), columns=head, values="text")
        cells.columns = list(map(str, cells.columns))
        cells = cells.fillna(NOTHING).reset_index().astype(str)
        return Table(name, cells, len(index), sorted(set(rows["file"])))

    def write(self, path: Path) -> int:
        """Write what was printed as CSV, and return how many numbers there are."""
        import pandas as pd  # noqa: PLC0415 - optional

        columns = ["printed", "file", "row", "column"]
        with replacing(path) as temporary:
            pd.DataFrame(list(self.used), columns=columns).to_csv(
                temporary, index=False
            )
        return len(self.used)


class _Printed(dict[str, Any]):
    """A row for ``str.format_map``, with the texts that its numbers are printed as."""

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
    form = next(
        (form for part, form in FORMS.items() if part in metric.split("_")), ".3f"
    )
    if metric.startswith("n_"):
        form = ",.0f" if float(row["value"]).is_integer() else ".1f"
    return f"+{form}" if row["versus"] and metric != "neighbour_share" else form
