"""The report's first sections: what it is about, the data, methods and protocols."""

from __future__ import annotations

from collections.abc import Callable

from adlib.report.document import Paragraph, Section, Table
from adlib.report.study_report._cited_numbers import MINUS
from adlib.report.study_report._study import (
    ABLATIONS,
    CHANCE,
    CHECK,
    CLEAN,
    CONFIG,
    COUNTS,
    GLOBAL,
    MACHINE,
    SHIFT_ABLATIONS,
    Fact,
    Study,
    fitting_file,
    listed,
)

NOT_RECORDED, BOTH = "not recorded", "both"


def context_section(study: Study) -> Section:
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
                "is made of distances from what was learned: higher means more "
                "anomalous. An "
                "image is called anomalous where its score lies above a threshold. A "
                "false alarm is a normal image that is called anomalous, a miss an "
                "anomalous one that is not. Recall is the share of anomalous images "
                "that are called so, specificity the share of normal images that are "
                "not, precision the share of the called ones that are anomalous, F1 "
                "the harmonic mean of precision and recall. AUROC is the probability "
                "that an anomalous image scores above a normal one, ties counting one "
                f"half; AUPRC is the average precision.{_pixel_text(study)}",
                heading="Definitions",
            ),
            Paragraph(
                "The clean domain is the images as they are. The shifted domain is the "
                "same images after the transformations named below. Adaptation is "
                "whatever is done before models judge the shifted domain.",
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
        else f"The images are those of {listed(study.classes)}, with the labels that "
        "the data set gives them."
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
                f"Images of each class. {_type_text(study)}",
                columns,
                rows,
                1,
                [COUNTS],
            ),
            Paragraph(
                f"Of the good images that the data set keeps for training, about "
                f"{_percent(training)} are learned from. The other {_percent(held)} "
                f"are normal validation images, beside about {_percent(anomalous)} of "
                "each defect type. All others are test images. Thresholds rest on "
                "validation images alone. So figures on test images, of fewer images "
                "than the data set keeps for testing, are comparable within the "
                "report, not with published tables. Figures on validation images are "
                "named as such; thresholds were set on these images, and choices may "
                f"have been made on them. {_equal_text(study)}The shifted twin keeps "
                "the division: an image and its twin are in the same part.",
                heading="Rationale",
            ),
            Paragraph(_shift_text(study), heading="The shift"),
        ],
    )


def methods_section(study: Study) -> Section:
    """What the methods are, and what the fitted models say that they were set to."""
    seed = str(study.config["seed"])
    rows = [[BOTH, "seed", seed], *_settings(study)]
    files = [CONFIG, *(fitting_file(method) for method in study.facts)]
    return Section(
        "Methods and hyperparameters",
        [
            Paragraph(
                "Both methods read feature maps of a frozen network. PatchCore (Roth "
                "et al., CVPR 2022) remembers some patch features of good images; the "
                "distance of a patch to its nearest remembered neighbour is its score. "
                "PaDiM (Defard et al., 2021) fits one Gaussian at each place of the "
                "patch grid; the score of a patch is its Mahalanobis distance. "
                f"{_aggregation_text(study)}[table:settings] has what the fitted "
                f"models were set to. {_share_text(study)}"
            ),
            Table(
                "settings",
                "What the fitted clean models were set to; where classes differ, "
                "class by class.",
                ["method", "parameter", "value"],
                rows,
                3,
                files,
            ),
        ],
    )


def protocol_section(study: Study) -> Section:
    """What is learned, set and judged on which images, and how chance is weighed."""
    machine = study.cite.at(MACHINE)
    return Section(
        "Protocols",
        [
            Paragraph(
                "Clean: models learn clean training images, thresholds are set on "
                "clean validation images. Shifted: the same models and thresholds "
                "judge shifted test images. Shifted, new threshold: the same models, "
                "thresholds set on shifted validation images. Shifted, learned anew: "
                "models learn shifted training images, and thresholds are set on "
                "shifted validation images."
                + (
                    " One model for all: one model learns the clean training images of "
                    "all classes."
                    if study.cite.has(GLOBAL)
                    else ""
                ),
                heading="Conditions",
            ),
            Paragraph(
                _statistics_text(study),
                heading="Statistics",
            ),
            *_ablation_paragraph(study),
            Paragraph(
                f"As phase 0 found it: Python {machine['python']}, adlib "
                f"{machine['adlib-vision']}, torch {machine['torch']}, timm "
                f"{machine['timm']}; {machine['processor']}, "
                f"{machine['threads used']} threads, GPU: {machine['GPU']}. "
                "Figures that were looked up in results are listed in numbers.csv, "
                "with the file and the place where each stands; settings from the "
                "configuration, versions, counts of cases and what pictures show are "
                "not.",
                heading="Machine",
            ),
        ],
    )


