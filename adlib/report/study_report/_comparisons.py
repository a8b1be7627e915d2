"""Differences as tables and sentences have them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adlib.report.study_report._cited_numbers import NOTHING, p_phrase
from adlib.report.study_report._judgements import difference_phrase
from adlib.report.study_report._study import Study

SIGNED = "+.3f"  # of differences
MEANS = ("image_auroc", "image_f1", "image_specificity")


def difference_sentence(study: Study, file: str, number: int) -> str:
    """Say of one class which method ranks better, if a difference is shown."""
    place = ("comparison", "classes", number)
    first, second = study.cite.at(file, "comparison", "methods")
    found = study.cite.at(file, *place)
    by = study.cite.interval(file, *place, "delong", value="difference", form=SIGNED)
    p_value = p_phrase(study.cite.p_value(file, *place, "corrected_p"))
    n_images = study.cite.get(file, *place, "n_images", form="d")
    delong = found["delong"]
    said = difference_phrase(
        delong["low"],
        delong["high"],
        found["corrected_p"],
        more=f"{first} ranks images better than {second}",
        less=f"{second} ranks images better than {first}",
        neither="no difference between the methods is shown",
    )
    return (
        f"On {found['class_name']} {said} (AUROC of {first} less {second} {by}, Holm's "
        f"{p_value}, {n_images} images)."
    )


def over_classes(study: Study, file: str) -> str:
    """Say what a paired t-test over classes gives; "" where there is none."""
    found = study.cite.at(file, "comparison")
    test = found.get("over_classes")
    if not test or test["p_value"] is None:
        return ""
    place = ("comparison", "over_classes")
    by = study.cite.interval(file, *place, value="difference", form=SIGNED)
    p_value = p_phrase(study.cite.p_value(file, *place, "p_value"))
    n_classes = len(found["classes"])
    said = difference_phrase(
        test["low"],
        test["high"],
        test["p_value"],
        more=f"{found['methods'][0]} ranks images better",
        less=f"{found['methods'][1]} ranks images better",
    )
    return (
        f" Over the {n_classes} classes {said} (paired t-test, mean difference {by}, "
        f"{p_value})."
    )


def compared(study: Study, file: str) -> range:
    """Return the positions of the classes that methods were compared on."""
    return range(len(study.cite.at(file, "comparison", "classes")))


def change(study: Study, file: str, effect: str, number: int, *, metric: str) -> str:
    """Return a change of a figure with its interval."""
    place = (effect, number, "figures", metric)
    return study.cite.interval(file, *place, value="difference", form=SIGNED)


def mean_change(study: Study, file: str, effect: str, method: str, which: int) -> str:
    """Return the mean over classes of a change of one of ``MEANS``."""
    return study.cite.get(file, effect, method, MEANS[which], form=SIGNED)


def pixel_figure(study: Study, file: str, method: str, name: str, metric: str) -> str:
    """Return a figure of the maps; a dash where the set has no masks."""
    place = ("methods", method, "classes", name, "pixel")
    if not study.cite.at(file, *place):
        return NOTHING
    return study.cite.get(file, *place, metric)


def first_picture(
    study: Study, kind: str, classes: Sequence[str]
) -> tuple[str, Path] | None:
    """Return the first class that phase 9 drew such a picture of, and the picture."""
    for name in classes:
        path = study.outputs / f"phase09/{name}_{kind}.png"
        if path.is_file():
            return name, path
    return None
