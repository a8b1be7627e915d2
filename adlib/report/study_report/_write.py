"""Write the study's report from its saved results, fitting and judging nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adlib.report.document import (
    Block,
    Document,
    Illustration,
    Paragraph,
    Section,
    write_html,
    write_pdf,
    write_tables,
)
from adlib.report.study_report._choice_sections import ablation_blocks
from adlib.report.study_report._cited_numbers import CitedNumbers
from adlib.report.study_report._clean_section import clean_blocks
from adlib.report.study_report._error_sections import error_blocks
from adlib.report.study_report._figures import comparison_picture, scatter_picture
from adlib.report.study_report._global_section import global_blocks
from adlib.report.study_report._insight_sections import insight_blocks
from adlib.report.study_report._limit_sections import future_section, limit_section
from adlib.report.study_report._setup_sections import (
    context_section,
    data_section,
    methods_section,
    protocol_section,
)
from adlib.report.study_report._shift_sections import shift_blocks
from adlib.report.study_report._study import (
    ADAPTED,
    CLEAN,
    CONDITIONS,
    CONFIG,
    COUNTS,
    MACHINE,
    SHIFTED,
    Study,
    listed,
)

NEEDED = (CONFIG, MACHINE, COUNTS, *CONDITIONS.values())


@dataclass(frozen=True)
class StudyReport:
    """Where a report was written.

    Attributes:
        page: The HTML page.
        pdf: The PDF.
        tables: CSV and LaTeX files.
        numbers: Which number stands in which file.
        n_numbers: How many there are.
    """

    page: Path
    pdf: Path
    tables: list[Path]
    numbers: Path
    n_numbers: int


def write_study_report(outputs: Path, folder: Path) -> StudyReport:
    """Write the report of a study as ``report.html`` and ``report.pdf``.

    Beside them come every table as CSV and LaTeX, the figures, and ``numbers.csv``, the
    file and place of each number that was looked up in results.

    Args:
        outputs: The study's outputs; phases 0, 1, 5, 6 and 7 must have run. What later
            phases found is in the report where their results are there.
        folder: Made if it is not there; files of the same names are replaced.

    Returns:
        Where page, PDF, tables and the list of numbers are.

    Raises:
        FileNotFoundError: Results are missing; the message names them.
        ImportError: The extra ``report`` is not installed.
        OSError: The folder cannot be written to.
    """
    cite = CitedNumbers(outputs)
    missing = [name for name in NEEDED if not cite.has(name)]
    if missing:
        raise FileNotFoundError(
            f"The report needs {listed(missing)} in {str(outputs)!r}. Run the phases "
            "that write them: adlib study runs all."
        )
    study = Study(outputs, cite, folder / "figures")
    folder.mkdir(parents=True, exist_ok=True)
    document = study_document(study)
    tables = write_tables(document, folder / "tables")
    page = write_html(document, folder / "report.html")
    pdf = write_pdf(document, folder / "report.pdf")
    cite.write(folder / "numbers.csv")
    return StudyReport(page, pdf, tables, folder / "numbers.csv", len(cite.used))


def study_document(study: Study) -> Document:
    """Return the report, before it is written as anything."""
    results = [
        *clean_blocks(study),
        *shift_blocks(study),
        *global_blocks(study),
        *_overview_blocks(study),
    ]
    analysis = [*error_blocks(study), *ablation_blocks(study), *insight_blocks(study)]
    sections = [
        context_section(study),
        data_section(study),
        methods_section(study),
        protocol_section(study),
        Section("Results", results),
        *([Section("Errors, choices and costs", analysis)] if analysis else []),
        limit_section(study),
        future_section(study),
    ]
    title = "Anomaly detection from good parts, under domain shift"
    subtitle = f"{listed(study.methods)} on {listed(study.classes)}"
    return Document(title, subtitle, _abstract(study), sections)


def _abstract(study: Study) -> str:
    cite = study.cite
    parts = []
    for method in study.methods:
        clean, shifted, adapted = (
            _auroc(study, file, method) for file in (CLEAN, SHIFTED, ADAPTED)
        )
        parts.append(
            f"{method} {clean} on clean test images, {shifted} on shifted ones with "
            f"nothing adapted, and {adapted} once learned anew"
        )
    over = "macro average AUROC" if len(study.classes) > 1 else "AUROC"
    located = [
        f"{method} {cite.get(CLEAN, 'methods', method, 'macro_average', 'aupro')}"
        for method in study.methods
        if "aupro" in cite.at(CLEAN, "methods", method, "macro_average")
    ]
    pixels = f" AUPRO on clean test images: {', '.join(located)}." if located else ""
    sizes = []
    for name in study.classes:
        entry = ("methods", study.methods[0], "classes", name)
        normal, anomalous = (
            cite.get(CLEAN, *entry, f"n_{kind}", form="d")
            for kind in ("normal", "anomalous")
        )
        sizes.append(f"{name} {normal} normal and {anomalous} anomalous")
    return (
        f"{listed(study.methods)} learned good images of {listed(study.classes)} and "
        f"judged clean and shifted test images ({'; '.join(sizes)} ones). In {over}: "
        f"{'; '.join(parts)}.{pixels} The tables have intervals and tests, which cover "
        "the choice of test images alone."
    )


def _auroc(study: Study, file: str, method: str) -> str:
    return study.cite.get(file, "methods", method, "macro_average", "image_auroc")


def _overview_blocks(study: Study) -> list[Block]:
    files = list(CONDITIONS.values())
    blocks: list[Block] = [
        Paragraph(
            "[figure:comparison] puts all models and conditions side by side.",
            heading="Overview",
        ),
        Illustration(
            "comparison",
            "All models in all conditions.",
            comparison_picture(study),
            files,
        ),
    ]
    scatter = scatter_picture(study)
    if scatter is not None:
        blocks.append(
            Illustration(
                "scatter",
                "Ranking images against ranking pixels, one point for each model, "
                "class and condition.",
                scatter,
                files,
                width=0.52,
            )
        )
    return blocks
