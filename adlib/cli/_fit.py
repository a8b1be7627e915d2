"""The command that learns from good images and writes a model file."""

from __future__ import annotations

import re
import warnings
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from adlib._files import check_replaceable
from adlib.cli._console import (
    Device,
    Errors,
    ImagePlaces,
    Precision,
    Runtime,
    file_to_write,
    show,
    tell,
)
from adlib.exceptions import InputWarning

if TYPE_CHECKING:
    from adlib.estimators import AnomalyDetector
    from adlib.thresholds import CalibrationPlan

Method: TypeAlias = Literal["patchcore", "padim"]
MOST_LISTED = 10  # training images to look at


def _image_size(text: str) -> int | tuple[int, int]:
    """Return one side, or height and width, from what was typed."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", str(text).strip().lower())
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no size: pass one side in pixels, as 320, or height x width, "
            "as 160x640."
        )
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


def _zones(text: str) -> tuple[int, int]:
    """Return rows and columns from what was typed."""
    found = re.fullmatch(r"(\d+)x(\d+)", str(text).strip().lower())
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no grid of zones: pass rows x columns, as 3x4."
        )
    return int(found[1]), int(found[2])


def fit(
    images: ImagePlaces,
    output: Annotated[str, typer.Option("--output", "-o", help="Model file to write.")],
    method: Annotated[
        Method,
        typer.Option(
            help="patchcore stores patches; padim fits a Gaussian at each position, "
            "for parts that are always in the same place."
        ),
    ] = "patchcore",
    good: Annotated[
        list[str] | None,
        typer.Option(
            help="Other good images, to set the threshold with; one place or several, "
            "up to the next option."
        ),
    ] = None,
    defects: Annotated[
        list[str] | None,
        typer.Option(
            help="Images of defects, one place or several; the threshold then "
            "maximises F1 between them and the held-out good ones."
        ),
    ] = None,
    holdout: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Fraction of IMAGES that is held out to set the threshold; 0 "
            "sets none. Default: 0.2, where that is at least the 19 images that can "
            "promise a rate of 0.05, or with --defects; else --leave-one-out.",
            show_default=False,
        ),
    ] = None,
    leave_one_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-out",
            help="Train on all IMAGES, and set the threshold from leave-one-out "
            "scores: the rate is approximate, without a guarantee.",
        ),
    ] = False,
    false_positive_rate: Annotated[
        float | None,
        typer.Option(
            min=0.0001,
            max=0.9999,
            help="Share of good parts that may be predicted anomalous. Default: 0.05, "
            "or the lowest that so few images can promise.",
        ),
    ] = None,
    threshold_rule: Annotated[
        Literal["quantile", "log-normal"],
        typer.Option(
            help="How good images' scores become thresholds. log-normal takes any rate "
            "below 0.5 of 4 images and more, and odd images hardly move it, but the "
            "rate is an estimate without a guarantee."
        ),
    ] = "quantile",
    review_rate: Annotated[
        float | None,
        typer.Option(
            min=0.0001,
            max=0.9999,
            help="Share of good parts that may not pass, above the false-positive "
            "rate; images between the two thresholds are to be reviewed.",
        ),
    ] = None,
    coreset: Annotated[
        float | None,
        typer.Option(
            help="Patches that patchcore stores: a fraction in (0, 1], or a count. "
            "Default: 0.05."
        ),
    ] = None,
    augment: Annotated[
        list[str] | None,
        typer.Option(
            help="Copies of IMAGES that patchcore learns from, too, for few images: "
            "one or several of flips, quarter_turns, rotations and light, if a part "
            "so changed is still good.",
        ),
    ] = None,
    contamination: Annotated[
        float | None,
        typer.Option(
            help="Share of patches, below 0.5, that patchcore leaves out: those "
            "farthest from all other images. For IMAGES of which some show defects.",
        ),
    ] = None,
    examine: Annotated[
        Path | None,
        typer.Option(
            help="Folder for pictures of IMAGES that stand out from the others, and of "
            "those that are nearly the same. Without it, --leave-one-out names them.",
        ),
    ] = None,
    image_size: Annotated[
        Any,
        typer.Option(
            parser=_image_size,
            metavar="SIZE",
            help="Side in pixels to which images are resized, or height x width, as "
            "160x640.",
        ),
    ] = "320",
    resize: Annotated[
        Literal["stretch", "letterbox"],
        typer.Option(help="letterbox keeps the aspect ratio (patchcore)."),
    ] = "stretch",
    align: Annotated[
        str | None,
        typer.Option(
            help="Reference image; parts that shift and turn by a little are moved to "
            "lie as in it. Needs the extra align.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            help="Mask of where defects are looked for, white inside, of the images' "
            "size.",
        ),
    ] = None,
    backbone: Annotated[
        str, typer.Option(help="Name of a timm network.")
    ] = "tf_efficientnet_lite0",
    weights: Annotated[
        str,
        typer.Option(
            help="File of the network's weights; PATH#sha256=HEX checks its hash. "
            "Default: those that come with pip, or from timm's hub.",
            show_default=False,
        ),
    ] = "pretrained",
    aggregation: Annotated[
        Literal["top_mean", "max", "reweighted", "map_max"] | None,
        typer.Option(
            help="How patch scores become an image score: top_mean (patchcore's "
            "default), max (padim's), reweighted (patchcore), map_max (padim)."
        ),
    ] = None,
    top_ratio: Annotated[
        float | None,
        typer.Option(
            help="Share of the patches that count for top_mean, in (0, 1]. Default: "
            "0.01."
        ),
    ] = None,
    least_area: Annotated[
        float,
        typer.Option(
            min=0,
            help="Regions of the map that are smaller count for nothing, in pixels of "
            "the image.",
        ),
    ] = 0.0,
    zones: Annotated[
        Any,
        typer.Option(
            parser=_zones,
            metavar="ROWSxCOLUMNS",
            help="Zones with pixel thresholds of their own, as 3x4, for parts of which "
            "one area always scores higher.",
            show_default=False,
        ),
    ] = None,
    maps: Annotated[
        Literal["paper", "anomalib"],
        typer.Option(
            help="How patch scores become a map; anomalib: as that library blurs it."
        ),
    ] = "paper",
    cache: Annotated[
        str | None,
        typer.Option(
            help="Folder that holds the patches while patchcore learns, so that a run "
            "that was stopped goes on. Default: memory or, where that lacks room, a "
            "file that is gone at the end.",
            show_default=False,
        ),
    ] = None,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="Say how long it would take, with how much memory and disk, and end "
            "(patchcore).",
        ),
    ] = False,
    device: Device = "auto",
    precision: Annotated[
        Precision, typer.Option(help="What the backbone computes in.")
    ] = "float32",
    runtime: Annotated[
        Runtime, typer.Option(help="What runs the backbone; openvino: on a CPU alone.")
    ] = "torch",
    on_error: Errors = "raise",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
) -> None:
    """Learn from images of good parts and write a model file.

    A fifth of the images is held out to set the threshold. Where these are too few for
    a rate of 5 %, all are trained on, and leave-one-out scores set the threshold.

    Example: adlib fit parts/good -o part.adlib
    """
    target = file_to_write(output, "part.adlib")
    model = _new_model(
        method,
        coreset=coreset,
        augment=None if augment is None else tuple(augment),
        contamination=contamination,
        aggregation=aggregation,
        top_ratio=top_ratio,
        backbone=backbone,
        weights=weights,
        image_size=image_size,
        resize=None if resize == "stretch" else resize,
        align=align,
        region=region,
        threshold_rule=threshold_rule,
        least_area=least_area,
        zones=zones,
        maps=maps,
        cache=cache,
        device=device,
        precision=precision,
        runtime=runtime,
        on_error=on_error,
        random_state=seed,
    )
    model._check_parameters()  # before anything is read
    check_replaceable(target)
    if examine is not None:
        from adlib.overlays._saved import check_outside, roots_of

        check_outside(roots_of(images), [examine], "--examine")
    typed = {"IMAGES": images, "--good": good, "--defects": defects}
    given = {name: _paths(places, name) for name, places in typed.items()}
    plan = _plan(
        given,
        asked_rate=false_positive_rate,
        review_rate=review_rate,
        holdout=holdout,
        leave_one_out=leave_one_out,
        threshold_rule=threshold_rule,
        random_state=seed,
    )
    if plan.leave_one_out:
        rate = plan.false_positive_rate
        model.set_params(false_positive_rate=rate, review_rate=review_rate)
    training = [given["IMAGES"][i] for i in plan.training]
    if estimate:
        show.print(_estimate(model, training), soft_wrap=True)
        return
    model.fit(training)
    try:
        held_out = [given["IMAGES"][i] for i in plan.held_out]
        good_ones = held_out + given["--good"]
        _calibrate(model, good_ones, given["--defects"], plan, review_rate)
        _examine(model, training, examine)
    finally:  # the model is not lost if no threshold can be set
        model.save(target)
        tell.print(
            f"Wrote {target} ({target.stat().st_size / 1e6:.1f} MB): "
            f"{'; '.join(model.describe().values())}."
        )


def _estimate(model: AnomalyDetector, training: list[str]) -> str:
    """Return in words what learning would take."""
    from adlib.estimators import PatchCore

    if not isinstance(model, PatchCore):
        raise ValueError("--estimate belongs to --method patchcore; padim has none.")
    return str(model.estimate(training))


def _new_model(method: Method, **parameters: Any) -> AnomalyDetector:
    """Return the detector; parameters of None stay at the method's own defaults."""
    from adlib.estimators import PaDiM, PatchCore

    typed = {name: value for name, value in parameters.items() if value is not None}
    coreset = typed.get("coreset", 0.0)
    for name in ("coreset", "augment", "contamination", "resize", "cache"):
        if method == "padim" and name in typed:
            raise ValueError(f"--{name} belongs to --method patchcore; padim has none.")
    if coreset > 1 and coreset.is_integer():
        typed["coreset"] = int(coreset)
    return PatchCore(**typed) if method == "patchcore" else PaDiM(**typed)


