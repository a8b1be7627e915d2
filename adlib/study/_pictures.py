"""Which images a phase shows, as rows for ``adlib.report.picture_grid``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch

from adlib._typing import BoolArray, Float32Array
from adlib.datasets import Sample, ShiftDomainTransform, ShiftSettings
from adlib.datasets._shift import LIGHTS, LightGradient, Shift
from adlib.datasets._shift_settings import PARTS, SEVERITIES
from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.study._predictions import Predictions

Rows: TypeAlias = dict[str, list[dict[str, Any] | None]]
MOST = 6  # pictures a row
RADIAL_CENTRE = (0.35, 0.65)  # off the middle, so that the corners differ
UNCHANGED = Shift(0.0, 1.0, (0.0, 0.0), (1.0, 1.0, 1.0), None, 1, 0.0, ())


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
    low, high = settings.illumination or ShiftSettings().illumination or (0.0, 0.0)
    pixels, rows = _planes(sample), Rows()
    for strength in (low, high):
        lit = [LightGradient(kind, strength, RADIAL_CENTRE) for kind in LIGHTS]
        rows[f"strength {strength:g}"] = [
            _shifted(pixels, UNCHANGED, "as it is"),
            *(_shifted(pixels, replace(UNCHANGED, gradient=g), g.kind) for g in lit),
        ]
    return rows


def shift_parts(sample: Sample, settings: ShiftSettings, seed: int) -> Rows:
    """Return an image shifted by each part alone and by all, a row a severity."""
    pixels, rows = _planes(sample), Rows()
    lit = replace(settings, illumination_ratio=1.0)
    parts = [*((part, (part,)) for part in PARTS), ("all", PARTS)]
    for severity in SEVERITIES:
        scaled = lit.scaled(severity)
        rows[severity] = [
            _shifted(
                pixels,
                ShiftDomainTransform(scaled.only(*some), random_state=seed).at(0),
                name,
            )
            for name, some in parts
        ]
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
    return {
        heading: [
            _picture(
                predictions.samples[place],
                f"{predictions.samples[place].defect_type} {scores[place]:.4g}",
                map=np.asarray(maps[place]),
                scale=(low, max(low, high)),
            )
            for place in places
        ]
        for heading, places in chosen.items()
        if places
    }


def failures(samples: Sequence[Sample], models: Mapping[str, AnomalyDetector]) -> Rows:
    """Return images, and beneath each the map of every model, one scale a model."""
    rows: Rows = {"image": [_picture(one, one.defect_type) for one in samples]}
    for name, model in models.items():
        found = list(model.inspect([sample.image_path for sample in samples]))
        maps = np.stack([one.map for one in found if one.map is not None])
        scale = (float(np.median(maps)), float(np.max(maps)))
        assert model.threshold_ is not None  # saved with one
        rows[name] = [
            _picture(
                sample,
                f"score / threshold {one.score / model.threshold_:.2f}",
                map=one.map,
                scale=scale,
            )
            for sample, one in zip(samples, found, strict=True)
        ]
    return rows


def stage_rows(maps: Mapping[str, tuple[Float32Array, Float32Array]]) -> list[Any]:
    """Return a picture of each stage's response and of its part in the distance."""
    return [
        {"image": plane / max(float(plane.max()), 1e-12), "title": f"{name}, {what}"}
        for name, planes in maps.items()
        for what, plane in zip(("response", "distance"), planes, strict=True)
    ]


def in_turn(samples: Sequence[Sample], most: int = MOST) -> list[Sample]:
    """Return anomalous samples, one of each defect type after the other."""
    alike: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.label:
            alike.setdefault(sample.defect_type, []).append(sample)
    n_rounds = max(map(len, alike.values()), default=0)
    chosen = [
        found[turn]
        for turn in range(n_rounds)
        for found in alike.values()
        if turn < len(found)
    ]
    return sorted(chosen[:most], key=lambda sample: sample.defect_type)


def _picture(sample: Sample, title: str | None = None, **more: Any) -> dict[str, Any]:
    name = sample.image_path.stem if title is None else title
    known = {"image": sample.image_path, "title": name, "mask": sample.mask_path}
    return {**known, **more}


def _planes(sample: Sample) -> Float32Array:
    """Return an image's planes, (1 or 3, height, width)."""
    pixels = as_pixels(read_image(sample.image_path), str(sample.image_path))
    grey = pixels.ndim == 2  # noqa: PLR2004 - dimensions
    return np.ascontiguousarray(pixels[None] if grey else pixels.transpose(2, 0, 1))


def _shifted(planes: Float32Array, shift: Shift, title: str) -> dict[str, Any]:
    image = torch.from_numpy(planes)
    moved, _ = shift(image, torch.zeros_like(image[:1]).to(torch.uint8))
    values = moved.numpy()
    pixels = values[0] if len(values) == 1 else values.transpose(1, 2, 0)
    return {"image": np.clip(pixels, 0.0, 1.0), "title": title}
