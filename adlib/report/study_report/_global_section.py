"""One model for all classes."""

from __future__ import annotations

from adlib.report.document import Block, Paragraph, Table
from adlib.report.study_report._comparisons import change
from adlib.report.study_report._study import (
    CHANCE,
    GLOBAL,
    GLOBAL_ANALYSIS,
    Study,
    counted,
    listed,
)


def global_blocks(study: Study) -> list[Block]:
    """One model of all classes against a model for each."""
    if not study.cite.has(GLOBAL):
        return []
    cite, rows, clear = study.cite, [], []
    for number, method, name in study.changed(GLOBAL, "change_by_model"):
        place = ("change_by_model", number)
        rows.append(
            [
                method,
                name,
                cite.get(GLOBAL, *place, "figures", "image_auroc", "after"),
                change(study, GLOBAL, *place, metric="image_auroc"),
                cite.p_value(GLOBAL, *place, "p_value"),
                change(study, GLOBAL, *place, metric="image_f1"),
                change(study, GLOBAL, "change_by_threshold", number, metric="image_f1"),
            ]
        )
        bounds = study.bounds(GLOBAL, *place, "figures", "image_auroc")
        if bounds.clear:
            sense = "better" if bounds.difference > 0 else "worse"
            clear.append(
                f"{method} ranks the images of {name} {sense} "
                f"({change(study, GLOBAL, *place, metric='image_auroc')})"
            )
    total = len(rows)
    others = counted(total - len(clear), total, "models")
    verdict = (
        f"AUROC does not clearly change for {others}. "
        if clear
        else (f"AUROC does not clearly change for any of the {total} models. ")
    )
    if len(clear) == total:
        verdict = ""
    named = f"With one model for all, {listed(clear)}. " if clear else ""
    columns = ["method", "class", "AUROC", "change of AUROC", "p"]
    columns += ["change of F1, own thresholds", "by one threshold for all"]
    return [
        Paragraph(
            f"One model was fitted on the training images of all "
            f"{len(study.classes)} classes ([table:global]). {named}{verdict}"
            f"{_neighbour_text(study)}",
            heading="One model for all classes",
        ),
        Table(
            "global",
            "One model for all classes less one model for each, on clean test images: "
            "DeLong's intervals and p-values for AUROC, bootstrap intervals for F1. "
            "The last column is what one threshold for all classes adds to that.",
            columns,
            rows,
            2,
            [GLOBAL],
        ),
    ]


def _neighbour_text(study: Study) -> str:
    if not study.cite.has(GLOBAL_ANALYSIS) or len(study.classes) == 1:
        return ""
    cite, texts = study.cite, []
    for number, one in enumerate(cite.at(GLOBAL_ANALYSIS, "neighbours")):
        if one["kind"] != "worst":
            continue
        name = one["class_name"]
        share = cite.get(
            GLOBAL_ANALYSIS, "neighbours", number, "shares", name, form=".1%"
        )
        texts.append(f"{share} on {name}")
    text = (
        "The nearest neighbour of an anomaly's highest patch is of the anomaly's own "
        f"class for {listed(texts)}: the rest is compared with good patches of another "
        "product. "
    )
    drops, harmed = [], []
    for number, one in enumerate(cite.at(GLOBAL_ANALYSIS, "shortcut")):
        drop = cite.get(
            GLOBAL_ANALYSIS, "shortcut", number, "anomalous_drop", form=".2%"
        )
        drops.append(f"{drop} on {one['class_name']}")
        if one["p_value"] < CHANCE:
            harmed.append(one["class_name"])
    text += (
        "You et al. (2022) describe an identical shortcut: a model of many classes "
        "reconstructs anomalies too. For a memory bank that would show as anomalies "
        "that other classes' entries explain. These lower the scores of anomalous "
        f"images by {listed(drops)} on average, and "
    )
    if harmed:
        return f"{text}clearly change AUROC on {listed(harmed)}."
    return f"{text}clearly change AUROC on no class: there is no such shortcut here."
