"""The report's last sections: what its figures cannot say, and what is next."""

from __future__ import annotations

from adlib.datasets._shift_settings import GEOMETRIC
from adlib.report.document import Paragraph, Section
from adlib.report.study_report._comparisons import mean_change
from adlib.report.study_report._judgements import direction
from adlib.report.study_report._setup_sections import alone_types
from adlib.report.study_report._study import (
    ABLATIONS,
    ADAPTED,
    CLEAN,
    COUNTS,
    ERRORS,
    GLOBAL,
    SHIFTED,
    Study,
    listed,
)

KINDS = ("normal", "anomalous")


def limit_section(study: Study) -> Section:
    """Say what the figures leave open."""
    good = {name: study.cite.at(COUNTS, name, "test")["good"] for name in study.classes}
    fewest = min(good, key=lambda name: good[name])
    number = study.cite.get(COUNTS, fewest, "test", "good", form="d")
    entry = ("methods", study.methods[0], "classes", fewest, "image", "auroc")
    auroc = study.cite.interval(CLEAN, *entry, value="value")
    mixed = []
    for name in study.classes:
        place = ("methods", study.methods[0], "classes", name)
        n_anomalous = study.cite.get(CLEAN, *place, "n_anomalous", form="d")
        total = sum(study.cite.at(CLEAN, *place, f"n_{k}") for k in KINDS)
        mixed.append(f"{n_anomalous} of {total} test images of {name}")
    n_classes = len(study.classes)
    return Section(
        "Limits, bias and generalisation",
        [
            Paragraph(
                f"No class has fewer normal test images than {fewest}, {number}: "
                f"{study.methods[0]}'s AUROC there is {auroc}. "
                f"{n_classes} {'class' if n_classes == 1 else 'classes'}, one split "
                "and one seed are little to judge other products by; intervals cover "
                "the choice of test images, not that of training images or seeds.",
                heading="Size",
            ),
            Paragraph(
                "The shift is synthetic, and its parts are drawn independently for "
                "each image; a real change of camera or lamp may be the same for all "
                "images. What helps here should be tried on images from the line."
                f"{_pose_text(study)}",
                heading="The shift",
            ),
            Paragraph(
                "The network is frozen: it was not fitted to these parts, and may "
                "respond little to textures or wavelengths that it was not trained "
                f"on. {_type_text(study)}Anomalous are {listed(mixed)}; where such "
                "images are rarer, as on a line, the same rate of false alarms weighs "
                "more in precision and F1. adlib can set thresholds by a rate of false "
                "alarms from good images alone.",
                heading="Bias",
            ),
            Paragraph(
                "Scores of different models need not be on one scale, and the macro "
                "average counts each class the same, however many images it has."
                f"{_fewer_text(study)}{_error_text(study)}",
                heading="Comparisons",
            ),
        ],
    )


def future_section(study: Study) -> Section:
    """Say what the results ask for next."""
    lost = [
        (
            f"{method} on {name}",
            study.bounds(ADAPTED, "change_from_clean", n, "figures", "image_auroc"),
        )
        for n, method, name in study.changed(ADAPTED, "change_from_clean")
    ]
    below = [model for model, one in lost if direction(one.low, one.high) < 0]
    effect = "mean_change_from_clean"
    falling = [
        f"{mean_change(study, SHIFTED, effect, method, 2)} for {method}"
        for method in study.methods
        if study.cite.at(SHIFTED, effect, method, "image_specificity") < 0
    ]
    texts = []
    if below:
        texts.append(
            "Learned anew, AUROC on shifted images stays below the clean figure for "
            f"{listed(below)} ([table:changes]). Aligning the images before they are "
            "judged, networks that were trained to ignore light and focus, and "
            "training images shifted more than once each could be tried."
        )
    if len(below) < len(lost):
        others = [model for model, _ in lost if model not in below]
        texts.append(
            "Learned anew, no loss of AUROC against the clean figure is shown for "
            f"{listed(others)}; [table:changes] has the intervals. More test images "
            "would tell more, and whether fewer shifted images do as well is open."
        )
    if falling:
        texts.append(
            f"Under the shift mean specificity changes by {listed(falling)}: there "
            "are more false alarms on these images. How soon the scores of unlabelled "
            "images tell of such a shift was not measured."
        )
    if study.cite.has(GLOBAL):
        texts.append(
            f"One model for all was tried on {len(study.classes)} classes; more "
            "classes, and such that resemble each other, would be further tests."
        )
    texts.append(
        "Larger networks and images cost time; where a line can afford them, they "
        "should be compared by the same protocol."
    )
    return Section("Future work", [Paragraph(" ".join(texts))])


def _pose_text(study: Study) -> str:
    """Say what a moved part does to PaDiM, where the shift moves parts."""
    if all(study.config["shift"][part] is None for part in GEOMETRIC):
        return ""
    return (
        " The shift moves the part in the image, and PaDiM compares each place of an "
        "image with the same place of the training images."
    )


def _type_text(study: Study) -> str:
    """Say what thresholds of best F1 suit, if validation and test have one set."""
    if alone_types(study):
        return ""
    return (
        "Anomalies in validation and test are of the same types, so thresholds of best "
        "F1 suit these types, and a new type of defect may be found less often. "
    )


def _fewer_text(study: Study) -> str:
    """Say where ablations learned from fewer images than the models of the tables."""
    if not study.cite.has(ABLATIONS):
        return ""
    fewer = []
    for name in study.classes:
        n_training = study.cite.at(COUNTS, name, "train")["good"]
        rows = study.cite.at(ABLATIONS, "rows")
        found = [row["n_training"] for row in rows if row["class_name"] == name]
        if found and max(found) < n_training:
            fewer.append(f"{max(found)} instead of {n_training} on {name}")
    if not fewer:
        return ""
    return (
        " Ablations use fewer training images than the models of the tables, "
        f"{listed(fewer)}: their differences, not their levels, are what they show."
    )


def _error_text(study: Study) -> str:
    if not study.cite.has(ERRORS):
        return ""
    return " The patterns of errors are associations in few images, not causes."
