"""Probability of detection of a fitted detector, at its own threshold."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adlib._typing import BoolArray, Float64Array
from adlib._validation import (
    check_int,
    check_option,
    check_random_state,
    check_ratio,
    refusal,
)
from adlib._version import __version__
from adlib.datasets._synthetic import SyntheticKind
from adlib.estimators import AnomalyDetector
from adlib.estimators._patches import Pass, embed
from adlib.exceptions import InputWarning
from adlib.images import Images, Source
from adlib.metrics import PodCurve, fit_pod
from adlib.pod._trials import (
    CONTRASTS,
    FEWEST,
    KINDS,
    Trial,
    check_range_of,
    flawed_source,
    open_again,
    part_of,
)

N_TIMED = 32  # images


@dataclass(frozen=True)
class PodRow:
    """The POD curve of one kind of defect at one contrast.

    Attributes:
        kind: "scratch", "spot", "stain" or "texture"; see ``draw_defect``.
        contrast: As a share of white.
        curve: The ``PodCurve``, of sizes in pixels of the images as they came.
    """

    kind: str
    contrast: float
    curve: PodCurve


@dataclass(frozen=True)
class PodReport:
    """What a detector finds of synthetic defects, and at which rate of false alarms.

    Attributes:
        rows: A ``PodRow`` for each kind and contrast.
        sizes: The smallest and the largest size drawn, in pixels.
        threshold: That of the detector; a defect is found if its image scores above.
        false_positive_rate: What the threshold promises; None where it promises none.
        n_good: Good images scored, which ``fit`` had not learned from.
        n_false_alarms: How many of these score above the threshold. No defect was drawn
            on them.
        n_learned: Images left out, since ``fit`` had learned from them.
        milliseconds: Wall-clock time of an image, from file to score, in batches.
        image_size: (height, width) to which the detector resizes images.
        random_state: Seed of the defects.
    """

    rows: tuple[PodRow, ...]
    sizes: tuple[float, float]
    threshold: float
    false_positive_rate: float | None
    n_good: int
    n_false_alarms: int
    n_learned: int
    milliseconds: float
    image_size: tuple[int, int]
    random_state: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can keep it; None where a size is not reached."""
        values = {name: getattr(self, name) for name in vars(self) if name != "rows"}
        curves = []
        for row in self.rows:
            curve = row.curve
            numbers = {
                "a50_px": curve.a50,
                "a90_px": curve.a90,
                "a90_95_px": curve.a90_95,
                "intercept": curve.intercept,
                "slope": curve.slope,
            }
            curves.append(
                {
                    "kind": row.kind,
                    "contrast": row.contrast,
                    **{
                        name: value if math.isfinite(value) else None
                        for name, value in numbers.items()
                    },
                    "separated": curve.separated,
                    "sizes_px": curve.sizes.tolist(),
                    "found": curve.found.tolist(),
                }
            )
        return {"adlib": __version__, **values, "curves": curves}


