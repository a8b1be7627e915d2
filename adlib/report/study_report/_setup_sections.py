"""The report's first sections: what it is about, the data, methods and protocols."""

from __future__ import annotations

from adlib.report.document import Paragraph, Section, Table
from adlib.report.study_report._cited_numbers import MINUS
from adlib.report.study_report._study import (
    CONFIG,
    COUNTS,
    FITTING,
    MACHINE,
    Study,
    listed,
)


def context_section() -> Section:
    """What the models are for, and what each word means in this report."""
    return Section(
        "Application and operational definitions",
        [
            Paragraph(
                "A line produces parts that are almost all good. Defects are rare, of "
                "kinds that nobody has seen yet, and labelling them is expensive; what "
                "there is in plenty are images of good parts. The models of this "
                "report learn from these alone. For each new image they give a score, "
                "a map of where it is unusual, and a verdict."
            ),
            Paragraph(
                "A part is normal where its image was filed as good, and anomalous "
                "where it shows any defect, whatever its kind. The score of an image "
                "is a distance from what was learned: higher means more anomalous. An "
                "image is called anomalous where its score lies above a threshold. A "
                "false alarm is a normal image that is called anomalous, a miss an "
                "anomalous one that is not. Recall is the share of anomalous images "
                "that are called so, specificity the share of normal images that are "
                "not, precision the share of the called ones that are anomalous, F1 "
                "the harmonic mean of precision and recall. AUROC is the probability "
                "that an anomalous image scores above a normal one; AUPRC is the "
                "average precision. Pixel AUROC ranks pixels by the maps, and AUPRO "
                "is the area under the mean overlap with each defective region up to "
                "30 % false-positive pixels, divided by 0.3.",
                heading="Definitions",
            ),
            Paragraph(
                "The clean domain is the data as it was published. The shifted domain "
                "is its twin after transformations that a line may undergo: cameras "
                "move, lamps age, optics go out of focus. Adaptation is whatever is "
                "done before models judge the shifted domain.",
                heading="Domains",
            ),
        ],
    )


def data_section(study: Study) -> Section:
    """How many images of what, and why they are divided so."""
    cite, rows = study.cite, []
    for name in study.classes:
        inside = cite.at(COUNTS, name)
        kinds = sorted({kind for part in inside.values() for kind in part} - {"good"})
        cells = [name, cite.total(COUNTS, name, "train", names=["good"])]
        for part in ("val", "test"):
            cells.append(cite.total(COUNTS, name, part, names=["good"]))
            cells.append(cite.total(COUNTS, name, part, names=kinds))
        rows.append([*cells, str(len(kinds))])
    split = study.config["split"]
    demo = study.config["data"]["root"] is None
    origin = (
        "The images are adlib's demo set: photographs of textures that come with "
        "scikit-image, with synthetic defects. They show that the study runs; they are "
        "no industrial data, and no figure here says how a method does on a line."
        if demo
        else f"The images are those of {listed(study.classes)}, as their publishers "
        "filed them."
    )
    columns = ["class", "train", "val good", "val anomalous"]
    columns += ["test good", "test anomalous", "defect types"]
    training, held = split["train_ratio"], 1 - split["train_ratio"]
    anomalous = split["val_anomaly_ratio"]
    return Section(
        "Data and splits",
        [
            Paragraph(f"{origin} [table:data] counts them."),
            Table(
                "data",
                "Images of each class. Every defect type is both in validation and in "
                "test.",
                columns,
                rows,
                1,
                [COUNTS],
            ),
            Paragraph(
                f"Of the good images that the publishers meant for training, "
                f"{_percent(training)} are learned from. The other "
                f"{_percent(held)} are normal "
                f"validation images, beside {_percent(anomalous)} of each "
                "defect type. All others are test images. Thresholds and choices thus "
                "rest on images that no figure of this report is measured on, at the "
                "price of fewer test images than the official division has: figures "
                "are comparable within the report, not with published tables. "
                "Near-duplicates were looked for when the images were divided. The "
                "shifted twin keeps the division: an image and its twin are on the "
                "same side of it, so nothing learned from shifted training images has "
                "seen a test image.",
                heading="Rationale",
            ),
            Paragraph(_shift_text(study), heading="The shift"),
        ],
    )


