"""Cheaper ways to go on in the shifted domain than learning anew."""

from __future__ import annotations

from typing import Any

from adlib.report.document import Block, Paragraph, Table
from adlib.report.study_report._cited_numbers import NOTHING
from adlib.report.study_report._study import WAYS, Study, listed

MOST_CLASSES = 3  # that a table has columns for
UNCHANGED = "threshold of the clean domain"


def way_blocks(study: Study) -> list[Block]:
    """What less effort than learning anew wins back, where phase 7 has compared."""
    if not study.cite.has(WAYS):
        return []
    shown = study.classes[:MOST_CLASSES]
    found: dict[tuple[str, str], dict[str, int]] = {}
    for number, way in enumerate(study.cite.at(WAYS, "ways")):
        places = found.setdefault((way["method"], way["way"]), {})
        places[way["class_name"]] = number
    rows = []
    best: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
    for (method, way), places in found.items():
        cells = []
        for name in shown:
            for metric in ("auroc", "f1", "specificity"):
                if name not in places:
                    cells.append(NOTHING)
                    continue
                cells.append(study.cite.get(WAYS, "ways", places[name], metric))
        rows.append([method, way, *cells])
    unlabelled = [
        (number, one)
        for number, one in enumerate(study.cite.at(WAYS, "ways"))
        if one["n_labelled"] == 0 and one["way"] != UNCHANGED
    ]
    for number, one in unlabelled:
        key = one["method"], one["class_name"]
        if key not in best or one["f1"] > best[key][1]["f1"]:
            best[key] = (number, one)
    sentences = [
        f"on {name} for {method} by \N{LEFT DOUBLE QUOTATION MARK}{one['way']}"
        f"\N{RIGHT DOUBLE QUOTATION MARK} (F1 "
        f"{study.cite.get(WAYS, 'ways', number, 'f1')}, specificity "
        f"{study.cite.get(WAYS, 'ways', number, 'specificity')}; as it was: F1 "
        f"{study.cite.get(WAYS, 'ways', found[method, UNCHANGED][name], 'f1')})"
        for (method, name), (number, one) in best.items()
    ]
    columns = ["method", "way"]
    for name in shown:
        columns += [f"{name}: AUROC", "F1", "spec."]
    left_out = len(study.classes) - len(shown)
    note = f" {left_out} more classes are in the file." if left_out else ""
    text = (
        "[table:ways] compares learning anew with ways that need fewer shifted images "
        "or labels. "
    )
    if sentences:
        text += (
            "Of the ways without a labelled anomaly, the highest F1 on these test "
            f"images is {listed(sentences)}. These were picked on the images that they "
            "are measured on, so they are too good, and differences were not tested."
        )
    return [
        Paragraph(text, heading="With less effort"),
        Table(
            "ways",
            "Ways to go on in the shifted domain, on shifted test images, without "
            f"intervals.{note}",
            columns,
            rows,
            2,
            [WAYS],
        ),
    ]
