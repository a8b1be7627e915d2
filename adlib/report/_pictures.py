"""Images in rows: with masks, with maps, and beside the patches that explain them.

And which images a phase of the study shows, as rows for ``picture_grid``.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from adlib._html import ORANGE
from adlib._typing import AnyArray, BoolArray, Float32Array
from adlib.datasets import Sample, ShiftDomainTransform, ShiftSettings, read_mask
from adlib.datasets._shift import LIGHTS, LightGradient, Shift
from adlib.datasets._shift_settings import PARTS, SEVERITIES
from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector, PatchCore
from adlib.estimators._results import Explanation
from adlib.images import read_image
from adlib.images._pixels import as_pixels, resize
from adlib.overlays import overlay
from adlib.report._figures import STYLE, WIDTH, new_figure
from adlib.study._interpretation import stage_maps
from adlib.study._predictions import Predictions, paths_of
from adlib.study._shifts import planes_of, shifted_planes

SIDE = 320  # pixels of an image in a grid
ZOOM = 5  # patches that a close-up is wide
LARGEST, HEADING = 0.85, 0.3  # inches, of a picture and of the text at the left
LETTERS = 16  # of a line of a title, for each inch of a picture
TITLE_LETTER = 0.095  # inches, of the title above all
OUTLINE = "#56e0ff"

MOST = 6  # pictures a row
RADIAL_CENTRE = (0.35, 0.65)  # off the middle, so that the corners differ
UNCHANGED = Shift(0.0, 1.0, (0.0, 0.0), (1.0, 1.0, 1.0), None, 1, 0.0, ())
Picture: TypeAlias = dict[str, Any]
Rows: TypeAlias = dict[str, list[Picture | None]]


@rc_context(STYLE)
def picture_grid(
    rows: Mapping[str, Sequence[Picture | None]], title: str = ""
) -> Figure:
    """Draw rows of pictures, each row with its heading at the left; None: no picture.

    A picture is a dictionary with "image" (a file, or float32 pixels in [0, 1]) and,
    where wanted, "title", "mask" (a file or bool array, outlined), "map" (laid over the
    image) with its "scale" (where colour begins and is strongest; by default the median
    and the maximum), "frame" ((row, column) of a patch, (height, width) of the grid)
    and "zoom" (True: the surroundings of the frame alone).
    """
    n_columns = max(len(pictures) for pictures in rows.values())
    side = min(LARGEST, (WIDTH - HEADING) / n_columns)
    longest = round(LETTERS * side)
    wrap = partial(textwrap.fill, width=longest, max_lines=2, placeholder="…")
    height = 0.3 * bool(title) + 0.1
    for pictures in rows.values():
        titles = [wrap(one.get("title", "")) for one in pictures if one]
        height += side + 0.2 + 0.11 * any("\n" in text for text in titles)
    width = max(side * n_columns + HEADING, TITLE_LETTER * len(title))
    figure = new_figure(height, width, title)
    axes = figure.subplots(len(rows), n_columns, squeeze=False)
    for line, (heading, pictures) in zip(axes, rows.items(), strict=True):
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(wrap(heading))
        for ax, picture in zip(line, pictures, strict=False):
            if picture is not None:
                _draw(ax, picture)
                ax.set_title(wrap(picture.get("title", "")), fontsize=7)
    return figure


def explanation_figure(
    explained: Sequence[tuple[Sample, Explanation]],
    grid: tuple[int, int],
    title: str = "",
) -> Figure:
    """Draw the highest patch of images beside the good patch that is nearest to it.

    A row an image: it, with its mask and the patch framed; the patch and the nearest
    good one, with their surroundings; and the training image of the latter.
    """
    rows = Rows()
    for number, (sample, one) in enumerate(explained, 1):
        here, there = (one.patch, grid), (one.compared_patch, grid)
        image, source = sample.image_path, Path(one.compared_with)
        kind = f"{sample.class_name}, {sample.defect_type}"
        distance = f"distance {one.distance:.3g}"
        rows[f"image {number}"] = [
            {"image": image, "mask": sample.mask_path, "frame": here, "title": kind},
            {"image": image, "frame": here, "zoom": True, "title": distance},
            {"image": source, "frame": there, "zoom": True, "title": "nearest good"},
            {"image": source, "frame": there, "title": "it comes from"},
        ]
    return picture_grid(rows, title)


def examples(samples: Sequence[Sample]) -> Rows:
    """Return good images, and anomalous ones, every defect type before any twice."""
    good = [sample for sample in samples if not sample.label]
    places = np.linspace(0, len(good) - 1, min(MOST, len(good))).astype(int)
    rows: Rows = {"good": [_picture(good[place]) for place in places]}
    chosen = in_turn(samples)
    if chosen:
        rows["anomalous"] = [_picture(one, one.defect_type) for one in chosen]
    return rows


def pairs(clean: ClassSplit, shifted: ClassSplit) -> Rows:
    """Return test images of every defect type, above their shifted twins."""
    twins = dict(zip(clean.test, shifted.test, strict=True))
    chosen = in_turn(clean.test, MOST - 2)
    chosen += [sample for sample in clean.test if not sample.label][:2]
    return {
        "clean": [_picture(sample, sample.defect_type) for sample in chosen],
        "shifted": [_picture(twins[sample], "") for sample in chosen],
    }


def lights(sample: Sample, settings: ShiftSettings) -> Rows:
    """Return an image under every kind of light, as weak and as strong as it gets."""
    strengths = settings.illumination or ShiftSettings().illumination or ()
    planes, rows = planes_of(sample), Rows()
    for strength in strengths:
        lit = [LightGradient(kind, strength, RADIAL_CENTRE) for kind in LIGHTS]
        rows[f"strength {strength:g}"] = [
            _shifted_picture(planes, UNCHANGED, "as it is"),
            *(
                _shifted_picture(planes, replace(UNCHANGED, gradient=g), g.kind)
                for g in lit
            ),
        ]
    return rows


def shift_parts(sample: Sample, settings: ShiftSettings, seed: int) -> Rows:
    """Return an image shifted by each part alone and by all, a row a severity."""
    planes, rows = planes_of(sample), Rows()
    for severity in SEVERITIES:
        scaled = replace(settings, illumination_ratio=1.0).scaled(severity)
        rows[severity] = []
        for name in (*PARTS, "all"):
            parts = scaled.only(*(PARTS if name == "all" else (name,)))
            transform = ShiftDomainTransform(parts, random_state=seed)
            rows[severity].append(_shifted_picture(planes, transform.at(0), name))
    return rows


def verdicts(predictions: Predictions, threshold: float) -> Rows:
    """Return images that were predicted rightly and wrongly, with their maps.

    The further a score is from the threshold, the more certain is the verdict.
    """
    maps = predictions.maps
    assert maps is not None  # the study keeps them
    scores, anomalous = predictions.scores, predictions.anomalous
    usable, predicted = predictions.usable, scores > threshold
    order = np.argsort(-np.abs(scores - threshold), kind="stable")

    def listed(chosen: BoolArray) -> list[int]:
        return [int(place) for place in order if chosen[place] and usable[place]]

    found, good = listed(anomalous & predicted), listed(~anomalous & ~predicted)
    chosen = {
        "found, certain": found[:MOST],
        "found, just": found[MOST:][-MOST:][::-1],
        "missed": listed(anomalous & ~predicted)[:MOST],
        "false alarm": listed(~anomalous & predicted)[:MOST],
        "good, just": good[MOST:][-MOST:][::-1],
        "good, certain": good[:MOST],
    }
    # From what most good pixels stay below to the peak of a usual defect: up to the
    # highest pixel of all, most defects would stay dark.
    normal = np.flatnonzero(usable & ~anomalous)
    peaks = np.flatnonzero(usable & anomalous)
    low = float(np.median([np.quantile(maps[place], 0.95) for place in normal]))
    high = float(np.median([np.max(maps[place]) for place in peaks]))
    rows = Rows()
    for heading, places in chosen.items():
        for place in places:
            sample, shown = predictions.samples[place], np.asarray(maps[place])
            title = f"{sample.defect_type} {scores[place]:.4g}"
            picture = _picture(sample, title, map=shown, scale=(low, max(low, high)))
            rows.setdefault(heading, []).append(picture)
    return rows


def failures(samples: Sequence[Sample], models: Mapping[str, AnomalyDetector]) -> Rows:
    """Return images, and beneath each the map of every model, one scale a model."""
    rows: Rows = {"image": [_picture(one, one.defect_type) for one in samples]}
    for name, model in models.items():
        found = list(model.inspect(paths_of(samples)))
        maps = np.stack([one.map for one in found if one.map is not None])
        scale = (float(np.median(maps)), float(np.max(maps)))
        assert model.threshold_ is not None  # saved with one
        rows[name] = []
        for sample, one in zip(samples, found, strict=True):
            title = f"score / threshold {one.score / model.threshold_:.2f}"
            rows[name].append(_picture(sample, title, map=one.map, scale=scale))
    return rows


def stage_rows(model: PatchCore, sample: Sample) -> list[Picture]:
    """Return a picture of each stage's response and of its part in the distance."""
    return [
        {"image": plane / max(float(plane.max()), 1e-12), "title": f"{name}, {what}"}
        for name, planes in stage_maps(model, sample).items()
        for what, plane in zip(("response", "distance"), planes, strict=True)
    ]


