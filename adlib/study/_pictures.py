"""Which images a phase shows, as rows for ``adlib.report.picture_grid``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, TypeAlias

import numpy as np

from adlib._typing import BoolArray, Float32Array
from adlib.datasets import Sample, ShiftDomainTransform, ShiftSettings
from adlib.datasets._shift import LIGHTS, LightGradient, Shift
from adlib.datasets._shift_settings import PARTS, SEVERITIES
from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector, PatchCore
from adlib.study._interpretation import stage_maps
from adlib.study._predictions import Predictions, paths_of
from adlib.study._shifts import planes_of, shifted_planes

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
    strengths = settings.illumination or ShiftSettings().illumination or ()
    planes, rows = planes_of(sample), Rows()
    for strength in strengths:
        lit = [LightGradient(kind, strength, RADIAL_CENTRE) for kind in LIGHTS]
        rows[f"strength {strength:g}"] = [
            _shifted(planes, UNCHANGED, "as it is"),
            *(_shifted(planes, replace(UNCHANGED, gradient=g), g.kind) for g in lit),
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
            rows[severity].append(_shifted(planes, transform.at(0), name))
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


def stage_rows(model: PatchCore, sample: Sample) -> list[dict[str, Any]]:
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


def _picture(sample: Sample, title: str | None = None, **more: Any) -> dict[str, Any]:
    name = sample.image_path.stem if title is None else title
    known = {"image": sample.image_path, "title": name, "mask": sample.mask_path}
    return {**known, **more}


def _shifted(planes: Float32Array, shift: Shift, title: str) -> dict[str, Any]:
    pixels = np.clip(shifted_planes(planes, shift), 0.0, 1.0).transpose(1, 2, 0)
    return {"image": pixels[:, :, 0] if len(planes) == 1 else pixels, "title": title}
