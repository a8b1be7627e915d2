"""Write the study's report from its tables, fitting and predicting nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from adlib._files import replacing
from adlib.report import _figures as draw
from adlib.report._cited import MINUS, Cited, Table
from adlib.report._judgements import listed
from adlib.report._missing import needs_report_extra
from adlib.report._sentences import Sentences
from adlib.report._style import save_figure
from adlib.study import _names as names
from adlib.study import read_figures, read_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

TITLE = "Anomaly detection from good parts, under domain shift"
SHIFTS = (names.CLEAN, names.SHIFTED, names.NEW_THRESHOLD, names.RETRAINED)
CLEAN, PLAIN = {"condition": names.CLEAN}, {"setting": "", "versus": ""}
MAIN = ("auroc", "average_precision", "f1", "accuracy", "precision", "recall")
PIXEL = ("specificity", "pixel_auroc", "aupro")
MILLIMETRES, WIDTH, HIGHEST = 25.4, 170, 80  # an inch; of the text; of a picture
MOST_CLASSES = 3  # that a table has columns for
# Name, columns that lines are named by, the column that columns are of, and rows.
TABLES: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
    ("clean", ["method", "class"], "metric", {"metric": MAIN + PIXEL} | CLEAN | PLAIN),
    (
        "conditions",
        ["class", "method", "condition"],
        "metric",
        {"condition": SHIFTS, "metric": ("auroc", "f1", "recall", *PIXEL)} | PLAIN,
    ),
    (
        "changes",
        ["metric", "method", "class"],
        "pair",
        {
            "condition": SHIFTS,
            "versus": SHIFTS,
            "metric": ("auroc", "f1"),
            "setting": "",
        },
    ),
    (
        "ways",
        ["method", "setting"],
        "by class",
        {"setting": "way *", "metric": ("auroc", "f1")},
    ),
    (
        "global",
        ["metric", "method", "class"],
        "pair",
        {"condition": "global*", "metric": ("auroc", "f1"), "setting": ""},
    ),
    (
        "rules",
        ["method", "setting"],
        "by class",
        {"setting": "rule *", "metric": ("f1", "false_positive_rate")} | CLEAN,
    ),
    (
        "aggregations",
        ["method", "setting"],
        "by class",
        {"setting": "aggregation *", "metric": "auroc"} | CLEAN,
    ),
    (
        "zones",
        ["method", "setting"],
        "by class",
        {"setting": "zones *", "metric": ("pixel_recall", "pixel_f1")} | CLEAN,
    ),
    ("groups", ["setting"], "by class", {"metric": "recall"} | CLEAN),
    (
        "agreement",
        ["condition", "class"],
        "setting",
        {"method": names.BOTH, "metric": "n_images", "condition": SHIFTS, "versus": ""},
    ),
    (
        "costs",
        ["method", "class"],
        "metric",
        {
            "phase": "phase09_efficiency*",
            "metric": (
                "latency_ms_p50",
                "latency_ms_p95",
                "images_per_second",
                "model_megabytes",
            ),
        }
        | PLAIN,
    ),
)
# Pictures that phases drew, of the first class that has one.
PHOTOGRAPHS = {
    "examples": "phase01/{}_examples.png",
    "pairs": "phase02/{}_pairs.png",
    "hard": "phase09/{}_hard.png",
    "stages": "phase09/{}_stages.png",
    "patches": "phase09/{}_patches.png",
    "nearest": "phase09/{}_nearest.png",
}


class StudyReport(NamedTuple):
    """Where a report was written.

    Attributes:
        page: The HTML page.
        pdf: The PDF.
        numbers: Which printed number stands in which row of which file.
        n_numbers: How many there are.
    """

    page: Path
    pdf: Path
    numbers: Path
    n_numbers: int


class Picture(NamedTuple):
    """A picture: its file below the report, its width in mm, the class that it shows."""

    place: str
    width: float
    of: str


def write_study_report(outputs: Path, folder: Path) -> StudyReport:
    """Write the report of a study as ``report.html`` and ``report.pdf``.

    Beside them come every table as CSV and LaTeX, the figures, the PDF's typst source,
    and ``numbers.csv``: file and row of each number that comes from the results.

    Args:
        outputs: The study's outputs; phases 0, 1, 5, 6 and 7 must have run. What other
            phases wrote is in the report where it is there.
        folder: Made if it is not there; files of the same names are replaced.

    Returns:
        Where page, PDF and the list of numbers are, and how many numbers it has.

    Raises:
        FileNotFoundError: Results are missing; the message names them.
        ImportError: The extra ``report`` is not installed.
        OSError: The folder cannot be written to.
    """
    with needs_report_extra("The report"):
        import jinja2  # noqa: F401, PLC0415 - optional
        import typst  # noqa: PLC0415
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
    cited = Cited(read_figures(outputs))
    context = _context(outputs, cited, folder)
    page, source, pdf = (folder / f"report.{kind}" for kind in ("html", "typ", "pdf"))
    with replacing(page) as temporary:
        temporary.write_text(_numbered(_rendered("report.html", context)), "utf-8")
    with replacing(source) as temporary:
        temporary.write_text(_rendered("report.typ", context, _typst), "utf-8")
    made = typst.compile(source, root=folder, format="pdf", ignore_system_fonts=True)
    with replacing(pdf) as temporary:
        temporary.write_bytes(made)
    for name, table in context["tables"].items():
        table.write(folder / "tables" / name)
    numbers = folder / "numbers.csv"
    return StudyReport(page, pdf, numbers, cited.write(numbers))


def _rendered(
    name: str, context: dict[str, Any], finalize: Callable[[Any], Any] | None = None
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader("adlib.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    return environment.get_template(name).render(context)


def _typst(value: Any, before: str = "#", after: str = ";") -> Any:
    """Return text as a typst string, of which nothing is markup; markup as it is."""
    from markupsafe import Markup  # noqa: PLC0415 - comes with jinja2

    if hasattr(value, "__html__"):
        return value
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return Markup(f'{before}"{escaped}"{after}')  # noqa: S704


def _numbered(page: str) -> str:
    """Put numbers into the references of a page, in the order of their targets."""
    texts: dict[str, str] = {}
    for kind in ("table", "figure"):
        for number, name in enumerate(re.findall(rf'id="({kind}-[^"]*)"', page), 1):
            texts[name] = f"{kind.capitalize()} {number}"
    return re.sub(
        r'<a href="#([^"]*)"></a>',
        lambda found: f'<a href="#{found[1]}">{texts[found[1]]}</a>',
        page,
    )


def _context(outputs: Path, cited: Cited, folder: Path) -> dict[str, Any]:
    """Return what the templates print."""

    def read(name: str) -> Any:
        path = outputs / name
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}

    main = cited.rows(metric="auroc", **CLEAN, **PLAIN)
    classes = [name for name in dict.fromkeys(main["class"]) if name != names.MEAN]
    methods = list(dict.fromkeys(main["method"]))
    tables = dict(_tables(cited, classes))
    tables["settings"] = _settings(outputs, classes, methods)

    def captioned(name: str, caption: Any) -> Any:
        tables[name].caption = re.sub(r'#"|";', "", " ".join(caption.split()))
        return caption

    return {
        "title": TITLE,
        "config": read("phase00/config.json"),
        "machine": read("phase00/environment.json"),
        "check": read("phase00/data_check.json"),
        "notes": read("provenance/phase05_evaluate_clean.json"),
        "classes": classes,
        "methods": methods,
        "over": names.MEAN if len(classes) > 1 else classes[0],
        "tables": tables,
        "pictures": dict(_pictures(cited, outputs, folder, classes)),
        "rows": cited.rows,
        "value": cited.value,
        "print": cited.say,
        "say": Sentences(cited, classes, methods),
        "listed": listed,
        "percent": lambda ratio: f"{100 * ratio:g} %".replace("-", MINUS),
        "captioned": captioned,
        "quoted": lambda text: _typst(text, "", ""),
    }


def _tables(cited: Cited, classes: list[str]) -> Iterator[tuple[str, Table]]:
    """Yield the tables of results, as far as there are rows for them."""
    import pandas as pd  # noqa: PLC0415 - optional

    lines = []
    for name in classes:
        counts = cited.rows(phase="phase01*", metric="n_images", **{"class": name})
        line = {"class": name}
        for part in ("train", "val", "test"):
            of = counts[counts["setting"].str.startswith(f"{part} ")]
            good = of["setting"] == f"{part} good"
            line[f"{part} normal"] = cited.total(of[good])
            line[f"{part} anomalous"] = cited.total(of[~good])
        lines.append(line)
    yield "data", Table(pd.DataFrame(lines), 1, ["results/dataset.json"])
    for name, index, columns, where in TABLES:
        rows = cited.rows(**where)
        lines_of = list(index)
        if columns == "pair":
            rows = rows[(rows["versus"] != "") & (rows["class"] != names.MEAN)]
            pair = rows["condition"] + " less " + rows["versus"]
            rows = rows.assign(pair=pair, metric=rows["metric"].map(draw.words))
        if columns == "by class":
            rows = rows[
                rows["setting"].str.contains(" ") & (rows["class"] != names.MEAN)
            ]
            what = (
                rows["method"] if name == "groups" else rows["metric"].map(draw.words)
            )
            column = rows["class"] + ": " + what
            if len(classes) > MOST_CLASSES:
                lines_of, column = ["class", *index], what
            setting = rows["setting"].str.replace("_", " ").str.removeprefix("way ")
            rows = rows.assign(**{"by class": column, "setting": setting})
        if len(rows):
            yield name, cited.table(rows, lines_of, columns)


def _settings(outputs: Path, classes: list[str], methods: list[str]) -> Table:
    """Return what fitted models say of themselves; a line what methods share."""
    import pandas as pd  # noqa: PLC0415 - optional

    found: dict[str, dict[str, str]] = {}  # by parameter and method
    for method in methods:
        values: dict[str, dict[str, list[str]]] = {}
        for name in classes:
            path = outputs / "models" / f"{method.lower()}_{name}_clean.json"
            facts = json.loads(path.read_text("utf-8")) if path.is_file() else {}
            facts = facts.pop("parameters", {}) | facts
            for key in sorted(facts.keys() - {"learned"}):
                if facts[key] is not None:
                    of = values.setdefault(key, {})
                    of.setdefault(_plain(facts[key]), []).append(name)
        for key, of in values.items():
            texts = [f"{value} ({listed(on)})" for value, on in of.items()]
            found.setdefault(key, {})[method] = " or ".join(
                of if len(of) == 1 else texts
            )
    lines: dict[str, list[str]] = {}
    for key, by_method in found.items():
        same = len(set(by_method.values())) == 1 and len(by_method) == len(methods) > 1
        for method, text in by_method.items():
            line = lines.setdefault("all methods" if same else method, [])
            if f"{key} {text}" not in line:
                line.append(f"{key} {text}")
    cells = [(method, "; ".join(line)) for method, line in lines.items()]
    table = pd.DataFrame(cells, columns=["method", "parameters"])
    return Table(table, 2, ["models/*_clean.json"])


def _plain(value: Any) -> str:
    """Return a parameter's value as a reader has it."""
    if isinstance(value, dict):
        return " ".join(f"{key} {_plain(of)}" for key, of in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _drawn(cited: Cited, scores: DataFrame) -> Iterator[tuple[str, Figure]]:
    """Yield the figures that are drawn of the tables, as far as there are rows."""

    def wide(rows: DataFrame, *index: str) -> DataFrame:
        table = rows.pivot_table("value", list(index), "metric", sort=False)
        return table.reset_index()

    models = cited.rows(condition=list(names.CONDITIONS), **PLAIN)
    models = models[models["class"] != names.MEAN]
    clean = models[models["condition"] == names.CLEAN]
    shifts = models[models["condition"].isin(SHIFTS)]
    bars = [name for name in ("auroc", "f1", "aupro") if name in set(clean["metric"])]
    yield "bars", draw.metric_figure(clean, bars, kind="bar")
    shown = scores[scores["condition"].isin((names.CLEAN, names.SHIFTED))]
    yield "roc", draw.curve_figure(shown, "roc")
    yield (
        "conditions",
        draw.metric_figure(shifts, "auroc", x="condition", panels="class"),
    )
    over = {"index": "condition", "columns": "class", "panels": "method"}
    yield "overview", draw.matrix_figure(models, "auroc", **over)
    table = wide(shifts, "method", "condition", "class")
    if "pixel_auroc" in table:
        style = {"style": "condition"}
        yield "scatter", draw.scatter_figure(table, "pixel_auroc", "auroc", **style)
    bins = cited.rows(setting="bin *", **CLEAN)
    if len(bins):
        table = wide(bins, "method", "class", "setting")
        style = {"style": "class"}
        yield (
            "reliability",
            draw.scatter_figure(table, "predicted", "observed", **style),
        )
    choices = cited.rows(versus=names.CONFIGURED, metric="val_auroc")
    if len(choices):
        over = {"index": "setting", "columns": "class", "panels": "method"}
        yield "ablations", draw.matrix_figure(choices, "val_auroc", form="+.3f", **over)
    parts = cited.rows(setting="shift *", metric="auroc", versus="", **CLEAN)
    if len(parts):
        parts = parts.assign(setting=parts["setting"].str.removeprefix("shift "))
        yield "parts", draw.metric_figure(parts, "auroc", x="setting", panels="class")
    crossed = cited.rows(condition="trained on *", metric="auroc", versus="")
    if len(crossed):
        keys = ["method", "condition", "setting", "metric"]
        table = crossed.groupby(keys, sort=False)["value"].mean().reset_index()
        table["setting"] = table["setting"].str.replace("shift ", "tested on ")
        over = {"index": "condition", "columns": "setting", "panels": "method"}
        yield "crossed", draw.matrix_figure(table, "auroc", **over)
    sizes = cited.rows(phase="phase09_efficiency*", setting="coreset *", versus="")
    if len(sizes):
        sizes = sizes.assign(coreset=sizes["setting"].str.removeprefix("coreset "))
        table = wide(sizes, "class", "coreset")
        style = {"hue": "class", "names": "coreset"}
        for name, x in (("time", "latency_ms_p50"), ("size", "model_megabytes")):
            yield name, draw.scatter_figure(table, x, "val_auroc", **style)


def _pictures(
    cited: Cited, outputs: Path, folder: Path, classes: list[str]
) -> Iterator[tuple[str, Picture]]:
    """Draw the figures and copy the phases' pictures; yield where they lie."""

    def placed(name: str, of: str = "") -> tuple[str, Picture]:
        place = f"figures/{name}.png"
        with Image.open(folder / place) as image:
            dots = image.info["dpi"][0]
            width, height = (MILLIMETRES * side / dots for side in image.size)
        return name, Picture(place, min(width, WIDTH, width * HIGHEST / height), of)

    for name, figure in _drawn(cited, read_scores(outputs)):
        save_figure(figure, folder / "figures" / f"{name}.png")
        yield placed(name)
    for name, pattern in PHOTOGRAPHS.items():
        paths = [(outputs / pattern.format(of), of) for of in classes]
        for path, of in [one for one in paths if one[0].is_file()][:1]:
            shutil.copyfile(path, folder / "figures" / f"{name}.png")
            yield placed(name, of)