def _pixel_text(study: Study) -> str:
    """Define pixel figures, where there are any, by the limit that was used."""
    limits = []
    for name in study.classes:
        place = ("methods", study.methods[0], "classes", name, "pixel")
        if study.cite.at(CLEAN, *place):
            limits.append(study.cite.get(CLEAN, *place, "fpr_limit", form="g"))
    if not limits:
        return ""
    limit = listed(sorted(set(limits)))
    return (
        " Pixel AUROC ranks pixels by the maps, and AUPRO is the area under the mean "
        "overlap with each defective region up to a false-positive rate of pixels of "
        f"{limit}, divided by {limit}."
    )


def _type_text(study: Study) -> str:
    """Say whether validation and test have the same defect types, as counted."""
    alone = alone_types(study)
    if not alone:
        return "Every defect type is both in validation and in test."
    return f"Not both in validation and in test: {listed(alone)}."


def alone_types(study: Study) -> list[str]:
    """Return the defect types that only one of validation and test has."""
    found = []
    for name in study.classes:
        val, test = (set(study.cite.at(COUNTS, name, p)) for p in ("val", "test"))
        found += [f"{kind} of {name}" for kind in sorted((val ^ test) - {"good"})]
    return found


def _equal_text(study: Study) -> str:
    """Say what phase 0 found of equal images, where it noted that."""
    if not study.cite.has(CHECK):
        return ""
    n_equal = study.cite.get(CHECK, "n_equal_images", form="d")
    return (
        "The images of the data set were compared pixel by pixel before they were "
        f"divided: {n_equal} show the same as another one. Images that are nearly the "
        "same were not looked for. "
    )


def _strides(fact: Fact) -> str:
    return listed(
        [
            f"{fact.get('stages', n, 'stride')} "
            f"({fact.get('stages', n, 'channels')} channels)"
            for n, _ in enumerate(fact.at("stages"))
        ]
    )


def _features(fact: Fact) -> str:
    return f"{fact.get('n_features')} of {fact.get('n_embedded')}"


def _bank(fact: Fact) -> str:
    entries, patches = fact.get("n_bank"), fact.get("n_patches")
    return f"{entries} of {patches} patches ({_percent(fact.at(*_P, 'coreset'))})"


def _image_size(fact: Fact) -> str:
    size = fact.at(*_P, "image_size")
    height, width = size if isinstance(size, list) else (size, size)
    return f"{height} \N{MULTIPLICATION SIGN} {width}"


def _threshold(fact: Fact) -> str:
    normal, anomalous = (
        fact.get("threshold", f"n_{kind}") for kind in ("normal", "anomalous")
    )
    return (
        f"of {fact.at('threshold', 'rule')} on {normal} normal and {anomalous} "
        "anomalous validation images"
    )


def _aggregation(fact: Fact) -> str:
    """Return how patch scores become the score of an image."""
    kind = fact.at(*_P, "aggregation")
    if kind == "top_mean":
        share = _percent(fact.at(*_P, "top_ratio"))
        return f"mean of the highest {share} of the patch scores"
    if kind == "reweighted":
        n_neighbors = fact.get(*_P, "n_neighbors")
        return f"highest patch score, re-weighted by {n_neighbors} neighbours"
    return {"max": "highest patch score", "map_max": "highest value of the map"}[kind]


def _channels(fact: Fact) -> str:
    kind = fact.at(*_P, "channels")
    if kind == "all":
        return "all"
    how = {"random": "drawn at random", "pca": "principal components"}[kind]
    return f"{how}, at most {fact.get(*_P, 'n_channels')}"


_P = ("parameters",)
# A parameter that the fitted model does not have is left out.
SETTINGS: dict[str, Callable[[Fact], str]] = {
    "backbone": lambda fact: f"{fact.at(*_P, 'backbone')}, frozen",
    "weights": lambda fact: str(fact.at(*_P, "weights") or "random"),
    "image size": _image_size,
    "strides of the stages": _strides,
    "embedding": lambda fact: str(fact.at(*_P, "embedding")),
    "features kept": _features,
    "feature selection": _channels,
    "memory bank": _bank,
    "coreset": lambda fact: str(fact.at(*_P, "selection")),
    "nearest neighbour search": lambda fact: str(fact.at(*_P, "search")),
    "regularization": lambda fact: f"{fact.at(*_P, 'regularization'):g}",
    "image score": _aggregation,
    "training images": lambda fact: fact.get("n_training"),
    "threshold": _threshold,
}


