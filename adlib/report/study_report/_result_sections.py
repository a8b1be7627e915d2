"""The report's results: clean, shifted, adapted, one model for all."""

from __future__ import annotations

from typing import Any

from adlib.report.document import Block, Illustration, Paragraph, Table
from adlib.report.study_report._cited_numbers import p_phrase
from adlib.report.study_report._figures import conditions_picture, roc_picture
from adlib.report.study_report._study import (
    ADAPTED,
    CHANCE,
    CLEAN,
    CONDITIONS,
    GLOBAL,
    GLOBAL_ANALYSIS,
    RETHRESHOLDED,
    SHIFTED,
    WAYS,
    Study,
    counted,
    listed,
)

SIGNED = "+.3f"
MEANS = ("image_auroc", "image_f1", "image_specificity")
MOST_CLASSES = 3  # that a table has columns for


def clean_blocks(study: Study) -> list[Block]:
    """What the models are worth on clean test images."""
    sentences = [_difference_sentence(study, CLEAN, n) for n in _compared(study, CLEAN)]
    return [
        Paragraph(
            f"[table:clean] has every model's figures. {' '.join(sentences)}"
            f"{_over_classes(study, CLEAN)} [figure:roc] shows the same in all cuts.",
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


def shift_blocks(study: Study) -> list[Block]:
    """What the shift costs, and what adaptation wins back."""
    return [
        Paragraph(_cost_text(study), heading="Shifted test images, nothing adapted"),
        _conditions_table(study),
        Illustration(
            "conditions",
            "AUROC with 95 % intervals in all conditions.",
            conditions_picture(study),
            list(CONDITIONS.values()),
            width=0.66,
        ),
        Paragraph(_threshold_text(study), heading="New thresholds alone"),
        _changes_table(study),
        Paragraph(_adapted_text(study), heading="Learned anew"),
        _comparison_table(study),
        *_way_blocks(study),
    ]


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
                _change(study, GLOBAL, *place, metric="image_auroc"),
                cite.p_value(GLOBAL, *place, "p_value"),
                _change(study, GLOBAL, *place, metric="image_f1"),
                _change(
                    study, GLOBAL, "change_by_threshold", number, metric="image_f1"
                ),
            ]
        )
        bounds = study.bounds(GLOBAL, *place, "figures", "image_auroc")
        if bounds.clear:
            sense = "better" if bounds.difference > 0 else "worse"
            clear.append(
                f"{method} ranks the images of {name} {sense} "
                f"({_change(study, GLOBAL, *place, metric='image_auroc')})"
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
            cells += [_pixel(study, CLEAN, method, name, m) for m in ("auroc", "aupro")]
            rows.append([method, name, *cells])
        if len(study.classes) > 1:
            means = cite.at(CLEAN, "methods", method, "macro_average")
            names = [f"image_{m}" for m in ("auroc", "auprc", "f1", *at_threshold)]
            names += ["pixel_auroc", "aupro"]
            averages = ("methods", method, "macro_average")
            cells = [
                cite.get(CLEAN, *averages, m) if m in means else "\N{EN DASH}"
                for m in names
            ]
            rows.append([method, "macro average", *cells])
    columns = ["method", "class", "AUROC", "AUPRC", "F1", "accuracy", "precision"]
    columns += ["recall", "spec.", "pixel AUROC", "AUPRO"]
    return Table(
        "clean",
        "Clean test images, with 95 % intervals. A dash: the set has no masks, or not "
        "every class has the figure.",
        columns,
        rows,
        2,
        [CLEAN],
    )


def _conditions_table(study: Study) -> Table:
    cite, rows = study.cite, []
    for name in study.classes:
        for method in study.methods:
            for condition, file in CONDITIONS.items():
                place = ("methods", method, "classes", name)
                rows.append(
                    [
                        name,
                        method,
                        condition,
                        cite.interval(file, *place, "image", "auroc", value="value"),
                        cite.interval(file, *place, "image", "f1", value="value"),
                        cite.get(file, *place, "image", "recall"),
                        cite.get(file, *place, "image", "specificity"),
                        _pixel(study, file, method, name, "auroc"),
                        _pixel(study, file, method, name, "aupro"),
                    ]
                )
    columns = ["class", "method", "condition", "AUROC", "F1", "recall", "spec."]
    return Table(
        "conditions",
        "All conditions, with 95 % intervals.",
        [*columns, "pixel AUROC", "AUPRO"],
        rows,
        3,
        list(CONDITIONS.values()),
    )


def _changes_table(study: Study) -> Table:
    effects = (
        ("clean to shifted", SHIFTED, "change_from_clean"),
        ("new threshold", RETHRESHOLDED, "explained_by_threshold"),
        ("left to the model", RETHRESHOLDED, "explained_by_model"),
        ("learned anew", ADAPTED, "change_from_no_adaptation"),
        ("still lost", ADAPTED, "change_from_clean"),
    )
    rows = []
    for label, file, effect in effects:
        for number, method, name in study.changed(file, effect):
            cells = [_change(study, file, effect, number, metric=m) for m in MEANS]
            p_value = study.cite.p_value(file, effect, number, "p_value")
            rows.append([label, method, name, *cells, p_value])
    columns = ["change", "method", "class", "AUROC", "F1", "specificity", "p of AUROC"]
    return Table(
        "changes",
        "Changes on the same test images. Clean to shifted: nothing adapted. New "
        "threshold: what it adds to that. Left to the model: what then lacks to the "
        "clean domain. Learned anew: over nothing adapted. Still lost: learned anew "
        "less clean.",
        columns,
        rows,
        3,
        [SHIFTED, RETHRESHOLDED, ADAPTED],
    )


def _comparison_table(study: Study) -> Table:
    rows = []
    for condition, file in (("clean", CLEAN), ("shifted, learned anew", ADAPTED)):
        for number in _compared(study, file):
            place = ("comparison", "classes", number)
            rows.append(
                [
                    condition,
                    study.cite.at(file, *place, "class_name"),
                    study.cite.get(file, *place, "auroc", 0),
                    study.cite.get(file, *place, "auroc", 1),
                    study.cite.interval(
                        file, *place, "delong", value="difference", form=SIGNED
                    ),
                    study.cite.p_value(file, *place, "delong", "p_value"),
                    study.cite.p_value(file, *place, "corrected_p"),
                    study.cite.p_value(file, *place, "permutation_p"),
                ]
            )
    first, second = study.cite.at(CLEAN, "comparison", "methods")
    columns = ["condition", "class", first, second, "difference", "p", "Holm's p"]
    return Table(
        "comparison",
        f"AUROC of {first} less {second} on the same images: DeLong's interval and p, "
        "corrected for the number of classes, and p by permutation.",
        [*columns, "permutation p"],
        rows,
        2,
        [CLEAN, ADAPTED],
    )


def _way_blocks(study: Study) -> list[Block]:
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
                    cells.append("\N{EN DASH}")
                    continue
                cells.append(study.cite.get(WAYS, "ways", places[name], metric))
        rows.append([method, way, *cells])
    unlabelled = [
        (number, one)
        for number, one in enumerate(study.cite.at(WAYS, "ways"))
        if one["n_labelled"] == 0 and one["way"] != "threshold of the clean domain"
    ]
    for number, one in unlabelled:
        key = one["method"], one["class_name"]
        if key not in best or one["f1"] > best[key][1]["f1"]:
            best[key] = (number, one)
    sentences = [
        f"on {name} for {method} \N{LEFT DOUBLE QUOTATION MARK}{one['way']}"
        f"\N{RIGHT DOUBLE QUOTATION MARK} (F1 "
        f"{study.cite.get(WAYS, 'ways', number, 'f1')}, specificity "
        f"{study.cite.get(WAYS, 'ways', number, 'specificity')})"
        for (method, name), (number, one) in best.items()
    ]
    columns = ["method", "way"]
    for name in shown:
        columns += [f"{name}: AUROC", "F1", "spec."]
    left_out = len(study.classes) - len(shown)
    note = f" {left_out} more classes are in the file." if left_out else ""
    text = (
        "Between nothing and all there are cheaper ways ([table:ways]): thresholds "
        "moved by unlabelled shifted images, and a clean memory bank topped up with a "
        "few shifted good images. "
    )
    if sentences:
        text += f"Without a labelled anomaly, F1 is highest {listed(sentences)}."
    return [
        Paragraph(text, heading="With less effort"),
        Table(
            "ways",
            f"Ways to go on in the shifted domain, on shifted test images.{note}",
            columns,
            rows,
            2,
            [WAYS],
        ),
    ]


def _cost_text(study: Study) -> str:
    found = [
        study.bounds(SHIFTED, "change_from_clean", n, "figures", "image_auroc")
        for n, _, _ in study.changed(SHIFTED, "change_from_clean")
    ]
    worse = sum(one.high < 0 for one in found)
    means = []
    for method in study.methods:
        auroc, f1, specificity = (
            _mean(study, SHIFTED, "mean_change_from_clean", method, which)
            for which in range(3)
        )
        means.append(f"{method}: AUROC {auroc}, F1 {f1}, specificity {specificity}")
    text = (
        f"From clean to shifted images AUROC clearly falls for "
        f"{counted(worse, len(found), 'models')} ([table:conditions], "
        f"[figure:conditions]). Mean changes over classes: {'; '.join(means)}."
    )
    hidden = [
        m
        for m in study.methods
        if study.cite.at(SHIFTED, "mean_change_from_clean", m, "image_specificity")
        < 2 * study.cite.at(SHIFTED, "mean_change_from_clean", m, "image_f1")
        < 0
    ]
    if hidden:
        text += (
            f" For {listed(hidden)} F1 falls by less than half as much as specificity: "
            "most test images are anomalous, and a model that calls nearly every image "
            "anomalous keeps a fair F1 while it is of no use on a line."
        )
    return text


def _threshold_text(study: Study) -> str:
    parts, more = [], []
    for method in study.methods:
        won = ("mean_explained_by_threshold", method, 1)
        left = ("mean_explained_by_model", method, 1)
        parts.append(
            f"{method} {_mean(study, RETHRESHOLDED, *won)} by the threshold, "
            f"{_mean(study, RETHRESHOLDED, *left)} left to the model"
        )
        threshold, model = (
            study.cite.at(RETHRESHOLDED, effect, method, "image_f1")
            for effect, _, _ in (won, left)
        )
        if model > max(threshold, 0):
            more.append(method)
    text = (
        "Thresholds of best F1 on shifted validation images leave every AUROC as it "
        f"is. Mean changes of F1 over classes ([table:changes]): {'; '.join(parts)}."
    )
    if more:
        text += (
            f" So for {listed(more)} most of what the shift costs lies in the ranking "
            "of the images, which no threshold mends."
        )
    return text


def _adapted_text(study: Study) -> str:
    effect = "change_from_no_adaptation"
    won = [
        study.bounds(ADAPTED, effect, n, "figures", "image_auroc")
        for n, _, _ in study.changed(ADAPTED, effect)
    ]
    lost = [
        study.bounds(ADAPTED, "change_from_clean", n, "figures", "image_auroc")
        for n, _, _ in study.changed(ADAPTED, "change_from_clean")
    ]
    n_better = sum(one.low > 0 for one in won)
    n_below = sum(one.high < 0 for one in lost)
    means = [
        f"{method} {_mean(study, ADAPTED, 'mean_' + effect, method, 0)} over nothing "
        f"adapted, {_mean(study, ADAPTED, 'mean_change_from_clean', method, 0)} "
        "against clean"
        for method in study.methods
    ]
    sentences = " ".join(
        _difference_sentence(study, ADAPTED, n) for n in _compared(study, ADAPTED)
    )
    return (
        "Models that learn the shifted training images rank clearly better than "
        f"without adaptation in {counted(n_better, len(won), 'cases')}, and clearly "
        f"worse than clean models on clean images in "
        f"{counted(n_below, len(lost), 'cases')}. Mean changes of AUROC over classes: "
        f"{'; '.join(means)}. {sentences}{_over_classes(study, ADAPTED)} "
        "[table:comparison] compares the methods."
    )


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


def _difference_sentence(study: Study, file: str, number: int) -> str:
    """Say of one class which method ranks better, if that is clear."""
    place = ("comparison", "classes", number)
    first, second = study.cite.at(file, "comparison", "methods")
    name = study.cite.at(file, *place, "class_name")
    by = study.cite.interval(file, *place, "delong", value="difference", form=SIGNED)
    p_value = p_phrase(study.cite.p_value(file, *place, "corrected_p"))
    figures = f"AUROC of {first} less {second} {by}, Holm's {p_value}"
    if study.cite.at(file, *place, "corrected_p") >= CHANCE:
        return f"On {name} the methods cannot be told apart ({figures})."
    ahead = study.cite.at(file, *place, "delong", "difference") > 0
    better, other = (first, second) if ahead else (second, first)
    return f"On {name} {better} ranks images better than {other} ({figures})."


def _over_classes(study: Study, file: str) -> str:
    found = study.cite.at(file, "comparison")
    if not found.get("over_classes"):
        return ""
    p_value = p_phrase(
        study.cite.p_value(file, "comparison", "over_classes", "p_value")
    )
    few = 5
    n_classes = len(found["classes"])
    weak = ", which so few can hardly decide" if n_classes < few else ""
    return f" Over the {n_classes} classes a paired t-test gives {p_value}{weak}."


def _compared(study: Study, file: str) -> range:
    return range(len(study.cite.at(file, "comparison", "classes")))


def _change(study: Study, file: str, effect: str, number: int, *, metric: str) -> str:
    place = (effect, number, "figures", metric)
    return study.cite.interval(file, *place, value="difference", form=SIGNED)


def _mean(study: Study, file: str, effect: str, method: str, which: int) -> str:
    return study.cite.get(file, effect, method, MEANS[which], form=SIGNED)


def _pixel(study: Study, file: str, method: str, name: str, metric: str) -> str:
    place = ("methods", method, "classes", name, "pixel")
    if not study.cite.at(file, *place):
        return "\N{EN DASH}"
    return study.cite.get(file, *place, metric)