def _plan(
    given: dict[str, list[str]],
    *,
    asked_rate: float | None,
    review_rate: float | None,
    holdout: float | None,
    leave_one_out: bool,
    **options: Any,
) -> CalibrationPlan:
    """Decide what is learned and what sets the threshold, say so, or raise."""
    from adlib.thresholds import plan_calibration

    _check_apart(given)
    images, good, defects = given.values()
    if leave_one_out and (holdout or good or defects):
        raise ValueError(
            "--leave-one-out learns all IMAGES and sets the threshold from them; it "
            "goes with none of --holdout, --good and --defects."
        )
    if good and holdout:
        raise ValueError("--good sets the threshold in place of --holdout; pass one.")
    plan = plan_calibration(
        len(images),
        n_good=len(good),
        n_anomalous=len(defects),
        holdout=holdout,
        false_positive_rate=asked_rate,
        leave_one_out=leave_one_out,
        **options,
    )
    if review_rate is not None and review_rate <= (plan.false_positive_rate or 1.0):
        # Before anything is learned.
        if plan.false_positive_rate is None:
            rule = "goes with good images that set the threshold, and no --defects"
        else:
            rule = f"must be above {_percent(plan)}, the share predicted anomalous"
        raise ValueError(f"--review-rate {rule}; got {review_rate:g}.")
    if plan.leave_one_out and not leave_one_out:
        tell.print(
            f"{len(images)} images are too few to hold some out for a rate of 5 %. How "
            "many defects are found, only images of defects can tell (--defects)."
        )
    text = f"Learning {len(plan.training)} images"
    if plan.leave_one_out:
        text += f"; leave-one-out scores set the threshold: about {_percent(plan)} of "
        text += "good parts predicted anomalous, without a guarantee"
    tell.print(f"{text} ...")
    return plan


