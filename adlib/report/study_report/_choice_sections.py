"""What single choices and single parts of the shift are worth."""

from __future__ import annotations

from typing import Any

from adlib.report.document import Block, Illustration, Paragraph, Table
from adlib.report.study_report._comparisons import SIGNED
from adlib.report.study_report._figures import ablation_picture, shift_picture
from adlib.report.study_report._study import (
    ABLATIONS,
    CHANCE,
    SHIFT_ABLATIONS,
    Study,
    listed,
)

WHOLES = ("all parts", "geometric", "photometric")  # more than one part
MOST_ROWS = 16  # choices that the page lists


def ablation_blocks(study: Study) -> list[Block]:
    """What single choices and single parts of the shift are worth."""
    blocks: list[Block] = []
    if study.cite.has(ABLATIONS):
        blocks += [
            Paragraph(_ablation_text(study), heading="Choices"),
            _ablation_table(study),
            Illustration(
                "ablations",
                "PatchCore with one choice changed at a time, on validation images, "
                "with 95 % intervals.",
                ablation_picture(study, study.methods[0]),
                [ABLATIONS],
                width=0.6,
            ),
        ]
    if study.cite.has(SHIFT_ABLATIONS):
        blocks += [
            Paragraph(_part_text(study), heading="Parts of the shift"),
            Illustration(
                "parts",
                "Clean models on test images with single parts of the shift, and with "
                "all of them at three severities.",
                shift_picture(study),
                [SHIFT_ABLATIONS],
                width=0.6,
            ),
        ]
    return blocks


def _choices(study: Study) -> list[tuple[int, dict[str, Any]]]:
    """Return the choices whose interval leaves out 0, the greatest loss first."""
    found = [
        (number, row)
        for number, row in enumerate(study.cite.at(ABLATIONS, "rows"))
        if row["difference_low"] is not None
        and (row["difference_low"] > 0 or row["difference_high"] < 0)
    ]
    return sorted(found, key=lambda pair: pair[1]["difference"])


def _ablation_text(study: Study) -> str:
    rows = study.cite.at(ABLATIONS, "rows")
    compared = [row for row in rows if row["difference_low"] is not None]
    clear = _choices(study)
    text = (
        f"Of {len(compared)} single changes, {len(clear)} change AUROC clearly "
        f"({'[table:choices], ' if clear else ''}[figure:ablations]); by chance alone, "
        "one in twenty would. "
    )
    fractions = [
        row
        for row in compared
        if row["group"] == "coreset" and row["method"] == "PatchCore"
    ]
    matter = [row for _, row in clear if row in fractions]
    if fractions and not matter:
        text += "The share of patches that is remembered is not among them. "
    random = [(n, row) for n, row in clear if row["group"] == "selection"]
    if random and all(row["difference"] < 0 for _, row in random):
        figures = [
            f"{study.cite.get(ABLATIONS, 'rows', n, 'difference', form=SIGNED)} on "
            f"{row['class_name']} ({row['name']})"
            for n, row in random
        ]
        text += (
            f"Drawing the remembered patches at random instead changes AUROC by "
            f"{listed(figures)}: the greedy coreset earns its time."
        )
    return text


def _ablation_table(study: Study) -> Table:
    rows = []
    clear = _choices(study)
    shown = _greatest(clear)
    for number, row in shown:
        place = ("rows", number)
        bounds = [
            study.cite.get(ABLATIONS, *place, f"difference{end}", form=SIGNED)
            for end in ("", "_low", "_high")
        ]
        rows.append(
            [
                row["method"],
                f"{row['group']}: {row['name']}",
                row["class_name"],
                study.cite.get(ABLATIONS, *place, "auroc"),
                f"{bounds[0]} [{bounds[1]}, {bounds[2]}]",
                study.cite.p_value(ABLATIONS, *place, "p_value"),
                study.cite.get(ABLATIONS, *place, "score_milliseconds", form=".0f"),
            ]
        )
    left_out = len(clear) - len(shown)
    note = f" {left_out} more between them are in the file." if left_out else ""
    return Table(
        "choices",
        "Single changes that change AUROC clearly, against the model as configured, on "
        f"validation images (DeLong).{note}",
        ["method", "change", "class", "AUROC", "difference", "p", "ms an image"],
        rows,
        3,
        [ABLATIONS],
    )


def _greatest(
    rows: list[tuple[int, dict[str, Any]]],
) -> list[tuple[int, dict[str, Any]]]:
    """Return what a page lists: the greatest differences, lost and won, in order."""
    greatest = sorted(rows, key=lambda pair: -abs(pair[1]["difference"]))
    kept = {number for number, _ in greatest[:MOST_ROWS]}
    return [pair for pair in rows if pair[0] in kept]


def _part_text(study: Study) -> str:
    worst: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
    for number, row in enumerate(study.cite.at(SHIFT_ABLATIONS, "parts")):
        if row["severity"] != "moderate" or row["judged_on"] in WHOLES:
            continue
        key = row["class_name"], row["method"]
        if key not in worst or row["auroc"] < worst[key][1]["auroc"]:
            worst[key] = (number, row)
    texts = [
        f"{row['judged_on']} on {name} for {method} (AUROC "
        f"{study.cite.get(SHIFT_ABLATIONS, 'parts', number, 'auroc')})"
        for (name, method), (number, row) in worst.items()
    ]
    losses = []
    for number, row in enumerate(study.cite.at(SHIFT_ABLATIONS, "crossed")):
        if row["learned_from"] == "not shifted" or row["p_value"] >= CHANCE:
            continue
        if row["judged_on"] == "not shifted" and row["difference"] < 0:
            by = study.cite.get(
                SHIFT_ABLATIONS, "crossed", number, "difference", form=SIGNED
            )
            losses.append(
                f"{row['method']} on {row['class_name']} from {row['learned_from']} "
                f"images ({by})"
            )
    text = (
        "Each part alone, at the strength of the shift, was put on test images "
        "([figure:parts]). "
    )
    if texts:
        text += f"What hurts most is {listed(texts)}. "
    if losses:
        text += (
            "Learning one kind of shift can cost elsewhere; clean images are then "
            f"judged worse by {listed(losses)}."
        )
    return text
