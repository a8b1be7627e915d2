"""The report's last sections: what its figures cannot say, and what is next."""

from __future__ import annotations

from adlib.report.document import Paragraph, Section
from adlib.report.study_report._study import (
    ADAPTED,
    CLEAN,
    COUNTS,
    SHIFTED,
    Study,
    listed,
)


def limit_section(study: Study) -> Section:
    """Say what the figures leave open."""
    good = {name: study.cite.at(COUNTS, name, "test")["good"] for name in study.classes}
    fewest = min(good, key=lambda name: good[name])
    number = study.cite.get(COUNTS, fewest, "test", "good", form="d")
    entry = ("methods", study.methods[0], "classes", fewest, "image", "auroc")
    auroc = study.cite.interval(CLEAN, *entry, value="value")
    n_classes = len(study.classes)
    return Section(
        "Limits, bias and generalisation",
        [
            Paragraph(
                f"{fewest} has {number} normal test images, the fewest: its intervals "
                f"are wide, {study.methods[0]}'s AUROC there is {auroc}. "
                f"{n_classes} {'class' if n_classes == 1 else 'classes'}, one split "
                "and one seed are little to judge other products by; intervals cover "
                "the choice of test images, not that of training images or seeds.",
                heading="Size",
            ),
            Paragraph(
                "The shift is synthetic. Its parts are drawn independently and more "
                "strongly than most lines would let them go at once; a real change of "
                "camera or lamp is one and the same for all images. What helps here "
                "should be tried on images from the line. A turned or moved part also "
                "brings borders into the image that no good image had, which "
                "counts against models that know places, such as PaDiM.",
                heading="The shift",
            ),
            Paragraph(
                "The network was trained on ImageNet: photographs of everyday things. "
                "It may see little in textures or wavelengths that are not in it. "
                "Anomalies in validation and test are of the same types, so "
                "thresholds of best F1 suit these types, and a new type of defect may "
                "be found less often. On a line nearly all parts are good: precision "
                "there is lower than in these sets, which hold far more anomalous "
                "images, and F1 is not what a line would choose "
                "thresholds by. adlib can set them by a rate of false alarms from good "
                "images alone.",
                heading="Bias",
            ),
            Paragraph(
                "Scores of different classes are not on one scale, and the macro "
                "average counts each class the same, however many images it has. "
                "Ablations use fewer training images than the models above; their "
                "differences, not their levels, are what they show. The patterns of "
                "errors are associations in few images, not causes.",
                heading="Comparisons",
            ),
        ],
    )


def future_section(study: Study) -> Section:
    """Say what the results ask for next."""
    lost = [
        (
            method,
            study.bounds(ADAPTED, "change_from_clean", n, "figures", "image_auroc"),
        )
        for n, method, _ in study.changed(ADAPTED, "change_from_clean")
    ]
    below = list(dict.fromkeys(method for method, one in lost if one.high < 0))
    blind = [
        m
        for m in study.methods
        if study.cite.at(SHIFTED, "mean_change_from_clean", m, "image_specificity") < 0
    ]
    texts = []
    if below:
        texts.append(
            f"Learning the shifted domain anew does not bring {listed(below)} back to "
            "the clean figures. Aligning the images before they are judged, networks "
            "that were trained to ignore light and focus, and training images shifted "
            "more than once each are what to try first."
        )
    else:
        texts.append(
            "Learning the shifted domain anew brings the models back to the clean "
            "figures as far as these images can tell; whether fewer shifted images do "
            "the same is the next question."
        )
    if blind:
        texts.append(
            "A line would notice the shift by its false alarms alone; watching the "
            "distribution of scores of unlabelled images, and asking for adaptation "
            "when it moves, needs a measure of how soon that can be told."
        )
    if len(study.classes) > 1:
        texts.append(
            "One model for all was tried on few classes that do not look alike; more "
            "classes, and such that resemble each other, would be the harder test."
        )
    texts.append(
        "Larger networks and images cost time; where a line can afford them, they "
        "should be compared by the same protocol."
    )
    return Section("Future work", [Paragraph(" ".join(texts))])
