"""The report's figures on clean test images."""

from __future__ import annotations

from adlib.report.document import Block, Illustration, Paragraph, Table
from adlib.report.study_report._cited_numbers import NOTHING
from adlib.report.study_report._comparisons import (
    compared,
    difference_sentence,
    over_classes,
    pixel_figure,
)
from adlib.report.study_report._figures import roc_picture
from adlib.report.study_report._study import CLEAN, Study


def clean_blocks(study: Study) -> list[Block]:
    """What the models are worth on clean test images."""
    sentences = [difference_sentence(study, CLEAN, n) for n in compared(study, CLEAN)]
    return [
        Paragraph(
            f"[table:clean] has every model's figures. {' '.join(sentences)}"
            f"{over_classes(study, CLEAN)} [figure:roc] has the ROC curves.",
            heading="Clean test images",
        ),
        _full_table(study),
        Illustration(
            "roc",
            "ROC curves of all models on clean and on shifted test images, nothing "
            "adapted. Dots mark the clean thresholds.",
            roc_picture(study),
            [
                "results/clean_details_scores.csv",
                "results/shifted_no_adaptation_details_scores.csv",
            ],
            width=0.66,
        ),
    ]


def _full_table(study: Study) -> Table:
    cite, rows = study.cite, []
    at_threshold = ("accuracy", "precision", "recall", "specificity")
    for method in study.methods:
        for name in study.classes:
            place = ("methods", method, "classes", name)
            cells = [
                cite.interval(CLEAN, *place, "image", metric, value="value")
                for metric in ("auroc", "auprc", "f1")
            ]
            cells += [
                cite.get(CLEAN, *place, "image", metric) for metric in at_threshold
            ]
            for metric in ("auroc", "aupro"):
                cells.append(pixel_figure(study, CLEAN, method, name, metric))
            rows.append([method, name, *cells])
        if len(study.classes) > 1:
            means = cite.at(CLEAN, "methods", method, "macro_average")
            names = [f"image_{m}" for m in ("auroc", "auprc", "f1", *at_threshold)]
            names += ["pixel_auroc", "aupro"]
            averages = ("methods", method, "macro_average")
            cells = [
                cite.get(CLEAN, *averages, m) if m in means else NOTHING for m in names
            ]
            rows.append([method, "macro average", *cells])
    columns = ["method", "class", "AUROC", "AUPRC", "F1", "accuracy", "precision"]
    columns += ["recall", "spec.", "pixel AUROC", "AUPRO"]
    return Table(
        "clean",
        "Clean test images. AUROC, AUPRC and F1 of a class have 95 % intervals, the "
        "other figures none. A dash: there is no such figure, or not every class has "
        "it.",
        columns,
        rows,
        2,
        [CLEAN],
    )