def in_turn(samples: Sequence[Sample], most: int = MOST) -> list[Sample]:
    """Return anomalous samples, one of each defect type after the other."""
    alike: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.label:
            alike.setdefault(sample.defect_type, []).append(sample)
    turns = zip_longest(*alike.values())
    chosen = [sample for turn in turns for sample in turn if sample is not None]
    return sorted(chosen[:most], key=lambda sample: sample.defect_type)


def _picture(sample: Sample, title: str | None = None, **more: Any) -> Picture:
    name = sample.image_path.stem if title is None else title
    known = {"image": sample.image_path, "title": name, "mask": sample.mask_path}
    return {**known, **more}


def _shifted_picture(
    planes: Float32Array, shift: Callable[..., Any], title: str
) -> Picture:
    pixels = np.clip(shifted_planes(planes, shift), 0.0, 1.0).transpose(1, 2, 0)
    return {"image": pixels[:, :, 0] if len(planes) == 1 else pixels, "title": title}


def _draw(ax: Axes, picture: Picture) -> None:
    """Draw a picture with what it asks for: map, outline of a mask, frame, close-up."""
    pixels = _square(picture["image"])
    shown: Float32Array | AnyArray = pixels
    if "map" in picture:
        values = np.asarray(picture["map"], np.float32)
        scale = picture.get("scale", (float(np.median(values)), float(values.max())))
        shown = np.asarray(overlay(pixels, values, *scale))
    ax.imshow(shown, cmap="gray", vmin=0, vmax=1)
    mask = picture.get("mask")
    if mask is not None:
        marked = read_mask(mask) if isinstance(mask, str | os.PathLike) else mask
        marked = resize(np.asarray(marked, np.float32), (SIDE, SIDE)) > 0
        if marked.any() and not marked.all():
            ax.contour(marked, [0.5], colors="black", linewidths=1.8)
            ax.contour(marked, [0.5], colors=OUTLINE, linewidths=0.8)
    if "frame" not in picture:
        return
    patch, grid = picture["frame"]
    height, width = SIDE / grid[0], SIDE / grid[1]
    y, x = patch[0] * height - 0.5, patch[1] * width - 0.5
    ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=ORANGE, lw=1.4))
    if picture.get("zoom"):
        reach = ZOOM // 2
        left = min(max(x - width * reach, -0.5), SIDE - 0.5 - ZOOM * width)
        top = min(max(y - height * reach, -0.5), SIDE - 0.5 - ZOOM * height)
        ax.set_xlim(left, left + ZOOM * width)
        ax.set_ylim(top + ZOOM * height, top)


def _square(image: str | os.PathLike[str] | AnyArray) -> Float32Array:
    """Return an image as the network sees its shape, square."""
    if isinstance(image, str | os.PathLike):
        image = as_pixels(read_image(Path(image)), str(image))
    return resize(np.asarray(image, np.float32), (SIDE, SIDE))
