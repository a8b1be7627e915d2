"""The command that learns from good images and writes a model file."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adlib.cli._console import file_to_write, tell, threshold_text
from adlib.cli._options import (
    Device,
    Errors,
    ImagePlaces,
    OnError,
    Precision,
    Runtime,
)

if TYPE_CHECKING:
    from adlib.estimators import AnomalyDetector


class Method(StrEnum):
    """Which detector learns."""

    PATCHCORE = "patchcore"
    PADIM = "padim"


class Aggregation(StrEnum):
    """How patch scores become an image score."""

    TOP_MEAN = "top_mean"
    MAX = "max"
    REWEIGHTED = "reweighted"
    MAP_MAX = "map_max"


def fit(
    images: ImagePlaces,
    output: Annotated[str, typer.Option("--output", "-o", help="Model file to write.")],
    method: Annotated[
        Method,
        typer.Option(
            help="patchcore remembers patches; padim has a Gaussian at every position, "
            "for parts that always stand in the same place."
        ),
    ] = Method.PATCHCORE,
    good: Annotated[
        str | None,
        typer.Option(help="Other good images, to set the threshold with."),
    ] = None,
    defects: Annotated[
        str | None,
        typer.Option(
            help="Images of defects; the threshold then maximises F1 between them and "
            "the held-out good ones."
        ),
    ] = None,
    holdout: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Fraction of IMAGES that is not learned but sets the threshold, "
            "unless --good is given; 0 sets none.",
        ),
    ] = 0.2,
    false_positive_rate: Annotated[
        float | None,
        typer.Option(
            min=0.0001,
            max=0.9999,
            help="Share of good parts that may be called anomalous. Default: 0.05, or "
            "the lowest that the held-out images can promise.",
        ),
    ] = None,
    coreset: Annotated[
        float | None,
        typer.Option(
            help="Patches that patchcore remembers: a fraction in (0, 1], or a count. "
            "Default: 0.05."
        ),
    ] = None,
    image_size: Annotated[
        int, typer.Option(help="Side in pixels to which images are resized.")
    ] = 320,
    backbone: Annotated[
        str, typer.Option(help="Name of a timm network.")
    ] = "tf_efficientnet_lite0",
    aggregation: Annotated[
        Aggregation | None,
        typer.Option(
            help="How patch scores become an image score: top_mean (patchcore's "
            "default), max (padim's), reweighted (patchcore), map_max (padim)."
        ),
    ] = None,
    device: Device = "auto",
    precision: Annotated[
        Precision, typer.Option(help="What the backbone computes in.")
    ] = Precision.FLOAT32,
    runtime: Annotated[
        Runtime, typer.Option(help="What runs the backbone; openvino: on a CPU alone.")
    ] = Runtime.TORCH,
    on_error: Errors = OnError.RAISE,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Learn from a folder of good images and write a model file.

    Example: adlib fit parts/good -o part.adlib
    """
    target = file_to_write(output, "part.adlib")
    model = _new_model(method, coreset, aggregation)
    model.set_params(
        backbone=backbone,
        image_size=image_size,
        device=device,
        precision=precision.value,
        runtime=runtime.value,
        on_error=on_error.value,
        random_state=seed,
    )
    training, held_out = _hold_out(images, 0.0 if good else holdout, seed)
    calibrating = [*held_out, *(_paths([good], "--good") if good else [])]
    found = [] if defects is None else _paths([defects], "--defects")
    if found and not calibrating:
        raise ValueError(
            "--defects needs good images to tell them from. Raise --holdout or pass "
            "--good."
        )
    if false_positive_rate is not None and (found or not calibrating):
        raise ValueError(
            "--false-positive-rate needs good images set aside, and no --defects, with "
            "which the threshold maximises F1."
        )
    rate = _promised_rate(false_positive_rate, len(calibrating))
    tell.print(f"Learning {len(training)} images ...")
    model.fit(training)
    try:
        _calibrate(model, calibrating, found, rate)
    finally:  # what was learned is not lost for want of a threshold
        model.save(target)
    tell.print(
        f"Wrote {target} ({target.stat().st_size / 1e6:.1f} MB): "
        f"{'; '.join(model.describe().values())}; {threshold_text(model)}.",
        markup=False,
        soft_wrap=True,
    )


def _new_model(
    method: Method, coreset: float | None, aggregation: Aggregation | None
) -> AnomalyDetector:
    """Return the detector with what is its own; the rest is set alike for all."""
    from adlib.estimators import PaDiM, PatchCore

    if method is Method.PADIM and coreset is not None:
        raise ValueError("--coreset belongs to --method patchcore; padim has none.")
    own: dict[str, Any] = {}
    if coreset is not None:
        own["coreset"] = (
            int(coreset) if coreset > 1 and coreset.is_integer() else coreset
        )
    if aggregation is not None:
        own["aggregation"] = aggregation.value
    return PatchCore(**own) if method is Method.PATCHCORE else PaDiM(**own)


def _calibrate(
    model: AnomalyDetector, calibrating: list[str], found: list[str], rate: float
) -> None:
    """Set the threshold on good images, and on defects where there are some."""
    if found:
        tell.print(
            f"Setting the threshold on {len(calibrating)} good images and "
            f"{len(found)} defects ..."
        )
        labels = [1] * len(calibrating) + [-1] * len(found)
        model.calibrate([*calibrating, *found], labels)
    elif calibrating:
        tell.print(
            f"Setting the threshold on {len(calibrating)} good images: at most "
            f"{100 * rate:.3g} % of good parts will be called anomalous ..."
        )
        model.calibrate(calibrating, false_positive_rate=rate)


def _paths(places: list[str], typed: str) -> list[str]:
    """Return the image files of folders, globs and paths, typed as an option."""
    from adlib.images import open_source

    source = open_source(places if len(places) > 1 else places[0], typed)
    return [item.name for item in source.items]


def _hold_out(
    places: list[str], ratio: float, seed: int
) -> tuple[list[str], list[str]]:
    """Split the images at ``places`` into those to learn and those to set aside."""
    import numpy as np

    paths = _paths(places, "IMAGES")
    n_held_out = int(len(paths) * ratio)
    drawn = np.random.default_rng(seed).permutation(len(paths))
    training = [paths[i] for i in sorted(drawn[n_held_out:])]
    return training, [paths[i] for i in sorted(drawn[:n_held_out])]


def _promised_rate(asked: float | None, n_normal: int) -> float:
    """Return the false-positive rate to promise, before anything slow has begun."""
    from adlib.estimators import lowest_rate

    lowest = lowest_rate(n_normal)
    if asked is None:
        return max(0.05, lowest)
    if n_normal and asked < lowest:
        raise ValueError(
            f"--false-positive-rate {asked:g} cannot be promised by {n_normal} good "
            f"images set aside, which allow {lowest:.3g} and above. Raise it, raise "
            "--holdout, or pass more images with --good."
        )
    return asked