def measure_pod(
    model: AnomalyDetector,
    X: Images,
    *,
    kinds: Sequence[SyntheticKind] = KINDS,
    contrasts: Sequence[float] = CONTRASTS,
    sizes: tuple[float, float] | None = None,
    n_defects: int = 60,
    region: BoolArray | None = None,
    random_state: int | None = 0,
) -> PodReport:
    """Measure which synthetic defects a fitted detector finds at its threshold.

    Defects of each kind and contrast, their sizes spread evenly over a logarithmic
    range, are drawn on good images that ``fit`` did not learn from, and scored. One is
    found if its image scores above ``threshold_``. To each kind and contrast a POD
    curve is fitted (``adlib.metrics.fit_pod``). What that says of real defects depends
    on how much they look like the drawn ones.

    Args:
        model: A fitted detector with a threshold.
        X: Good images, as in ``fit``, that can be read twice. Those that ``fit``
            learned from, by their pixels, are left out.
        kinds: Kinds of defects, of "scratch", "spot", "stain" and "texture".
        contrasts: Contrasts, as shares of white, in (0, 1]; see ``draw_defect``.
        sizes: The smallest and the largest size in pixels of the images as they come.
            None: from 2 to a quarter of the smallest image's shorter side.
        n_defects: How many of each kind and contrast, at least 10; MIL-HDBK-1823A asks
            for 60.
        region: (height, width) bool, where the middle of a defect may be, for images
            that all have this size; None: in the detector's own region, or without one
            as in ``draw_defect``.
        random_state: Seeds images, places and shapes; None draws others every time.

    Returns:
        The curves, the false alarms on the same images, and the time for an image.

    Raises:
        NotFittedError: The detector is not fitted, or has no threshold.
        TypeError, ValueError: An argument is not as stated; ``fit`` learned from all of
            the images, or all of them score above the threshold.
        ImageError: An image is unusable.

    Warns:
        InputWarning: Curves without a maximum of the likelihood; see ``PodCurve``.

    Note:
        Each defect is drawn on the next good image in a random order. Where there are
        fewer images than defects of a curve, images are used again, and then the trials
        are less independent than the bounds suppose. Memory is bounded by a batch. With
        ``align`` the detector's region is where the reference has it, and defects whose
        images cannot be aligned count as missed.

    Example:
        >>> import numpy as np
        >>> from adlib import PatchCore
        >>> from adlib.pod import measure_pod
        >>> images = np.random.default_rng(0).integers(90, 110, (24, 64, 64))
        >>> images = images.astype(np.uint8)
        >>> model = PatchCore(image_size=64, coreset=0.1).fit(images[:12])
        >>> model = model.calibrate(images[12:], false_positive_rate=0.1)
        >>> report = measure_pod(model, images, kinds=["spot"], contrasts=[0.2])
        >>> report.n_learned, report.n_good, report.rows[0].curve.a90 < 16
        (12, 12, True)
    """
    owner = "measure_pod"
    kinds = [check_option(kind, "kinds", owner, KINDS) for kind in kinds]
    contrasts = [check_ratio(c, "contrasts", owner, closed=True) for c in contrasts]
    for name, values in (("kinds", kinds), ("contrasts", contrasts)):
        if not values:
            raise ValueError(refusal(name, owner, "one at least", "none"))
    n_defects = check_int(n_defects, "n_defects", owner, low=FEWEST)
    random_state = check_random_state(random_state, "random_state", owner)
    settings = model._ready()
    threshold = model._threshold()
    if threshold is None:
        raise model._no_threshold()
    source = open_again(X, owner, settings.pixel_format)
    reading = embed(
        source, model._embedder(), settings, "Scoring good images", digests=True
    )
    images, scores = Pass(reading, owner), []
    sides: list[tuple[int, int]] = []
    for patches in images:
        scores += model._image_scores(patches).astype(np.float64).tolist()
        sides += patches.sizes
    new = ~np.isin(images.digests, model.training_digests_)
    n_learned = int((~new).sum())
    if not new.any():
        rule = "good images that fit did not learn from"
        came = f"{n_learned} that it learned from"
        remedy = "Hold some out: adlib fit does, from 95 images on (--holdout)."
        raise ValueError(refusal("X", owner, rule, came, remedy))
    normal = new & (np.array(scores) <= threshold)
    if not normal.any():
        rule = f"good images, some of which score below the threshold {threshold:g}"
        raise ValueError(refusal("X", owner, rule, f"{new.sum()} that score above"))
    items = list(source.items)
    kept = [i for i, usable in enumerate(normal) if usable]
    good = part_of(source, [items[images.positions[i]] for i in kept])
    bounds = check_range_of(sizes, [sides[i] for i in kept], owner)
    trials = _trials(kinds, contrasts, bounds, n_defects, len(kept), random_state)
    allowed = model.region_ if region is None else region
    found = _score(model, flawed_source(good, trials, allowed), "Scoring defects")
    hits = (found > threshold).reshape(-1, n_defects)
    drawn = np.array([trial.size for trial in trials]).reshape(hits.shape)
    rows = [
        PodRow(trials[i * n_defects].kind, trials[i * n_defects].contrast, curve)
        for i, curve in enumerate(map(_quiet_fit, drawn, hits))
    ]
    _warn_of_separated(rows)
    set_by = model.calibration_
    return PodReport(
        rows=tuple(rows),
        sizes=bounds,
        threshold=threshold,
        false_positive_rate=None
        if set_by is None or threshold != set_by.threshold
        else set_by.false_positive_rate,
        n_good=int(new.sum()),
        n_false_alarms=int((new & ~normal).sum()),
        n_learned=n_learned,
        milliseconds=milliseconds(model, part_of(source, list(good.items)[:N_TIMED])),
        image_size=settings.image_size,
        random_state=random_state,
    )


def _trials(
    kinds: Sequence[SyntheticKind],
    contrasts: Sequence[float],
    bounds: tuple[float, float],
    n_defects: int,
    n_images: int,
    random_state: int | None,
) -> list[Trial]:
    """Return the defects of all curves, one curve after the other.

    Those of one kind are the same at each contrast, but for the contrast.
    """
    rng = np.random.default_rng(random_state)
    sizes = np.geomspace(*bounds, n_defects).tolist()
    trials = []
    for kind in kinds:
        seeds = rng.integers(2**32, size=n_defects).tolist()
        # Sizes go up, so images come in a random order, each before any comes again.
        n_rounds = math.ceil(n_defects / n_images)
        order = np.concatenate([rng.permutation(n_images) for _ in range(n_rounds)])
        for contrast in contrasts:
            one_by_one = zip(sizes, order[:n_defects].tolist(), seeds, strict=True)
            trials += [Trial(kind, contrast, *one) for one in one_by_one]
    return trials


def _score(model: AnomalyDetector, source: Source, description: str) -> Float64Array:
    """Return the scores of a source, (n_images,), under a bar of its own name.

    Images that cannot be aligned have minus infinity: nothing was found in them.
    """
    scores = np.full(source.n_items or 0, -np.inf)
    for patches in Pass(embed(source, model._embedder(), model._ready(), description)):
        scores[patches.positions] = model._image_scores(patches)
    return scores


def milliseconds(model: AnomalyDetector, source: Source) -> float:
    """Return the wall-clock time for an image, on images scored once before."""
    began = time.perf_counter()
    n_images = len(model.score(source))
    return 1000 * (time.perf_counter() - began) / n_images


def _quiet_fit(sizes: Float64Array, found: BoolArray) -> PodCurve:
    """Fit a curve; what it would warn of is told once of all curves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return fit_pod(sizes, found)


def _warn_of_separated(rows: Sequence[PodRow]) -> None:
    separated = [
        f"{row.kind} {row.contrast:g}"
        for row in rows
        if row.curve.separated and row.curve.found.any()
    ]
    if separated:
        warnings.warn(
            f"In {len(separated)} of {len(rows)} curves ({', '.join(separated)}) all "
            "sizes found are above all sizes missed, so that the likelihood has no "
            "maximum: a50 and a90 are the smallest size found, and a90/95 still holds. "
            "More defects (n_defects) give a curve.",
            InputWarning,
            stacklevel=3,
        )
