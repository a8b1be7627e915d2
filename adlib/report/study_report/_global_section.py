"""One model for all classes."""

from __future__ import annotations

from adlib.report.document import Block, Paragraph, Table
from adlib.report.study_report._cited_numbers import p_phrase
from adlib.report.study_report._comparisons import SIGNED, change
from adlib.report.study_report._judgements import (
    difference_phrase,
    direction,
    tally_phrase,
)
from adlib.report.study_report._study import (
    GLOBAL,
    GLOBAL_ANALYSIS,
    Bounds,
    Study,
    listed,
)


def global_blocks(study: Study) -> list[Block]:
    """One model of all classes against a model for each."""
    if not study.cite.has(GLOBAL):
        return []
    cite, rows = study.cite, []
    shown: list[str] = []
    found: list[Bounds] = []
    for number, method, name in study.changed(GLOBAL, "change_by_model"):
        place = ("change_by_model", number)
        rows.append(
            [
                method,
                name,
                cite.get(GLOBAL, *place, "n_images", form="d"),
                cite.get(GLOBAL, *place, "figures", "image_auroc", "after"),
                change(study, GLOBAL, *place, metric="image_auroc"),
                cite.p_value(GLOBAL, *place, "p_value"),
                change(study, GLOBAL, *place, metric="image_f1"),
                change(study, GLOBAL, "change_by_threshold", number, metric="image_f1"),
            ]
        )
        bounds = study.bounds(GLOBAL, *place, "figures", "image_auroc")
        found.append(bounds)
        if direction(bounds.low, bounds.high):
            by = change(study, GLOBAL, *place, metric="image_auroc")
            shown.append(f"{by} for {method} on {name}")
    named = f" ({listed(shown)})" if shown else ""
    columns = ["method", "class", "images", "AUROC", "change of AUROC", "p"]
    columns += ["change of F1, own thresholds", "by one threshold for all"]
    return [
        Paragraph(
            "One model of each method was fitted on the training images of all "
            f"{len(study.classes)} classes ([table:global]). Against a model for each "
            f"class {tally_phrase(found, 'AUROC', 'models')}"
            f"{named}. {_neighbour_text(study)}",
            heading="One model for all classes",
        ),
        Table(
            "global",
            "One model for all classes less one model for each, on clean test images, "
            "with 95 % intervals. "
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
        n_patches = cite.get(
            GLOBAL_ANALYSIS, "neighbours", number, "n_patches", form="d"
        )
        texts.append(f"{share} of {n_patches} anomalies on {name}")
    text = (
        "The nearest neighbour of an anomaly's highest patch in PatchCore's bank is of "
        f"the anomaly's own class for {listed(texts)}. "
        if texts
        else ""
    )
    drops, effects = [], []
    for number, one in enumerate(cite.at(GLOBAL_ANALYSIS, "shortcut")):
        place = ("shortcut", number)
        anomalous, normal = (
            cite.get(GLOBAL_ANALYSIS, *place, f"{kind}_drop", form=".2%")
            for kind in ("anomalous", "normal")
        )
        drops.append(f"{anomalous} on {one['class_name']} (normal ones by {normal})")
        effects.append(_shortcut_text(study, number))
    return text + (
        "You et al. (2022) describe an identical shortcut: a model of many classes "
        "reconstructs anomalies too. For a memory bank that would show as anomalies "
        "that other classes' entries explain. These lower the scores of anomalous "
        f"images by {listed(drops)} on average. {' '.join(effects)}"
    )


def _shortcut_text(study: Study, number: int) -> str:
    """Say whether the other classes' entries change the AUROC of a class."""
    place = ("shortcut", number)
    one = study.cite.at(GLOBAL_ANALYSIS, *place)
    p_value = p_phrase(study.cite.p_value(GLOBAL_ANALYSIS, *place, "p_value"))
    if "low" not in one:
        return (
            f"What they change of AUROC on {one['class_name']} was recorded without an "
            f"interval ({p_value})."
        )
    by = study.cite.interval(GLOBAL_ANALYSIS, *place, value="difference", form=SIGNED)
    normal, anomalous = (
        study.cite.get(GLOBAL_ANALYSIS, *place, f"n_{kind}", form="d")
        for kind in ("normal", "anomalous")
    )
    said = difference_phrase(
        one["low"],
        one["high"],
        one["p_value"],
        more="they raise AUROC",
        less="they lower AUROC",
        neither="no change of AUROC by them is shown",
    )
    return (
        f"On {one['class_name']} {said} ({by}, {p_value}, {normal} normal and "
        f"{anomalous} anomalous images)."
    )