def _settings(study: Study) -> list[list[str]]:
    """Return method, parameter and value, what both methods share first."""
    found = {
        method: {
            name: value
            for name, of in SETTINGS.items()
            if (value := _over_classes(study, method, of))
        }
        or {"settings of the fitted models": NOT_RECORDED}
        for method in study.methods
    }
    first, *others = found.values()
    shared = {
        name
        for name, value in first.items()
        if others and all(other.get(name) == value for other in others)
    }
    rows = [[BOTH, name, first[name]] for name in first if name in shared]
    for method, values in found.items():
        rows += [[method, *one] for one in values.items() if one[0] not in shared]
    return rows


def _over_classes(study: Study, method: str, of: Callable[[Fact], str]) -> str:
    """Return a setting, class by class where they differ; "" where none has it."""
    found = {}
    for name in study.classes:
        fact = study.facts.get(method, {}).get(name)
        try:
            found[name] = NOT_RECORDED if fact is None else of(fact)
        except KeyError:
            return ""
    values = set(found.values())
    if values == {NOT_RECORDED}:
        return ""
    if len(values) == 1:
        return values.pop()
    return "; ".join(f"{name}: {value}" for name, value in found.items())


def _aggregation_text(study: Study) -> str:
    """Say how each method's patch scores become the score of an image."""
    texts = [
        f"the {value} ({method})"
        for method in study.methods
        if (value := _over_classes(study, method, _aggregation))
    ]
    return f"The score of an image is {listed(texts)}. " if texts else ""


def _statistics_text(study: Study) -> str:
    kinds = study.cite.at(CLEAN).get("intervals")
    made = (
        f"of AUROC, AUPRC and F1 by a {kinds['figure']}, of differences of AUROC by "
        f"{kinds['difference of AUROC']}, of other differences by a "
        f"{kinds['other difference']} that draws the images of both conditions "
        "together, and of the recall of a group of images by "
        f"{kinds['recall of a group']}"
        if kinds
        else "how they were made was not recorded with these results"
    )
    return (
        f"Intervals are at 95 %: {made}. Other figures, and means over classes, are "
        "given without an interval. An interval without width says only that no "
        "resample differs, not that the figure is certain. Methods are compared on the "
        "same images by DeLong's test and by permutation; Holm's p is DeLong's, "
        "corrected for the number of classes, and no other p is corrected. A "
        "difference is said to be there where its interval leaves out 0, and, between "
        f"methods, Holm's p lies below {CHANCE}; where there is a p-value alone, where "
        f"that lies below {CHANCE}. Otherwise no difference is shown, which does not "
        "say that there is none."
    )


def _ablation_paragraph(study: Study) -> list[Paragraph]:
    """Say how choices and parts of the shift are judged, where they were."""
    most = study.config["ablation"]
    texts = []
    if study.cite.has(ABLATIONS):
        texts.append(
            "Ablations change one choice at a time and are judged on validation "
            f"images, at most {most['n_training']} training and {most['n_judged']} "
            "judged images of a class."
        )
    if study.cite.has(SHIFT_ABLATIONS):
        texts.append(
            "Parts of the shift are judged with the clean models, on at most "
            f"{most['n_judged']} test images of a class."
        )
    return [Paragraph(" ".join(texts), heading="Ablations")] if texts else []


def _share_text(study: Study) -> str:
    """Say what the share of remembered patches is worth on validation images."""
    file = fitting_file("PatchCore")
    if not study.cite.has(file):
        return ""
    found: dict[str, list[str]] = {}
    for number, one in enumerate(study.cite.at(file, "fittings")):
        auroc = study.cite.get(file, "fittings", number, "val_auroc")
        share = one["setting"].removeprefix("coreset ")
        found.setdefault(one["class_name"], []).append(f"{auroc} with {share}")
    texts = [f"on {name} {listed(figures)}" for name, figures in found.items()]
    return (
        "The share of patches that PatchCore remembers is that of the configuration. "
        "AUROC on validation images by that share, without an interval: "
        f"{'; '.join(texts)}."
    )


def _shift_text(study: Study) -> str:
    """Say what the shift consists of, as far as the configuration switches it on."""
    shift, parts = study.config["shift"], []
    for name, written, text in PARTS:
        if shift[name] is not None:
            low, high = map(written, shift[name])
            ratio = _percent(shift["illumination_ratio"])
            parts.append(text.format(low=low, high=high, ratio=ratio))
    if not parts:
        return "Every part of the shift is switched off: shifted images are as before."
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
        "on about {ratio} of the images a gradient that takes {low} to {high} of the "
        "light at its dark end",
    ),
    ("blur", _number, "Gaussian blur with kernels of {low} to {high} pixels"),
    ("noise", _number, "Gaussian noise of {low} to {high} of the range"),
)
