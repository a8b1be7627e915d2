"""Studies that come out otherwise, and what their report must and must not say."""

from __future__ import annotations

import json

import pytest

from tests.situations.situation import check, works
from tests.situations.study_results import (
    GAIN,
    LOSS,
    report_of,
    set_change,
)

FITTINGS = ("results/patchcore_clean_fitting.json", "results/padim_clean_fitting.json")


def says(*said, change=lambda files: None, never=()):
    """Return a situation whose report says some things, and never says others."""

    def does(place):
        text = report_of(place.folder, change)
        missing = [one for one in said if one not in text]
        wrong = [one for one in never if one in text]
        assert not missing, missing
        assert not wrong, wrong
        return True

    return works(does)


def at(files, *keys):
    """Return what stands at a place of the results."""
    for key in keys:
        files = files[key]
    return files


def put(value, *keys):
    """Return a change that sets what stands at a place."""
    return lambda files: at(files, *keys[:-1]).__setitem__(keys[-1], value)


def facts_of(files, method):
    fittings = files[FITTINGS[method]]["fittings"]
    return [one["facts"] for one in fittings]


def to_padim_as_in_the_paper(files):
    for facts in facts_of(files, 1):
        facts["stages"].insert(0, {"stride": 4, "channels": 24})
        facts |= {"n_embedded": 550, "n_features": 100}


def to_other_aggregations(files):
    for one, other in zip(facts_of(files, 0), facts_of(files, 1), strict=True):
        one["parameters"]["aggregation"] = "max"
        other["parameters"]["aggregation"] = "map_max"


def to_old_results(files):
    for file in FITTINGS:
        for one in files[file]["fittings"]:
            del one["facts"]
    del files["phase00/data_check.json"]
    for content in files.values():
        content.pop("intervals", None)
    for one in files["results/global_analysis.json"]["shortcut"]:
        for key in ("low", "high", "n_normal", "n_anomalous"):
            del one[key]


def to_a_method_better(files, corrected_p):
    for one in files["results/clean_results.json"]["comparison"]["classes"]:
        one["delong"] = dict(zip(("difference", "low", "high"), LOSS, strict=False))
        one["delong"]["p_value"] = 0.03
        one["corrected_p"] = corrected_p


def to_no_spread(files):
    comparison = files["results/clean_results.json"]["comparison"]
    for one in comparison["classes"]:
        one["delong"] = dict.fromkeys(("low", "high", "p_value"), None)
        one["delong"]["difference"] = 0.5
        one["corrected_p"] = None


def to_spread_times(files):
    for one in files["results/efficiency.json"]["stages"]:
        if one["stage"] == "backbone":
            one["share"] = 0.41


def to_a_shortcut(files, to):
    names = ("difference", "low", "high", "p_value")
    for one in files["results/global_analysis.json"]["shortcut"]:
        one |= dict(zip(names, to, strict=True))


def to_no_masks(files):
    for content in files.values():
        for method in content.get("methods", {}).values():
            method["macro_average"].pop("aupro", None)
            for one in method["classes"].values():
                one["pixel"] = None


def to_independent_errors(files):
    for one in files["results/errors.json"]["conditions"]["clean"].values():
        one["agreement"] |= {"both_wrong": 0, "expected_both_wrong": 0.0}
        one["patterns"] = []


def to_choices(to, group):
    def change(files):
        names = ("difference", "difference_low", "difference_high", "p_value")
        for one in files["results/ablations.json"]["rows"]:
            if one["group"] == group:
                one |= dict(zip(names, to, strict=True))

    return change


def to_a_new_type(files):
    files["phase01/counts.json"]["screw"]["test"]["bent"] = 1


def to_a_hidden_shift(files):
    means = files["results/shifted_no_adaptation_results.json"]
    for one in means["mean_change_from_clean"].values():
        one |= {"image_f1": -0.02, "image_specificity": -0.6}


def to_one_class(files):
    without(*GLOBAL)(files)
    for content in files.values():
        content.pop("tile", None)
        for entry in content.values() if isinstance(content, dict) else ():
            if isinstance(entry, list):
                entry[:] = [one for one in entry if '"tile"' not in json.dumps(one)]
        for method in content.get("methods", {}).values():
            del method["classes"]["tile"]
        comparison = content.get("comparison")
        if comparison:
            del comparison["classes"][1]
            comparison["over_classes"] = None
    del files["results/errors.json"]["conditions"]["clean"]["tile"]


def without(*names):
    return lambda files: [files.pop(f"results/{name}.json") for name in names]


