"""The report's other findings: errors, choices, parts of the shift, scores, time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adlib.report.document import Block, Illustration, Paragraph, Table
from adlib.report.study_report._cited_numbers import p_phrase
from adlib.report.study_report._figures import (
    ablation_picture,
    efficiency_picture,
    shift_picture,
)
from adlib.report.study_report._study import (
    ABLATIONS,
    CHANCE,
    CLEAN,
    EFFICIENCY,
    ERRORS,
    INTERPRETATION,
    SHIFT_ABLATIONS,
    Study,
    listed,
)

SIGNED = "+.3f"
WHOLES = ("all parts", "geometric", "photometric")  # more than one part
MOST_ROWS = 16  # choices that the page lists


def error_blocks(study: Study) -> list[Block]:
    """Where both methods fail, and what their errors have in common."""
    if not study.cite.has(ERRORS):
        return []
    blocks: list[Block] = [
        Paragraph(_agreement_text(study), heading="Errors of both"),
        _agreement_table(study),
        Paragraph(_pattern_text(study), heading="What errors have in common"),
        _group_table(study),
    ]
    found = _first_picture(study, "hard")
    if found is not None:
        name, path = found
        blocks.append(
            Illustration(
                "hard",
                f"{name}: clean test images that both methods judge wrongly, with the "
                "maps of both.",
                path,
                [f"phase09/{path.name}", ERRORS],
                width=0.8,
            )
        )
    return blocks


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


def insight_blocks(study: Study) -> list[Block]:
    """What scores are made of, and what they cost in time."""
    blocks: list[Block] = []
    if study.cite.has(INTERPRETATION):
        blocks.append(
            Paragraph(_share_text(study), heading="What carries a score"),
        )
        found = _first_picture(study, "nearest")
        if found is not None:
            name, path = found
            blocks.append(
                Illustration(
                    "nearest",
                    f"{name}: the highest patch of some anomalies, and the good patch "
                    "that its score is the distance to.",
                    path,
                    [f"phase09/{path.name}"],
                    width=0.6,
                )
            )
    if study.cite.has(EFFICIENCY):
        blocks += [
            Paragraph(_time_text(study), heading="Time"),
            _stage_table(study),
            Illustration(
                "efficiency",
                "PatchCore: validation AUROC against the median time for one image, "
                "by the share of patches that is remembered, with 95 % intervals; "
                "learned from as many images as the ablations.",
                efficiency_picture(study),
                [EFFICIENCY],
                width=0.62,
            ),
        ]
    return blocks


def _first_picture(study: Study, kind: str) -> tuple[str, Path] | None:
    """Return the first class that phase 9 drew such a picture of, and the picture."""
    for name in study.classes:
        path = study.outputs / f"phase09/{name}_{kind}.png"
        if path.is_file():
            return name, path
    return None


def _agreement_text(study: Study) -> str:
    more = []
    for name in study.classes:
        found = study.cite.at(ERRORS, "conditions", "clean", name, "agreement")
        if found["both_wrong"] > found["expected_both_wrong"]:
            more.append(name)
    text = (
        "[table:agreement] counts the images that both methods judge wrongly beside "
        "the number that would be expected if their errors had nothing to do with each "
        "other. "
    )
    if more:
        text += (
            f"On clean images of {listed(more)} it is higher: some images are hard for "
            "both, which read the same network's features, and a second opinion from "
            "the other method helps less than their error rates suggest."
        )
    else:
        text += (
            "On clean images it is nowhere higher: the methods fail on different "
            "images, and together they could do better."
        )
    return text


def _agreement_table(study: Study) -> Table:
    rows = []
    kinds = ("both_right", "first_wrong", "second_wrong", "both_wrong")
    for condition, classes in study.cite.at(ERRORS, "conditions").items():
        for name in classes:
            place = ("conditions", condition, name, "agreement")
            cells = [study.cite.get(ERRORS, *place, kind, form="d") for kind in kinds]
            expected = study.cite.get(ERRORS, *place, "expected_both_wrong", form=".1f")
            p_value = study.cite.p_value(ERRORS, *place, "p_value")
            rows.append([condition, name, *cells, expected, p_value])
    first, second = study.methods[:2]
    return Table(
        "agreement",
        f"Test images by who judges them wrongly, and McNemar's p of {first} and "
        f"{second} making as many errors.",
        [
            "condition",
            "class",
            "both right",
            f"only {first} wrong",
            f"only {second} wrong",
            "both wrong",
            "expected",
            "p",
        ],
        rows,
        2,
        [ERRORS],
    )


def _pattern_text(study: Study) -> str:
    texts = []
    for name in study.classes:
        place = ("conditions", "clean", name, "patterns")
        for number, one in enumerate(study.cite.at(ERRORS, *place)):
            if one["p_value"] is None or one["p_value"] >= CHANCE:
                continue
            wrong, right = (
                study.cite.get(ERRORS, *place, number, key, form=".3g")
                for key in ("wrong", "right")
            )
            p_value = p_phrase(study.cite.p_value(ERRORS, *place, number, "p_value"))
            group = "misses" if one["kind"] == "missed" else "false alarms"
            texts.append(
                f"{name}, {one['method']}, {group}: {one['quantity']} {wrong} against "
                f"{right} of those judged rightly ({p_value})"
            )
    text = (
        "Size and place of the defect, brightness and contrast of the image were "
        "compared between images that are judged wrongly and rightly, by rank tests "
        "that are not corrected for their number. "
    )
    if texts:
        text += f"What differs on clean images: {'; '.join(texts)}. "
    else:
        text += "Nothing differs at p < 0.05 on clean images. "
    text += "[table:groups] gives recall by type, size and place."
    if _first_picture(study, "hard") is not None:
        text += " [figure:hard] shows images."
    return text


def _group_table(study: Study) -> Table:
    """Recall by size and place of the defect; by type where there are no masks."""
    cite, rows = study.cite, []
    for name in study.classes:
        for method in study.methods:
            place = ("methods", method, "classes", name)
            for kind in ("defect_types", "sizes", "positions"):
                for group in cite.at(CLEAN, *place, kind) or {}:
                    keys = (*place, kind, group)
                    count = cite.get(CLEAN, *keys, "n_images", form="d")
                    recall, low, high = (
                        cite.get(CLEAN, *keys, key, form=".2f")
                        for key in ("recall", "recall_low", "recall_high")
                    )
                    rows.append([name, kind, group, method, count, recall, low, high])
    order = {kind: i for i, kind in enumerate(("defect_types", "sizes", "positions"))}
    labels = {"defect_types": "type", "sizes": "size", "positions": "place"}
    merged: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for name, kind, group, method, *figures in rows:
        merged.setdefault((name, kind, group), {})[method] = figures
    lines = []
    for (name, kind, group), by_method in sorted(
        merged.items(),
        key=lambda item: (study.classes.index(item[0][0]), order[item[0][1]]),
    ):
        first = next(iter(by_method.values()))
        cells = [
            f"{by_method[m][1]} [{by_method[m][2]}, {by_method[m][3]}]"
            if m in by_method
            else "\N{EN DASH}"
            for m in study.methods
        ]
        lines.append([name, labels[kind], group, first[0], *cells])
    return Table(
        "groups",
        "Share of the anomalous clean test images that is found, by defect type, by "
        "size of the defect (thirds of each class) and by its place, with exact 95 % "
        "intervals.",
        ["class", "by", "group", "images", *study.methods],
        lines,
        3,
        [CLEAN],
    )


def _choices(study: Study) -> list[tuple[int, dict[str, Any]]]:
    """Return the choices whose interval leaves out 0, the greatest difference first."""
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
    shown = clear if len(clear) <= MOST_ROWS else _ends(clear)
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


def _ends(
    rows: list[tuple[int, dict[str, Any]]],
) -> list[tuple[int, dict[str, Any]]]:
    """Return the rows of the greatest differences, lost and won, still in order."""
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
    gains, losses = [], []
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
        elif row["judged_on"] == row["learned_from"] and row["difference"] > 0:
            gains.append(row)
    text = "Each part alone, at the strength of the shift, was put on test images "
    text += "([figure:parts]). "
    if texts:
        text += f"What hurts most is {listed(texts)}. "
    if losses:
        text += (
            "Learning one kind of shift can cost elsewhere; clean images are then "
            f"judged worse by {listed(losses)}."
        )
    return text


def _share_text(study: Study) -> str:
    texts = []
    for number, one in enumerate(study.cite.at(INTERPRETATION, "shares")):
        if one["kind"] != "anomalous":
            continue
        stage = max(one["stages"], key=one["stages"].get)
        share = study.cite.get(
            INTERPRETATION, "shares", number, "stages", stage, form=".0%"
        )
        effective = study.cite.get(
            INTERPRETATION, "shares", number, "effective_number", form=".0f"
        )
        total = study.cite.get(INTERPRETATION, "shares", number, "n_features", form="d")
        texts.append(
            f"on anomalous images of {one['class_name']}, {stage} carries most, "
            f"{share}, and the distance is spread as evenly as over {effective} of "
            f"{total} features"
        )
    return (
        "PatchCore's squared distance is a sum over features, so it can be shared out "
        f"exactly: {listed(texts)}."
    )


def _time_text(study: Study) -> str:
    slowest = []
    for number, row in enumerate(study.cite.at(EFFICIENCY, "stages")):
        rivals = [
            one
            for one in study.cite.at(EFFICIENCY, "stages")
            if (one["method"], one["class_name"]) == (row["method"], row["class_name"])
            and one["stage"] != "all"
        ]
        if row is max(rivals, key=lambda one: one["share"]):
            share = study.cite.get(EFFICIENCY, "stages", number, "share", form=".0%")
            slowest.append(
                f"{row['stage']} for {row['method']} on {row['class_name']} ({share})"
            )
    return (
        "[table:stages] shows what one image takes, from its file to score and map, "
        "one image at a time, and how many images a second there are where reading "
        f"and embedding go on ahead. Most of the time goes to {listed(slowest)}. "
        "[figure:efficiency] shows what a smaller memory bank would cost."
    )


def _stage_table(study: Study) -> Table:
    """Time by stage; one row for each saved model."""
    cite = study.cite
    places = {
        (row["method"], row["class_name"], row["stage"]): number
        for number, row in enumerate(cite.at(EFFICIENCY, "stages"))
    }
    stages = list(dict.fromkeys(stage for _, _, stage in places))
    rows = []
    for number, row in enumerate(cite.at(EFFICIENCY, "saved")):
        model = row["method"], row["class_name"]
        cells = [
            cite.get(
                EFFICIENCY,
                "stages",
                places[*model, stage],
                "p50_milliseconds",
                form=".1f",
            )
            for stage in stages
        ]
        cells += [
            cite.get(EFFICIENCY, "saved", number, key, form=".1f")
            for key in ("p95_milliseconds", "p99_milliseconds", "images_a_second")
        ]
        cells.append(cite.get(EFFICIENCY, "saved", number, "megabytes", form=".0f"))
        rows.append([*model, *cells])
    return Table(
        "stages",
        "Median milliseconds for one image, stage by stage and in all; 95th and 99th "
        "percentile of all; images a second through inspect; size of the model file.",
        ["method", "class", *stages, "95 %", "99 %", "images/s", "MB"],
        rows,
        2,
        [EFFICIENCY],
    )
