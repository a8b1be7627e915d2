"""Write the study's report from its tables, fitting and predicting nothing.

What it says, and which tables and figures it has, is in ``templates/report.j2``; the
templates ``report.html`` and ``report.typ`` say how these look.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import typst
from markupsafe import Markup
from pandas import DataFrame
from PIL import Image

from adlib._files import replacing
from adlib._templates import templates
from adlib.report import _figures
from adlib.report._cited import MINUS, Cited, Table
from adlib.report._sentences import Sentences, listed
from adlib.study import _names as names
from adlib.study import read_figures, read_scores

SHIFTS = (names.CLEAN, names.SHIFTED, names.NEW_THRESHOLD, names.RETRAINED)
MILLIMETRES, WIDTH, HIGHEST = 25.4, 170, 70  # an inch; of the text; of a picture
MOST_CLASSES = 3  # that a table has columns for
# Pictures that phases drew; of the first class that has one.
PHOTOGRAPHS = {"examples": "phase01", "pairs": "phase02"}
PHOTOGRAPHS |= dict.fromkeys(("hard", "stages", "patches"), "phase09")


def write_study_report(outputs: Path, folder: Path) -> Path:
    """Write the report of a study as ``report.html`` and ``report.pdf``.

    Beside them come every table as CSV and LaTeX, the figures, the PDF's typst source,
    and ``numbers.csv``: file and row of each number that comes from the results.

    Args:
        outputs: The study's outputs; phases 0, 1, 5, 6 and 7 must have run. What other
            phases wrote is in the report where it is there.
        folder: Made if it is not there; files of the same names are replaced.

    Returns:
        The path of the page, ``report.html``.

    Raises:
        FileNotFoundError: Results are missing; the message names them.
        OSError: The folder cannot be written to.
    """
    needed = ["phase00/config.json", "phase00/environment.json", "results/dataset.json"]
    needed += [f"results/{names.CONDITIONS[name]}_results.json" for name in SHIFTS]
    missing = [name for name in needed if not (outputs / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"The report needs {listed(missing)} in {str(outputs)!r}. Run the phases "
            "that write them: adlib study runs all."
        )
    for name in ("figures", "tables"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    contents = _Contents(outputs, folder, Cited(read_figures(outputs)))
    page, source, pdf = (folder / f"report.{kind}" for kind in ("html", "typ", "pdf"))
    with replacing(page) as temporary:
        temporary.write_text(_numbered(contents.rendered(page.name)), "utf-8")
    with replacing(source) as temporary:
        temporary.write_text(contents.rendered(source.name, _typst), "utf-8")
    made = typst.compile(source, root=folder, format="pdf", ignore_system_fonts=True)
    with replacing(pdf) as temporary:
        temporary.write_bytes(made)
    for name, table in contents.tables.items():
        table.write(folder / "tables" / name)
    contents.cited.write(folder / "numbers.csv")
    return page


class _Picture(NamedTuple):
    """A picture: its file below the report, width in mm, the class that it shows."""

    name: str
    place: str
    width: float
    of: str


@dataclass
class _Contents:
    """What the templates print; tables and figures are made where they name them."""

    outputs: Path
    folder: Path
    cited: Cited
    tables: dict[str, Table] = field(default_factory=dict)
    pictures: dict[str, _Picture] = field(default_factory=dict)

    def __post_init__(self) -> None:
        main = self.cited.rows(
            condition=names.CLEAN, setting="", versus="", metric="auroc"
        )
        self.classes = [of for of in dict.fromkeys(main["class"]) if of != names.MEAN]
        self.methods = list(dict.fromkeys(main["method"]))
        self.scores = read_scores(self.outputs)
        for name, phase in PHOTOGRAPHS.items():
            for of in self.classes:
                path = self.outputs / phase / f"{of}_{name}.png"
                if name not in self.pictures and path.is_file():
                    shutil.copyfile(path, self.folder / "figures" / f"{name}.png")
                    self._place(name, of)

    def rendered(self, name: str, finalize: Callable[[Any], Any] | None = None) -> str:
        """Return a template with its contents."""
        environment = templates("adlib.report", finalize)
        return environment.get_template(name).render(
            report=self,
            config=self.read("phase00/config.json"),
            classes=self.classes,
            methods=self.methods,
            pictures=self.pictures,
            shifts=SHIFTS,
            rows=self.cited.rows,
            value=self.cited.value,
            print=self.cited.say,
            say=Sentences(self.cited, self.classes, self.methods),
            listed=listed,
            percent=lambda ratio: f"{100 * ratio:g} %".replace("-", MINUS),
            quoted=lambda text: _typst(text, "", ""),
        )

    def read(self, name: str) -> Any:
        """Return a JSON file of the study, {} where there is none."""
        path = self.outputs / name
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}

    def drawn(self, name: str, how: str, table: DataFrame, **options: Any) -> _Picture:
        """Return a figure of rows, drawn by the function ``how``."""
        if name not in self.pictures:
            if {"method", "setting"} <= set(table):
                setting = table["setting"].str.removeprefix("shift ")
                model = table["class"] + ", " + table["method"]
                choice = table["method"] + ", " + setting
                table = table.assign(model=model, choice=choice, setting=setting)
            figure = getattr(_figures, how)(table, **options)
            _figures.save_figure(figure, self.folder / "figures" / f"{name}.png")
            self._place(name)
        return self.pictures[name]

    def pivot(
        self, name: str, rows: DataFrame, index: list[str], columns: str | list[str]
    ) -> Table:
        """Return a table of rows; more classes than it has room for are lines of it."""
        if name not in self.tables:
            if columns[0] == "class" and len(self.classes) > MOST_CLASSES:
                index, columns = ["class", *index], columns[1]
            self.tables[name] = self.cited.table(name, rows, index, columns)
        return self.tables[name]

    def counts(self) -> Table:
        """Return how many normal and anomalous images each part of a class has."""
        found = self.cited.rows(phase="phase01*", metric="n_images")
        part = found["setting"].str.split(" ", n=1, expand=True)
        kind = part[1].where(part[1] == "good", "anomalous")
        found = found.assign(part=part[0] + " " + kind, row=found["row"].astype(str))
        found = found[part[0].isin(["train", "val", "test"])]
        how = dict.fromkeys(found, "first") | {"value": "sum", "row": "+".join}
        del how["class"], how["part"]
        sums = found.groupby(["class", "part"], sort=False).agg(how).reset_index()
        return self.pivot("data", sums, ["class"], "part")

    def settings(self) -> Table:
        """Return what the fitted clean models say of themselves."""
        lines = []
        for method in self.methods:
            texts: dict[str, None] = {}
            for name in self.classes:
                facts = self.read(f"models/{method.lower()}_{name}_clean.json")
                for key, value in sorted((facts.pop("parameters", {}) | facts).items()):
                    if value is not None and key != "learned":
                        text = re.sub('[{}"]', "", json.dumps(value))
                        texts[f"{key} {text}"] = None
            lines.append([method, "; ".join(texts)])
        cells = DataFrame(lines, columns=["method", "parameters"])
        self.tables["settings"] = Table("settings", cells, 2, ["models/*_clean.json"])
        return self.tables["settings"]

    def _place(self, name: str, of: str = "") -> None:
        place = f"figures/{name}.png"
        with Image.open(self.folder / place) as image:
            dots = image.info["dpi"][0]
            width, height = (MILLIMETRES * side / dots for side in image.size)
        # Photographs may shrink; figures keep the size that their letters need.
        most = WIDTH if not of else min(WIDTH, width * HIGHEST / height)
        self.pictures[name] = _Picture(name, place, min(width, most), of)


def _typst(value: Any, before: str = "#", after: str = ";") -> Any:
    """Return text as a typst string, of which nothing is markup; markup as it is."""
    if hasattr(value, "__html__"):
        return value
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return Markup(f'{before}"{escaped}"{after}')  # noqa: S704


def _numbered(page: str) -> str:
    """Put numbers into the references of a page, in the order of their targets."""
    for kind in ("table", "figure"):
        for number, name in enumerate(re.findall(rf'id="({kind}-[^"]*)"', page), 1):
            link, text = f'<a href="#{name}">', f"{kind.capitalize()} {number}"
            page = page.replace(f"{link}</a>", f"{link}{text}</a>")
    return page
