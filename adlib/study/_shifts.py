"""Which parts of a shift hurt, how much of them, and whether one shift trains another.

Images are shifted as they are read, so that no second data set is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch

from adlib._typing import AnyArray, Float64Array
from adlib.datasets import ANOMALOUS, Sample, ShiftDomainTransform, ShiftSettings
from adlib.datasets._shift_settings import GEOMETRIC, PARTS, PHOTOMETRIC, SEVERITIES
from adlib.datasets._splits import ClassSplit
from adlib.estimators import AnomalyDetector
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.study import _names as names
from adlib.study._config import Config
from adlib.study._evaluate import auroc_interval, delong_row
from adlib.study._fitting import new_detector
from adlib.study._tables import figures, joined, row

Domains: TypeAlias = Mapping[str, ShiftSettings | None]


def shift_variants(settings: ShiftSettings) -> dict[str, ShiftSettings | None]:
    """Return every shift that the study takes apart, not shifted first.

    Each part alone, where it is switched on; poses and cameras, each alone; and all
    parts, mild, moderate and severe. Light falls unevenly on every image where
    illumination stands alone, so that it is the light that is measured.
    """
    found: dict[str, ShiftSettings | None] = {names.NOT_SHIFTED: None}
    for part in PARTS:
        if getattr(settings, part) is not None:
            alone = settings.only(part)
            if part == "illumination":
                alone = ShiftSettings(**{**alone.as_dict(), "illumination_ratio": 1.0})
            found[f"{part}, moderate"] = alone
    found["geometric, moderate"] = settings.only(*GEOMETRIC)
    found["photometric, moderate"] = settings.only(*PHOTOMETRIC)
    return found | {f"all parts, {s}": settings.scaled(s) for s in SEVERITIES}


def shifted_images(
    samples: Sequence[Sample], settings: ShiftSettings | None, seed: int
) -> Iterator[AnyArray]:
    """Yield images as a shift makes them, (height, width, 3) uint8, in order."""
    transform = (
        None if settings is None else ShiftDomainTransform(settings, random_state=seed)
    )
    for number, sample in enumerate(samples):
        pixels = as_pixels(read_image(sample.image_path), str(sample.image_path))
        if pixels.ndim == 2:  # noqa: PLR2004 - grey
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        if transform is not None:
            planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
            no_mask = torch.zeros((1, *planes.shape[1:]), dtype=torch.uint8)
            image, _ = transform.at(number)(planes, no_mask)
            pixels = image.numpy().transpose(1, 2, 0)
        # As a file would hold it.
        yield np.round(255 * np.clip(pixels, 0.0, 1.0)).astype(np.uint8)


def ablate_shift(
    models: Mapping[str, AnomalyDetector],
    samples: Sequence[Sample],
    shifts: Domains,
    *,
    seed: int,
    condition: str = names.CLEAN,
) -> pd.DataFrame:
    """Measure fitted models on the same images under some shifts, the first none.

    Returns:
        Figures: AUROC of each shift, and its difference to not shifted.
    """
    anomalous = np.array([sample.label == ANOMALOUS for sample in samples])
    unshifted: dict[str, Float64Array] = {}
    rows: list[dict[str, Any]] = []
    for name, settings in shifts.items():
        images = list(shifted_images(samples, settings, seed))
        for method, model in models.items():
            scores = model.score(images).astype(np.float64)
            before = unshifted.setdefault(method, scores)
            keys = {"setting": f"shift {name}", "n": len(scores), "method": method}
            interval = auroc_interval(anomalous, scores, seed)[:3]
            rows.append(row(names.AUROC, *interval, **keys))
            keys["versus"] = names.NOT_SHIFTED
            rows.append(delong_row(names.AUROC, anomalous, scores, before, **keys))
    return figures(rows, condition=condition, class_=samples[0].class_name)


def cross_shifts(config: Config, split: ClassSplit) -> pd.DataFrame:
    """Train on one shift and test on another, every pair of three domains.

    The domains are the images as they are, moved alone (rotation, crop, translation),
    and of another camera and light alone (all other parts).

    Returns:
        Figures as of ``ablate_shift``, with conditions "trained on geometric" etc.
    """
    others = [part for part in PARTS if part not in GEOMETRIC]
    domains: dict[str, ShiftSettings | None] = {
        names.NOT_SHIFTED: None,
        "geometric": config.shift.only(*GEOMETRIC),
        "photometric and light": config.shift.only(*others),
    }
    tables = []
    for name, domain in domains.items():
        first = config.seed + len(split.test)  # other draws than of the test images
        models = {method: new_detector(method, config) for method in names.METHODS}
        for model in models.values():
            model.fit(shifted_images(split.train, domain, first))
        trained = f"trained on {name}"
        tables.append(
            ablate_shift(
                models, split.test, domains, seed=config.seed, condition=trained
            )
        )
    return joined(*tables)
