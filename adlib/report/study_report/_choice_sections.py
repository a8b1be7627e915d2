"""What single choices and single parts of the shift are worth."""

from __future__ import annotations

from typing import Any

from adlib.report.document import Block, Illustration, Paragraph, Table
from adlib.report.study_report._cited_numbers import p_phrase
from adlib.report.study_report._comparisons import SIGNED
from adlib.report.study_report._figures import ablation_picture, shift_picture
from adlib.report.study_report._judgements import direction, open_cases
from adlib.report.study_report._study import (
    ABLATIONS,
    CHANCE,
    SHIFT_ABLATIONS,
    Study,
    counted,
    listed,
)

WHOLES = ("all parts", "geometric", "photometric")  # more than one part
MOST_ROWS = 16  # choices that the page lists
LIT = " (uneven light on every image)"  # as shift_variants has it
GROUPS = {  # of PatchCore's choices, those that the text takes up
    "coreset": "Another share of patches remembered",
    "selection": "Remembered patches drawn at random instead of by the greedy coreset",
}


def ablation_blocks(study: Study) -> list[Block]:
    """What single choices and single parts of the shift are worth."""
    blocks: list[Block] = []
    if study.cite.has(ABLATIONS):
        blocks += [
            Paragraph(_ablation_text(study), heading="Choices"),
            *([_ablation_table(study)] if _choices(study) else []),
            Illustration(
                "ablations",
                f"{study.methods[0]} with one choice changed at a time, on validation "
                f"images, with 95 % intervals{study.interval_kind(ABLATIONS)}.",
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
                "all of them at three severities, with 95 % intervals"
                f"{study.interval_kind(SHIFT_ABLATIONS)}.",
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
        and direction(row["difference_low"], row["difference_high"])
    ]
    return sorted(found, key=lambda pair: pair[1]["difference"])


def _ablation_text(study: Study) -> str:
    rows = study.cite.at(ABLATIONS, "rows")
    compared = [row for row in rows if row["difference_low"] is not None]
    clear = _choices(study)
    text = (
        f"Of {len(compared)} single changes, a change of AUROC is shown for "
        f"{len(clear)} ({'[table:choices], ' if clear else ''}[figure:ablations]); "
        "if none had an effect, it would be for about one in twenty. "
    )
    for group, what in GROUPS.items():
        of_group = [
            (number, row)
            for number, row in enumerate(rows)
            if row["group"] == group and row["difference_low"] is not None
        ]
        if of_group:
            text += f"{what}: {_group_text(study, of_group)}. "
    return text.rstrip()


def _group_text(study: Study, rows: list[tuple[int, dict[str, Any]]]) -> str:
    """Say where a choice of PatchCore changes AUROC, and where that is not shown."""
    shown, n_open = [], 0
    for number, row in rows:
        if not direction(row["difference_low"], row["difference_high"]):
            n_open += 1
            continue
        by = study.cite.get(ABLATIONS, "rows", number, "difference", form=SIGNED)
        shown.append(f"{by} on {row['class_name']} ({row['name']})")
    texts = [f"AUROC changes by {listed(shown)}"] if shown else []
    if n_open:
        n_judged = sorted({row["n_judged"] for _, row in rows})
        images = " to ".join(dict.fromkeys(f"{n}" for n in (n_judged[0], n_judged[-1])))
        cases = open_cases(n_open, len(rows), "comparisons")
        texts.append(f"no change of AUROC is shown in {cases}, of {images} images each")
    return "; ".join(texts)


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
        "Single changes whose 95 % interval of the difference of AUROC leaves out 0, "
        "against the model as configured, on validation images; not corrected for "
        f"their number.{note}",
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
    lowest, shown = [], []
    for (name, method), (number, row) in worst.items():
        place = ("parts", number)
        auroc = study.cite.get(SHIFT_ABLATIONS, *place, "auroc")
        by = study.cite.get(SHIFT_ABLATIONS, *place, "difference", form=SIGNED)
        p_value = p_phrase(study.cite.p_value(SHIFT_ABLATIONS, *place, "p_value"))
        n_images = study.cite.get(SHIFT_ABLATIONS, *place, "n_images", form="d")
        lowest.append(
            f"with {row['judged_on']} on {name} for {method} ({auroc}; {by} to images "
            f"not shifted, {p_value}, {n_images} images)"
        )
        p = row["p_value"]
        shown.append(p is not None and p < CHANCE and row["difference"] < 0)
    lit = study.config["shift"]["illumination"] is not None
    text = (
        f"Each part alone, at the strength of the shift{LIT if lit else ''}, was put "
        "on test images ([figure:parts]). "
    )
    if not lowest:
        return text.rstrip()
    return (
        f"{text}AUROC is lowest {listed(lowest)}. Of these a loss is shown in "
        f"{counted(sum(shown), len(shown), 'cases')}; they were picked as the lowest, "
        "and p is not corrected for that."
    )
