"""Images that models fail on, with what each of them saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from adlib._validation import refusal
from adlib.images import read_image
from adlib.images._pixels import as_pixels, resize
from adlib.report._overlay import overlay
from adlib.report._picture_grid import Picture, picture_grid
from adlib.study import Masks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from adlib.datasets import Sample
    from adlib.estimators import AnomalyDetector

SIDE = 320  # pixels of an image in a picture


def failure_grid(
    samples: Sequence[Sample], models: Mapping[str, AnomalyDetector], title: str
) -> Figure:
    """Draw images, and beneath each the map of every model over it.

    A model's maps have one scale, from its usual value to its highest over these
    images. Scores say how far above the threshold an image is: 1.1 is a tenth above.

    Args:
        samples: At least one; drawn in columns.
        models: Fitted, with thresholds, by what they are called.
        title: Above all.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImageError: An image or mask is unusable.
        ImportError: The extra ``report`` is not installed.
        NotFittedError: A model was not fitted.
        ValueError: A model has no threshold.
    """
    masks = Masks(samples, (SIDE, SIDE))
    pixels = []
    for sample in samples:
        path = sample.image_path
        pixels.append(resize(as_pixels(read_image(path), str(path)), (SIDE, SIDE)))
    first = [
        Picture(image, f"{sample.defect_type} {sample.image_path.stem}", mask)
        for image, sample, mask in zip(pixels, samples, masks, strict=True)
    ]
    rows: list[tuple[str, Sequence[Picture | None]]] = [("image", first)]
    for name, model in models.items():
        inspected = model.inspect([sample.image_path for sample in samples])
        if model.threshold_ is None:
            rule = "models with thresholds"
            came = f"{name!r} without one"
            remedy = "Call calibrate first."
            raise ValueError(refusal("models", "failure_grid", rule, came, remedy))
        found = list(inspected)
        maps = [one.map for one in found if one.map is not None]
        low = float(np.median(np.stack(maps)))
        high = float(np.max(np.stack(maps)))
        line: list[Picture | None] = []
        for image, one, mask in zip(pixels, found, masks, strict=True):
            assert one.map is not None  # an unusable image has no score to fail with
            glow = np.asarray(overlay(image, one.map, low, high))
            drawn = glow.astype(np.float32) / np.float32(255)
            relative = f"score / threshold {one.score / model.threshold_:.2f}"
            line.append(Picture(drawn, relative, mask))
        rows.append((name, line))
    return picture_grid(rows, title)