def methods_section(study: Study) -> Section:
    """What the methods are, and what they were set to."""
    config = study.config
    backbone, patchcore, padim = (
        config[name] for name in ("backbone", "patchcore", "padim")
    )
    side = backbone["image_size"]
    rows = [
        ["both", "backbone", f"{backbone['name']}, ImageNet, frozen"],
        ["both", "image size", f"{side} \N{MULTIPLICATION SIGN} {side}"],
        ["both", "seed", str(config["seed"])],
        ["PatchCore", "stages", "strides 8 and 16"],
        ["PatchCore", "share of patches remembered", _percent(patchcore["coreset"])],
        ["PatchCore", "selection", "greedy coreset, exact nearest neighbours"],
        ["PaDiM", "stages", "strides 4, 8 and 16"],
        ["PaDiM", "channels", str(padim["n_channels"])],
        ["PaDiM", "regularization", f"{padim['regularization']:g}"],
        ["both", "threshold", "of best F1 on validation images"],
    ]
    rows.sort(key=lambda row: ["both", "PatchCore", "PaDiM"].index(row[0]))
    return Section(
        "Methods and hyperparameters",
        [
            Paragraph(
                "Both methods read feature maps of one frozen network. PatchCore (Roth "
                "et al., CVPR 2022) remembers a greedy coreset of the patch features "
                "of good images; the distance of a patch to its nearest remembered "
                "neighbour is its score, and the highest patch of an image gives the "
                "image's. PaDiM (Defard et al., 2021) learns one Gaussian for each "
                "place of the image and scores by the Mahalanobis distance. [table:"
                f"settings] has their parameters. {_share_text(study)}"
            ),
            Table(
                "settings",
                "What the methods were set to.",
                ["method", "parameter", "value"],
                rows,
                3,
                [CONFIG],
            ),
        ],
    )


def protocol_section(study: Study) -> Section:
    """What is learned, set and judged on which images, and how chance is weighed."""
    machine = study.cite.at(MACHINE)
    ablation = study.config["ablation"]
    return Section(
        "Protocols",
        [
            Paragraph(
                "Clean: models learn clean training images, thresholds are set on "
                "clean validation images. Shifted: the same models and thresholds "
                "judge shifted test images. Shifted, new threshold: the same models, "
                "thresholds set on shifted validation images. Shifted, learned anew: "
                "models learn shifted training images, and thresholds are set on "
                "shifted validation images. One model for all: one model learns the "
                "clean training images of all classes. No test image is used to fit, "
                "to calibrate or to choose.",
                heading="Conditions",
            ),
            Paragraph(
                "Intervals are at 95 %: of single figures by a stratified bootstrap of "
                "2,000 resamples, of differences in AUROC by DeLong's method, of other "
                "differences by a bootstrap that resamples the images of both "
                "conditions together. Methods are compared on the same images by "
                "DeLong's test and by permutation, corrected by Holm for the number of "
                "classes, and over classes by a paired t-test. A difference is called "
                "clear where its interval leaves out 0 or its corrected p lies below "
                "0.05.",
                heading="Statistics",
            ),
            Paragraph(
                "Ablations change one choice at a time and are judged on validation "
                f"images, at most {ablation['n_training']} training and "
                f"{ablation['n_judged']} judged images of a class. Parts of the shift "
                "are judged on test images with models that stay as they are.",
                heading="Ablations",
            ),
            Paragraph(
                f"Python {machine['python']}, adlib {machine['adlib-vision']}, torch "
                f"{machine['torch']}, timm {machine['timm']}; {machine['processor']}, "
                f"{machine['threads used']} threads, GPU: {machine['GPU']}. The same "
                "configuration and seed give the same results on such a machine. "
                "Every number below is listed in numbers.csv with the file and the "
                "place where it stands.",
                heading="Machine",
            ),
        ],
    )


def _share_text(study: Study) -> str:
    """Say what the share of remembered patches is worth on validation images."""
    if not study.cite.has(FITTING):
        return ""
    found: dict[str, list[str]] = {}
    for number, one in enumerate(study.cite.at(FITTING, "fittings")):
        auroc = study.cite.get(FITTING, "fittings", number, "val_auroc")
        share = one["setting"].removeprefix("coreset ")
        found.setdefault(one["class_name"], []).append(f"{auroc} with {share}")
    texts = [f"on {name} {listed(figures)}" for name, figures in found.items()]
    return (
        "The share of patches that PatchCore remembers was fixed beforehand. On "
        f"validation images it makes this of AUROC: {'; '.join(texts)}."
    )


def _shift_text(study: Study) -> str:
    """Say what the shift consists of, as far as the configuration switches it on."""
    shift, parts = study.config["shift"], []
    for name, written, text in PARTS:
        if shift[name] is not None:
            low, high = map(written, shift[name])
            ratio = _percent(shift["illumination_ratio"])
            parts.append(text.format(low=low, high=high, ratio=ratio))
    return (
        f"Each shifted image was drawn once, with a seed of its own: {listed(parts)}. "
        "Masks move with their images."
    )


def _number(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)


def _percent(value: float) -> str:
    return f"{_number(round(100 * value, 6))} %"


PARTS = (
    ("rotation", _number, "rotation by {low} to {high} degrees"),
    ("crop", _percent, "crops of {low} to {high} of the area"),
    ("translation", _percent, "translation by {low} to {high} of the side"),
    ("colour", _number, "brightness, contrast and saturation times {low} to {high}"),
    (
        "illumination",
        _percent,
        "on {ratio} of the images a gradient that takes {low} to {high} of the light",
    ),
    ("blur", _number, "Gaussian blur with kernels of {low} to {high} pixels"),
    ("noise", _number, "Gaussian noise of {low} to {high} of the range"),
)
