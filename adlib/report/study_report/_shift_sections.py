"""What the shift costs, and what adaptation wins back."""

from __future__ import annotations

from adlib.report.document import Block, Illustration, Paragraph, Table
from adlib.report.study_report._comparisons import (
    MEANS,
    SIGNED,
    change,
    compared,
    difference_sentence,
    mean_change,
    over_classes,
    pixel_figure,
)
from adlib.report.study_report._figures import conditions_picture
from adlib.report.study_report._judgements import tally_phrase
from adlib.report.study_report._study import (
    ADAPTED,
    CLEAN,
    CONDITIONS,
    RETHRESHOLDED,
    SHIFTED,
    Study,
    listed,
)
from adlib.report.study_report._way_section import way_blocks


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
        *way_blocks(study),
    ]


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
                        pixel_figure(study, file, method, name, "auroc"),
                        pixel_figure(study, file, method, name, "aupro"),
                    ]
                )
    columns = ["class", "method", "condition", "AUROC", "F1", "recall", "spec."]
    return Table(
        "conditions",
        "All conditions. AUROC and F1 have 95 % intervals, the other figures none.",
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
            cells = [change(study, file, effect, number, metric=m) for m in MEANS]
            p_value = study.cite.p_value(file, effect, number, "p_value")
            n_images = study.cite.get(file, effect, number, "n_images", form="d")
            rows.append([label, method, name, n_images, *cells, p_value])
    columns = ["change", "method", "class", "images", "AUROC", "F1", "specificity"]
    columns.append("p of AUROC")
    return Table(
        "changes",
        "Changes on the same test images, with 95 % intervals. Clean to shifted: "
        "nothing adapted. New "
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
        for number in compared(study, file):
            place = ("comparison", "classes", number)
            rows.append(
                [
                    condition,
                    study.cite.at(file, *place, "class_name"),
                    study.cite.get(file, *place, "n_images", form="d"),
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
    columns = ["condition", "class", "images", first, second, "difference", "p"]
    columns += ["Holm's p", "permutation p"]
    return Table(
        "comparison",
        f"AUROC of {first} less {second} on the same images: DeLong's interval and p, "
        "that p corrected by Holm for the number of classes, and p by permutation.",
        columns,
        rows,
        2,
        [CLEAN, ADAPTED],
    )


def _cost_text(study: Study) -> str:
    effect = "change_from_clean"
    means = []
    for method in study.methods:
        auroc, f1, specificity = (
            mean_change(study, SHIFTED, f"mean_{effect}", method, which)
            for which in range(3)
        )
        means.append(f"{method}: AUROC {auroc}, F1 {f1}, specificity {specificity}")
    text = (
        f"From clean to shifted images {_tally(study, SHIFTED, effect)} "
        "([table:conditions], [table:changes], [figure:conditions]). "
        f"{study.mean_changes('')}, without an interval: {'; '.join(means)}."
    )
    hidden = [
        m
        for m in study.methods
        if study.cite.at(SHIFTED, f"mean_{effect}", m, "image_specificity")
        < 2 * study.cite.at(SHIFTED, f"mean_{effect}", m, "image_f1")
        < 0
    ]
    if hidden:
        text += (
            f" For {listed(hidden)} mean F1 falls by less than half as much as mean "
            "specificity: F1 does not count the normal images that are judged rightly, "
            "and hides false alarms where most images are anomalous."
        )
    return text


def _threshold_text(study: Study) -> str:
    parts, more = [], []
    for method in study.methods:
        won = ("mean_explained_by_threshold", method, 1)
        left = ("mean_explained_by_model", method, 1)
        parts.append(
            f"{method} {mean_change(study, RETHRESHOLDED, *won)} by the threshold, "
            f"{mean_change(study, RETHRESHOLDED, *left)} left to the model"
        )
        threshold, model = (
            study.cite.at(RETHRESHOLDED, effect, method, "image_f1")
            for effect, _, _ in (won, left)
        )
        if model > max(threshold, 0):
            more.append(method)
    text = (
        "Thresholds of best F1 on shifted validation images leave every AUROC as it "
        f"is. {study.mean_changes(' of F1')}, without an interval ([table:changes] has "
        f"those of each class with one): {'; '.join(parts)}."
    )
    if more:
        text += (
            f" So for {listed(more)} the new threshold wins back less of mean F1 than "
            "is still missing. What is missing may lie in the ranking of the images, "
            "or in a threshold that suits validation images better than test images."
        )
    return text


def _adapted_text(study: Study) -> str:
    effect = "change_from_no_adaptation"
    means = []
    for method in study.methods:
        over, against = (
            mean_change(study, ADAPTED, f"mean_{one}", method, 0)
            for one in (effect, "change_from_clean")
        )
        means.append(f"{method} {over} over nothing adapted, {against} against clean")
    sentences = " ".join(
        difference_sentence(study, ADAPTED, n) for n in compared(study, ADAPTED)
    )
    return (
        "Models that learn the shifted training images, against nothing adapted: "
        f"{_tally(study, ADAPTED, effect)}. Against clean models on clean images: "
        f"{_tally(study, ADAPTED, 'change_from_clean')} "
        f"([table:changes]). {study.mean_changes(' of AUROC')}, without an interval: "
        f"{'; '.join(means)}. {sentences}{over_classes(study, ADAPTED)} "
        "[table:comparison] compares the methods."
    )


def _tally(study: Study, file: str, effect: str) -> str:
    """Return for how many models AUROC rises, falls, or shows no change."""
    differences = [
        study.bounds(file, effect, n, "figures", "image_auroc")
        for n, _, _ in study.changed(file, effect)
    ]
    return tally_phrase(differences, "AUROC", "models")
