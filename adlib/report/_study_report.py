"""Write the study's report from its tables, fitting and predicting nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from adlib._files import replacing
from adlib.datasets import GEOMETRIC
from adlib.report._cited import NOTHING, Cited, Table
from adlib.report._figures import (
    curve_figure,
    matrix_figure,
    metric_figure,
    scatter_figure,
)
from adlib.report._judgements import listed
from adlib.report._missing import needs_report_extra
from adlib.report._sentences import Sentences, percent
from adlib.report._style import save_figure
from adlib.study import _names as names
from adlib.study import read_figures, read_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

SHIFTS = (names.CLEAN, names.SHIFTED, names.NEW_THRESHOLD, names.RETRAINED)
MAIN = ("auroc", "average_precision", "f1", "accuracy", "precision", "recall")
PIXEL = ("pixel_auroc", "aupro")
MILLIMETRES = 25.4  # an inch
SIDE, HIGHEST = 170, 110  # millimetres, of the text and of a picture
# Pictures of the phases: of the first class, in this order, that has one.
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
    """A picture of the report: file below its folder, width in mm, class shown."""

    place: str
    width: float
    of: str = ""


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
        import typst  # noqa: PLC0415 - optional
        from jinja2 import Environment  # noqa: PLC0415, F401
    needed = ["phase00/config.json", "phase00/environment.json", "results/dataset.json"]
    needed += [f"results/{names.CONDITIONS[name]}_results.json" for name in SHIFTS]
    missing = [name for name in needed if not (outputs / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"The report needs {listed(missing)} in {str(outputs)!r}. Run the phases "
            "that write them: adlib study runs all."
        )
    cited = Cited(read_figures(outputs))
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    context = _context(outputs, cited)
    context["pictures"] = dict(_pictures(cited, read_scores(outputs), outputs, folder))
    page, pdf = folder / "report.html", folder / "report.pdf"
    with replacing(page) as temporary:
        temporary.write_text(_linked(_rendered("report.html", context)), "utf-8")
    source = folder / "report.typ"
    with replacing(source) as temporary:
        temporary.write_text(_rendered("report.typ", context, _quoted_markup), "utf-8")
    compiled = typst.compile(source, root=folder, format="pdf", ignore_system_fonts=True)
    with replacing(pdf) as temporary:
        temporary.write_bytes(compiled)
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
    environment.filters |= {"listed": listed}
    return environment.get_template(name).render(context)


def _quoted(text: str) -> Any:
    """Return a typst string: text of which nothing is markup."""
    from markupsafe import Markup  # noqa: PLC0415 - comes with jinja2

    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return Markup(f'"{escaped}"')  # noqa: S704 - typst's markup


def _quoted_markup(value: Any) -> Any:
    """Return what typst markup says a value as; macros return markup already."""
    from markupsafe import Markup  # noqa: PLC0415 - comes with jinja2

    return value if hasattr(value, "__html__") else Markup(f"#{_quoted(value)};")  # noqa: S704


def _linked(page: str) -> str:
    """Put numbers into the references of a page, in the order of their targets."""
    texts: dict[str, str] = {}
    for kind in ("table", "figure"):
        for number, name in enumerate(re.findall(rf'id="({kind}-[^"]*)"', page), 1):
            texts[name] = f"{kind.capitalize()} {number}"
    return re.sub(
        r'<a href="#([^"]*)"></a>',
        lambda found: f"{found[0][:-4]}{texts[found[1]]}</a>",
        page,
    )


def _context(outputs: Path, cited: Cited) -> dict[str, Any]:
    """Return what the templates print, without the pictures."""

    def read(name: str) -> Any:
        path = outputs / name
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}

    config, check = read("phase00/config.json"), read("phase00/data_check.json")
    notes = read("provenance/phase05_evaluate_clean.json")
    main = cited.rows(condition=names.CLEAN, metric="auroc", setting="", versus="")
    classes = [name for name in dict.fromkeys(main["class"]) if name != names.MEAN]
    methods = list(dict.fromkeys(main["method"]))
    several = names.MEAN in set(main["class"])
    say = Sentences(cited, config, notes.get("intervals") or {}, classes, methods)
    tables = dict(_tables(cited, outputs, classes, methods))
    shift = config["shift"]

    def captioned(name: str, caption: Any) -> Any:
        tables[name].caption = re.sub(r'#"|";', "", " ".join(caption.split()))
        return caption

    return {
        "title": "Anomaly detection from good parts, under domain shift",
        "subtitle": f"{listed(methods)} on {listed(classes)}",
        "config": config,
        "machine": read("phase00/environment.json"),
        "n_equal": check.get("n_equal_images"),
        "fpr_limit": notes.get("fpr_limit"),
        "demo": config["data"]["root"] is None,
        "moved": any(shift[part] is not None for part in GEOMETRIC),
        "classes": classes,
        "methods": methods,
        "several": several,
        "over": names.MEAN if several else classes[0],
        "tables": tables,
        "say": say,
        "value": cited.value,
        "percent": percent,
        "captioned": captioned,
        "quoted": _quoted,
    }


def _tables(
    cited: Cited, outputs: Path, classes: list[str], methods: list[str]
) -> Iterator[tuple[str, Table]]:
    """Yield the tables of the report, as far as there are rows for them."""
    import pandas as pd  # noqa: PLC0415 - optional

    lines = []
    for name in classes:
        counts = cited.rows(phase="phase01*", metric="n_images", **{"class": name})
        line = {"class": name}
        for part in ("train", "val", "test"):
            of = counts[counts["setting"].str.startswith(f"{part} ")]
            good = of["setting"] == f"{part} good"
            line[f"{part} normal"] = cited.total(of[good])
            if part != "train":
                line[f"{part} anomalous"] = cited.total(of[~good])
        lines.append(line)
    yield "data", Table(pd.DataFrame(lines), 1, ["results/dataset.json"])
    settings = _settings(outputs, classes, methods)
    if len(settings):
        yield "settings", Table(settings, 1 + len(methods), ["models/*_clean.json"])

    plain = {"setting": "", "versus": ""}
    wanted = {
        "clean": (
            {"condition": names.CLEAN, "metric": (*MAIN, "specificity", *PIXEL), **plain},
            ["method", "class"],
        ),
        "conditions": (
            {
                "condition": SHIFTS,
                "metric": ("auroc", "f1", "recall", "specificity", *PIXEL),
                **plain,
            },
            ["class", "method", "condition"],
        ),
        "changes": (
            {
                "condition": SHIFTS,
                "versus": SHIFTS,
                "metric": ("auroc", "f1", "specificity"),
                "setting": "",
            },
            ["condition", "versus", "method", "class"],
        ),
        "ways": (
            {"setting": "way *", "metric": ("auroc", "f1", "specificity")},
            ["method", "setting"],
        ),
        "global": (
            {
                "condition": (names.GLOBAL_BY_CLASS, names.GLOBAL),
                "versus": (names.CLEAN, names.GLOBAL_BY_CLASS),
                "metric": ("auroc", "f1", "specificity"),
                "setting": "",
            },
            ["condition", "versus", "method", "class"],
        ),
        "rules": (
            {
                "condition": names.CLEAN,
                "setting": "rule *",
                "metric": ("f1", "false_positive_rate"),
            },
            ["method", "setting"],
        ),
        "aggregations": (
            {"condition": names.CLEAN, "setting": "aggregation *", "metric": "auroc"},
            ["method", "setting"],
        ),
        "zones": (
            {
                "condition": names.CLEAN,
                "setting": "zones *",
                "metric": ("pixel_recall", "pixel_false_positive_rate", "pixel_f1"),
            },
            ["class", "method", "setting"],
        ),
        "groups": (
            {"condition": names.CLEAN, "metric": "recall"},
            ["class", "setting"],
        ),
        "costs": (
            {
                "phase": "phase09_efficiency*",
                "setting": "",
                "metric": (
                    "latency_ms_p50",
                    "latency_ms_p95",
                    "images_per_second",
                    "model_megabytes",
                ),
            },
            ["method", "class"],
        ),
    }
    by_class = ("ways", "rules", "aggregations")
    for name, (where, index) in wanted.items():
        rows = cited.rows(**where)
        if name == "groups":
            rows = rows[rows["setting"].str.contains("^(?:defect|size|position) ")]
        if rows.empty:
            continue
        if name in by_class or name == "groups":
            rows = rows.assign(setting=rows["setting"].str.replace("_", " "))
        if name in by_class:
            rows = rows.assign(metric=rows["class"] + ": " + rows["metric"])
        yield name, cited.table(rows, index, "method" if name == "groups" else "metric")
    agreement = cited.rows(condition=SHIFTS, method=names.BOTH, metric="n_images")
    if len(agreement):
        shown = agreement.assign(
            metric=agreement["setting"].where(agreement["versus"] == "", "McNemar's p")
        )
        table = cited.table(
            shown[shown["versus"] == ""].assign(setting=""), ["condition", "class"]
        )
        tests = shown[shown["versus"] != ""].to_dict("records")
        p = {(row["condition"], row["class"]): cited.p(row) for row in tests}
        keys = zip(table.cells["condition"], table.cells["class"], strict=True)
        table.cells["McNemar"] = [p.get(key, NOTHING) for key in keys]
        yield "agreement", table


def _settings(outputs: Path, classes: list[str], methods: list[str]) -> DataFrame:
    """Return what fitted models say of themselves, a line a parameter."""
    import pandas as pd  # noqa: PLC0415 - optional

    found: dict[str, dict[str, dict[str, str]]] = {}
    for method in methods:
        for name in classes:
            path = outputs / "models" / f"{method.lower()}_{name}_clean.json"
            facts = json.loads(path.read_text("utf-8")) if path.is_file() else {}
            flat = facts.pop("parameters", {}) | facts
            for key, value in flat.items():
                if value is not None and key != "learned":
                    of = found.setdefault(key, {}).setdefault(_shown(value), {})
                    of.setdefault(method, "")
                    of[method] += f", {name}" if of[method] else name
    lines = []
    for key, values in found.items():
        line = {"parameter": key}
        for method in methods:
            of = {value: on[method] for value, on in values.items() if method in on}
            texts = [f"{on}: {value}" for value, on in of.items()]
            line[method] = "; ".join(of if len(of) == 1 else texts) or NOTHING
        lines.append(line)
    return pd.DataFrame(lines)


def _shown(value: Any) -> str:
    """Return a parameter's value as a reader has it."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(of)}" for key, of in value.items())
    if isinstance(value, list):
        return "; ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _drawn(cited: Cited, scores: DataFrame) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Yield the figures that are drawn of the tables."""
    plain = {"setting": "", "versus": ""}
    models = cited.rows(condition=list(names.CONDITIONS), **plain)
    models = models[models["class"] != names.MEAN]
    clean = models[models["condition"] == names.CLEAN]
    shifts = models[models["condition"].isin(SHIFTS)]
    bars = [name for name in ("auroc", "f1", "aupro") if name in set(clean["metric"])]
    yield "bars", lambda: metric_figure(clean, bars, kind="bar")
    shown = scores[scores["condition"].isin((names.CLEAN, names.SHIFTED))]
    yield "roc", lambda: curve_figure(shown, "roc")
    yield (
        "conditions",
        lambda: metric_figure(shifts, "auroc", x="condition", panels="class"),
    )
    yield (
        "overview",
        lambda: matrix_figure(
            models, "auroc", index="condition", columns="class", panels="method"
        ),
    )
    wide = shifts.pivot_table(
        index=["method", "condition", "class"], columns="metric", values="value", sort=False
    ).reset_index()
    if "pixel_auroc" in wide:
        yield (
            "scatter",
            lambda: scatter_figure(wide, "pixel_auroc", "auroc", style="condition"),
        )
    bins = cited.rows(condition=names.CLEAN, setting="bin *")
    if len(bins):
        table = bins.pivot_table(
            index=["method", "class", "setting"], columns="metric", values="value"
        ).reset_index()
        yield (
            "reliability",
            lambda: scatter_figure(table, "predicted", "observed", style="class"),
        )
    choices = cited.rows(versus=names.CONFIGURED, metric="val_auroc")
    if len(choices):
        yield (
            "ablations",
            lambda: metric_figure(
                choices, "val_auroc", x="setting", hue="class", panels="method"
            ),
        )
        parts = cited.rows(
            condition=names.CLEAN, setting="shift *", metric="auroc", versus=""
        )
        parts = parts.assign(setting=parts["setting"].str.removeprefix("shift "))
        yield (
            "parts",
            lambda: metric_figure(parts, "auroc", x="setting", panels="class"),
        )
    crossed = cited.rows(condition="trained on *", metric="auroc", versus="")
    if len(crossed):
        keys = ["method", "condition", "setting", "metric"]
        means = crossed.groupby(keys, sort=False)["value"].mean().reset_index()
        means["setting"] = means["setting"].str.removeprefix("shift ")
        yield (
            "crossed",
            lambda: matrix_figure(
                means, "auroc", index="condition", columns="setting", panels="method"
            ),
        )
    sizes = cited.rows(phase="phase09_efficiency*", setting="coreset *", versus="")
    if len(sizes):
        table = sizes.pivot_table(
            index=["class", "setting"], columns="metric", values="value", sort=False
        ).reset_index()
        table["setting"] = table["setting"].str.removeprefix("coreset ")
        long = table.melt(
            ["class", "setting", "val_auroc"], ["latency_ms_p50", "model_megabytes"], "of"
        )
        yield (
            "costs",
            lambda: scatter_figure(
                long, "value", "val_auroc", hue="class", panels="of", names="setting"
            ),
        )


def _pictures(
    cited: Cited, scores: DataFrame, outputs: Path, folder: Path
) -> Iterator[tuple[str, Picture]]:
    """Draw the figures and copy the phases' pictures; yield where they lie."""
    (folder / "figures").mkdir(exist_ok=True)

    def placed(name: str, of: str = "") -> Picture:
        place = f"figures/{name}.png"
        with Image.open(folder / place) as image:
            dots = image.info.get("dpi", (180,))[0]
            width, height = (MILLIMETRES * side / dots for side in image.size)
        return Picture(place, round(min(width, SIDE, width * HIGHEST / height), 1), of)

    for name, draw in _drawn(cited, scores):
        save_figure(draw(), folder / "figures" / f"{name}.png")
        yield name, placed(name)
    classes = [name for name in dict.fromkeys(scores["class"]) if name != names.MEAN]
    for name, pattern in PHOTOGRAPHS.items():
        for of in classes:
            path = outputs / pattern.format(of)
            if path.is_file():
                shutil.copyfile(path, folder / "figures" / f"{name}.png")
                yield name, placed(name, of)
                break