SHIFT_OFF = dict.fromkeys(
    ("rotation", "crop", "translation", "colour", "illumination", "blur", "noise")
)
GLOBAL = ("global_results", "global_analysis")

SITUATIONS = {
    "nothing is shown to differ": says(
        "On screw no difference between the methods is shown",
        "no change of AUROC is shown for any of the 4 models",
        "no loss of AUROC against the clean figure is shown",
        "40 images",
        never=["told apart", "brings the models back", "as good as"],
    ),
    "PaDiM has the strides and features of the default": says(
        "both | strides of the stages | 8 (40 channels) and 16 (112 channels)",
        "both | features kept | 152 of 152",
        never=["strides 4, 8 and 16", "channels | 160"],
    ),
    "PaDiM has three stages and 100 features": says(
        "PaDiM | strides of the stages | 4 (24 channels), 8 (40 channels) and 16",
        "PatchCore | strides of the stages | 8 (40 channels) and 16",
        "PaDiM | features kept | 100 of 550",
        change=to_padim_as_in_the_paper,
    ),
    "the top 1 % of the patches gives the score": says(
        "the mean of the highest 1 % of the patch scores (PatchCore) and the highest "
        "patch score (PaDiM)",
        never=["the highest patch of an image gives the image's"],
    ),
    "other aggregations were fitted": says(
        "the highest patch score (PatchCore) and the highest value of the map (PaDiM)",
        change=to_other_aggregations,
        never=["the mean of the highest"],
    ),
    "the model was fitted on images of another size than configured": says(
        "PatchCore | image size | screw: 160 × 640; tile: 320 × 320",  # noqa: RUF001
        change=lambda files: facts_of(files, 0)[0]["parameters"].update(
            image_size=[160, 640]
        ),
        never=["both | image size"],
    ),
    "results are of a version that noted less": says(
        "both | settings of the fitted models | not recorded",
        "how they were made was not recorded",
        "was recorded without an interval (p = 0.900)",
        change=to_old_results,
        never=["strides", "| image score", "near-duplicate", "pixel by pixel", "BCa"],
    ),
    "the fitted models are not those that were judged": says(
        "PaDiM | settings of the fitted models | not recorded",
        change=lambda files: [
            one.update(threshold=7.0) for one in files[FITTINGS[1]]["fittings"]
        ],
        never=["PaDiM | image score"],
    ),
    "equal images were counted, near-duplicates not": says(
        "3 show the same as another one. Images that are nearly the same were not",
        never=["ear-duplicates were looked for"],
    ),
    "a defect type is in the test images alone": says(
        "Not both in validation and in test: bent of screw.",
        change=to_a_new_type,
        never=["Every defect type is", "are of the same types"],
    ),
    "one method is better": says(
        "On screw PaDiM ranks images better than PatchCore",
        change=lambda files: to_a_method_better(files, 0.01),
        never=["On screw PatchCore ranks"],
    ),
    "one method is better before Holm's correction alone": says(
        "On screw no difference between the methods is shown",
        change=lambda files: to_a_method_better(files, 0.06),
        never=["On screw PaDiM ranks"],
    ),
    "there is no spread to test a difference by": says(
        "On screw no difference between the methods is shown (AUROC of PatchCore less "
        "PaDiM +0.500, Holm's p not defined, 40 images)",
        change=to_no_spread,
    ),
    "nothing was done without labels": says(
        "[table:ways] compares learning anew",
        change=lambda files: [
            one.update(n_labelled=20)
            for one in files["results/adaptation_ways.json"]["ways"]
        ],
        never=["Of the ways without", "topped up", "unlabelled shifted images"],
    ),
    "the shift lowers every AUROC": says(
        "From clean to shifted images AUROC falls for all 4 models",
        change=lambda files: set_change(
            files, "shifted_no_adaptation", "change_from_clean", LOSS, "image_auroc"
        ),
    ),
    "the shift raises every AUROC": says(
        "From clean to shifted images AUROC rises for all 4 models",
        change=lambda files: set_change(
            files, "shifted_no_adaptation", "change_from_clean", GAIN, "image_auroc"
        ),
        never=["AUROC falls"],
    ),
    "F1 hides the shift": says(
        "For PatchCore and PaDiM mean F1 falls by less than half",
        "mean specificity changes by -0.600 for PatchCore",
        change=to_a_hidden_shift,
        never=["most test images are anomalous", "is of no use", "by its false alarms"],
    ),
    "the loss stays after adaptation": says(
        "Against clean models on clean images: AUROC falls for all 4 models",
        "AUROC on shifted images stays below the clean figure for PatchCore on screw",
        change=lambda files: set_change(
            files, "shift_with_adaptation", "change_from_clean", LOSS, "image_auroc"
        ),
        never=["no loss of AUROC"],
    ),
    "figures without an interval stand beside those with one": says(
        "AUROC, AUPRC and F1 of a class have 95 % intervals, the other figures none",
        never=["Every figure comes with an interval", "every number", "Every number"],
    ),
    "one figure has one kind of interval": says(
        "of AUROC, AUPRC and F1 by a stratified BCa bootstrap of 2,000 resamples",
        "changed at a time, on validation images, with 95 % intervals by a stratified "
        "BCa bootstrap",
        never=["(DeLong)", "exact 95 %"],
    ),
    "no stage takes half of the time": says(
        "backbone takes the largest share for PatchCore on screw (41 %)",
        change=to_spread_times,
        never=["takes most", "Most of the time"],
    ),
    "one stage takes more than half of the time": says(
        "backbone takes most for PatchCore on screw (60 %)"
    ),
    "no stage carries half of the distance": says(
        "stride 8 carries the largest share, 40 %",
        change=put(
            {"stride 4": 0.3, "stride 8": 0.4, "stride 16": 0.3},
            *("results/interpretation.json", "shares", 0, "stages"),
        ),
        never=["stride 8 carries most"],
    ),
    "no shortcut is shown": says(
        "On screw no change of AUROC by them is shown (+0.000 [-0.100, +0.100], "
        "p = 0.900, 10 normal and 30 anomalous images)",
        never=["there is no such shortcut", "on no class"],
    ),
    "there is a shortcut": says(
        "On screw they lower AUROC (-0.200",
        change=lambda files: to_a_shortcut(files, LOSS),
    ),
    "other classes help": says(
        "On screw they raise AUROC (+0.200",
        change=lambda files: to_a_shortcut(files, GAIN),
    ),
    "there is no model for all classes": says(
        "learning anew",
        change=without(*GLOBAL),
        never=["One model for all", "one model for all"],
    ),
    "there is one class": says(
        "PatchCore and PaDiM learned good images of screw",
        "In AUROC: PatchCore 0.900",
        "no change of AUROC is shown for any of the 2 models",
        change=to_one_class,
        never=["Mean changes", "classes no difference", "on tile", "In macro average"],
    ),
    "there are no masks": says(
        "average precision.",
        change=to_no_masks,
        never=["AUPRO on clean", "AUPRO is the area", "Defects are located"],
    ),
    "the methods make no errors together": says(
        "it is not more than that on screw (0 against 0.0)",
        "too few errors on clean images",
        change=to_independent_errors,
        never=["fail on different images", "Nothing differs", "second opinion"],
    ),
    "more errors are shared than expected": says(
        "it is more than that on screw (2 against 1.0)",
        "by more than chance was not tested",
        never=["second opinion", "hard for both"],
    ),
    "the greedy coreset is not shown to be better": says(
        "no change of AUROC is shown in the one comparison, of 20 images",
        never=["earns its time", "not among them"],
    ),
    "the greedy coreset is better": says(
        "instead of by the greedy coreset: AUROC changes by -0.200 on screw (random)",
        change=to_choices(LOSS, "selection"),
        never=["earns its time"],
    ),
    "no part of the shift is shown to hurt": says(
        "AUROC is lowest with blur on screw for PatchCore (0.800; -0.100 to images not "
        "shifted, p = 0.300, 20 images)",
        "a loss is shown in no case",
        never=["hurts most"],
    ),
    "ablations learn from as many images as the models": says(
        "Scores of different models",
        never=["Ablations use fewer training images"],
    ),
    "ablations learn from fewer images": says(
        "Ablations use fewer training images than the models of the tables, 40 instead "
        "of 41 on screw",
        change=put(41, "phase01/counts.json", "screw", "train", "good"),
    ),
    "ways are picked on the images that they are measured on": says(
        "picked on the images that they are measured on",
        never=["No test image is used to"],
    ),
    "the shift moves nothing": says(
        "Every part of the shift is switched off",
        change=lambda files: files["phase00/config.json"]["shift"].update(SHIFT_OFF),
        never=["The shift moves the part", "lamps age", "brings borders"],
    ),
    "the network is not one of ImageNet": says(
        "both | weights | pretrained", never=["ImageNet", "everyday things"]
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    check(SITUATIONS[name], place)
