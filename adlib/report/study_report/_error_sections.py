"""Where both methods fail, and what their errors have in common."""

from __future__ import annotations

from adlib.report.document import Block, Illustration, Paragraph, Table
from adlib.report.study_report._cited_numbers import Key, p_phrase
from adlib.report.study_report._comparisons import first_picture
from adlib.report.study_report._study import CHANCE, CLEAN, ERRORS, Study, listed


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
    found = first_picture(study, "hard", _hardest(study))
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


def _hardest(study: Study) -> list[str]:
    """Return the classes, that with the most images that both misjudge first."""

    def both_wrong(name: str) -> int:
        place = ("conditions", "clean", name, "agreement", "both_wrong")
        return int(study.cite.at(ERRORS, *place))

    return sorted(study.classes, key=both_wrong, reverse=True)


def _agreement_text(study: Study) -> str:
    counts: dict[bool, list[str]] = {True: [], False: []}
    for name in study.classes:
        place = ("conditions", "clean", name, "agreement")
        found = study.cite.at(ERRORS, *place)
        both = study.cite.get(ERRORS, *place, "both_wrong", form="d")
        expected = study.cite.get(ERRORS, *place, "expected_both_wrong", form=".1f")
        above = found["both_wrong"] > found["expected_both_wrong"]
        counts[above].append(f"{name} ({both} against {expected})")
    text = (
        "[table:agreement] counts the images that both methods judge wrongly beside "
        "the number that would be expected if their errors had nothing to do with each "
        "other. "
    )
    if counts[True]:
        text += f"On clean images it is more than that on {listed(counts[True])}. "
    if counts[False]:
        text += f"On clean images it is not more than that on {listed(counts[False])}. "
    return text + "Whether these numbers differ by more than chance was not tested."


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
    texts, quantities, n_tests = [], [], 0
    for name in study.classes:
        place = ("conditions", "clean", name, "patterns")
        for number, one in enumerate(study.cite.at(ERRORS, *place)):
            if one["p_value"] is None:
                continue
            n_tests += 1
            quantities.append(one["quantity"])
            if one["p_value"] >= CHANCE:
                continue
            wrong, right = (
                study.cite.get(ERRORS, *place, number, key, form=".3g")
                for key in ("wrong", "right")
            )
            n_wrong, n_right = (
                study.cite.get(ERRORS, *place, number, f"n_{key}", form="d")
                for key in ("wrong", "right")
            )
            p_value = p_phrase(study.cite.p_value(ERRORS, *place, number, "p_value"))
            group = "misses" if one["kind"] == "missed" else "false alarms"
            texts.append(
                f"{name}, {one['method']}, {group}: {one['quantity']} {wrong} in "
                f"{n_wrong} images against {right} in {n_right} that are judged "
                f"rightly ({p_value})"
            )
    if not n_tests:
        text = "There are too few errors on clean images to compare with the others. "
    else:
        text = (
            "Clean images that are judged wrongly were compared with those that are "
            f"judged rightly by {listed(list(dict.fromkeys(quantities)))}: {n_tests} "
            "rank tests, not corrected for their number; if nothing differed, about "
            f"one in twenty would have p < {CHANCE}. "
        )
        text += (
            f"Below that: {'; '.join(texts)}. "
            if texts
            else "None has, so no difference is shown. "
        )
    text += "[table:groups] gives recall by groups of images."
    if first_picture(study, "hard", _hardest(study)) is not None:
        text += " [figure:hard] shows images."
    return text


def _group_table(study: Study) -> Table:
    """Recall by type, size and place of the defect; by type alone without masks."""
    cite, rows = study.cite, []
    kinds = {"defect_types": "type", "sizes": "size", "positions": "place"}
    for name in study.classes:
        places = [("methods", m, "classes", name) for m in study.methods]
        for kind, label in kinds.items():
            for group in cite.at(CLEAN, *places[0], kind) or {}:
                count = cite.get(CLEAN, *places[0], kind, group, "n_images", form="d")
                recalls = [_recall(study, *place, kind, group) for place in places]
                rows.append([name, label, group, count, *recalls])
    return Table(
        "groups",
        "Share of the anomalous clean test images that is found, with 95 % "
        "intervals: by defect type and, where there are masks, by size of the defect "
        "(thirds of each class) and by its place.",
        ["class", "by", "group", "images", *study.methods],
        rows,
        3,
        [CLEAN],
    )


def _recall(study: Study, *place: Key) -> str:
    """Return the share of a group that is found, with its interval."""
    recall, low, high = (
        study.cite.get(CLEAN, *place, key, form=".2f")
        for key in ("recall", "recall_low", "recall_high")
    )
    return f"{recall} [{low}, {high}]"