def _percent(plan: CalibrationPlan) -> str:
    return f"{100 * (plan.false_positive_rate or 0.0):.3g} %"


def _calibrate(
    model: AnomalyDetector,
    good: list[str],
    defects: list[str],
    plan: CalibrationPlan,
    review_rate: float | None,
) -> None:
    """Set the threshold on good images, and on defects where there are some."""
    if defects:
        tell.print(
            f"Setting the threshold on {len(good)} good images and {len(defects)} "
            "defects ..."
        )
        model.calibrate([*good, *defects], [1] * len(good) + [-1] * len(defects))
    elif good:
        least = "at most" if model.threshold_rule == "quantile" else "about"
        tell.print(
            f"Setting the threshold on {len(good)} good images: {least} "
            f"{_percent(plan)} of good parts will be predicted anomalous ..."
        )
        model.calibrate(
            good, false_positive_rate=plan.false_positive_rate, review_rate=review_rate
        )


def _examine(model: AnomalyDetector, training: list[str], folder: Path | None) -> None:
    """Name the training images that stand out or are nearly the same, and draw them."""
    found = model.examination_
    if folder is not None:
        from adlib.overlays import save_examined

        found = found or model.examine(training)
        saved = save_examined(model, training, folder, examination=found)
        tell.print(f"Wrote {len(saved)} pictures to {folder}.")
    if found is None or not (found.stand_out or found.near_duplicates):
        return
    lines = str(found).split("\n")
    tell.print("Look at these training images:")
    for line in lines[:MOST_LISTED]:
        tell.print(f"  {line}")
    if len(lines) > MOST_LISTED:
        tell.print(f"  and {len(lines) - MOST_LISTED} more.")


def _paths(places: list[str] | None, name: str) -> list[str]:
    """Return the image files of folders, globs and files, as an option names them."""
    from adlib.images import open_source

    if not places:
        return []
    place = places if len(places) > 1 else places[0]
    found = open_source(place, name, good_alone=name != "--defects")
    names = [item.name for item in found.items]
    once = list({Path(path).resolve(): path for path in reversed(names)}.values())[::-1]
    if len(once) < len(names):
        warnings.warn(
            f"{len(names) - len(once)} of {len(names)} files of {name} are named twice "
            "and count once.",
            InputWarning,
            stacklevel=2,
        )
    return once


def _check_apart(given: dict[str, list[str]]) -> None:
    """Raise where two options name the same file."""
    for other, name in combinations(given, 2):
        known = {Path(path).resolve() for path in given[other]}
        shared = [path for path in given[name] if Path(path).resolve() in known]
        if shared:
            raise ValueError(
                f"{name} must hold other images than {other}; got {len(shared)} that "
                f"both hold, {shared[0]!r} first."
            )
