"""Metrics of anomaly maps, by pixel and by region, all from the same counts.

Anomalous pixels are few, so their distinct scores are the levels; a normal pixel is
only counted: at which level, or between which two, its score lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from adlib._threads import Threads, available_threads, run_in_slices
from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib._validation import check_ratio, refusal
from adlib.metrics._checks import MaskedMaps
from adlib.metrics._image_metrics import BestF1


class ProCurve(NamedTuple):
    """The per-region overlap against the false-positive rate, (n_points,), rising."""

    false_positive_rates: Float64Array
    overlaps: Float64Array


@dataclass(frozen=True, eq=False)
class PixelCurves:
    """All pixel and region metrics of a set of maps, from one count of its pixels.

    Attributes:
        levels: The distinct scores of anomalous pixels, (n_levels,) float32, falling.
        n_anomalous: Anomalous pixels at or above each level, (n_levels,) int64.
        n_normal: Normal pixels there, (n_levels,) int64.
        n_normal_above: Normal pixels above it, (n_levels,) int64.
        n_normal_total: All normal pixels.
        overlaps: Mean over the regions of the share at or above each level, (n_levels,)
            float64.
        n_regions: 8-connected regions of all masks.

    Example:
        >>> from adlib.metrics import PixelCurves
        >>> masks = [[[1, 1, 0, 0]], [[0, 0, 0, 0]]]
        >>> maps = [[[4.0, 2.0, 3.0, 1.0]], [[1.0, 1.0, 0.0, 0.0]]]
        >>> curves = PixelCurves.of(masks, maps)
        >>> round(curves.auroc, 4), round(curves.aupro(0.3), 4)
        (0.9167, 0.7222)
    """

    levels: Float32Array
    n_anomalous: Int64Array
    n_normal: Int64Array
    n_normal_above: Int64Array
    n_normal_total: int
    overlaps: Float64Array
    n_regions: int

    @classmethod
    def of(cls, masks_true: Iterable[Any], anomaly_maps: Iterable[Any]) -> PixelCurves:
        """Count the pixels of all maps, once for every metric.

        Args:
            masks_true: The mask of each image, (height, width) bool, or whole numbers
                of which every one but 0 is anomalous. Normal images have masks of 0.
            anomaly_maps: The map of each image, as large as its mask, higher = more
                anomalous; compared in float32. Images may differ in size.

        Returns:
            All metrics, each computed when it is first asked for.

        Raises:
            TypeError: Maps or masks are not numbers.
            ValueError: A mask has soft or lossy edges (fractions, or many values),
                values below 0, or 255 all over, as ``MVTecDataset`` gives where nobody
                drew one. There are not as many maps as masks, sizes differ, a map holds
                NaN or infinity, or there are no normal or no anomalous pixels at all.

        Note:
            Sequences are read twice, one map at a time, the second time by several
            threads; of other iterables the maps are kept. Beside that it takes about 50
            bytes an anomalous pixel.
        """
        images = MaskedMaps(masks_true, anomaly_maps, "pixel metrics")
        scores, weights, n_regions, n_pixels = [], [], 0, 0
        for image in images:
            n_pixels += image.scores.size
            if image.n_regions:
                chosen = image.regions > 0
                region = image.regions[chosen]
                scores.append(image.scores[chosen])
                weights.append(1.0 / np.bincount(region)[region])
                n_regions += image.n_regions
        if not scores or sum(map(len, scores)) == n_pixels:
            rule = "with normal and anomalous pixels"
            came = f"no {'normal' if scores else 'anomalous'} pixel"
            raise ValueError(refusal("masks_true", "pixel metrics", rule, came))
        levels, place = np.unique(np.concatenate(scores), return_inverse=True)
        n_at_level = np.bincount(place, minlength=len(levels))
        overlaps = np.bincount(place, np.concatenate(weights), len(levels)) / n_regions
        # Summed from the highest level down; see _count_normal.
        n_normal = np.cumsum(_count_normal(images, levels)[::-1])
        return cls(
            levels[::-1],
            n_anomalous=np.cumsum(n_at_level[::-1]),
            n_normal=n_normal[1::2],
            n_normal_above=n_normal[0:-1:2],
            n_normal_total=int(n_normal[-1]),
            overlaps=np.minimum(np.cumsum(overlaps[::-1]), 1.0),
            n_regions=n_regions,
        )

    @cached_property
    def auroc(self) -> float:
        """Area under the ROC curve of all pixels."""
        recalls = self.n_anomalous / self.n_anomalous[-1]
        return _area(self._false_positive_rates, _steps(recalls), 1.0)

    @cached_property
    def average_precision(self) -> float:
        """Average precision of all pixels: precision, weighted by the recall gained."""
        precision = self.n_anomalous / (self.n_anomalous + self.n_normal)
        gained = np.diff(self.n_anomalous, prepend=0) / self.n_anomalous[-1]
        return float(np.sum(precision * gained))

    @cached_property
    def best_f1(self) -> BestF1:
        """The highest F1 over all thresholds; of equals, that of the highest."""
        found = self.n_anomalous + self.n_normal
        f1 = 2 * self.n_anomalous / (found + self.n_anomalous[-1])
        best = int(f1.argmax())
        # Pixels at the level are found, so the threshold is the next number below it.
        threshold = np.nextafter(self.levels[best], np.float32(-np.inf))
        return BestF1(float(f1[best]), float(threshold))

    @cached_property
    def pro_curve(self) -> ProCurve:
        """The per-region overlap at every false-positive rate; linear in between."""
        return ProCurve(self._false_positive_rates, _steps(self.overlaps))

    def aupro(self, fpr_limit: float = 0.3) -> float:
        """Return the area under the PRO curve up to a limit; see ``compute_pro``.

        Args:
            fpr_limit: The highest false-positive rate, in (0, 1].

        Returns:
            The area as a share of the limit, in [0, 1].

        Raises:
            TypeError: ``fpr_limit`` is no number.
            ValueError: It is out of its range.
        """
        limit = check_ratio(fpr_limit, "fpr_limit", "aupro", closed=True)
        return _area(*self.pro_curve, limit)

    @cached_property
    def _false_positive_rates(self) -> Float64Array:
        """The curves' abscissas: to each level, then across it; at last to 1."""
        counts = np.column_stack([self.n_normal_above, self.n_normal]).ravel()
        return np.concatenate([[0.0], counts / self.n_normal_total, [1.0]])


def compute_pixel_auroc(masks_true: Iterable[Any], heatmaps: Iterable[Any]) -> float:
    """Return the area under the ROC curve of all pixels of all images.

    It is ``PixelCurves.of(masks_true, heatmaps).auroc``; ties count half.

    Args:
        masks_true: The mask of each image, (height, width); see ``PixelCurves.of``.
        heatmaps: The anomaly map of each image, likewise.

    Returns:
        In [0, 1]; 0.5 is chance.

    Raises:
        TypeError, ValueError: As ``PixelCurves.of``.

    Example:
        >>> from adlib.metrics import compute_pixel_auroc
        >>> masks = [[[1, 1, 0, 0]], [[0, 0, 0, 0]]]
        >>> maps = [[[4.0, 2.0, 3.0, 1.0]], [[1.0, 1.0, 0.0, 0.0]]]
        >>> round(compute_pixel_auroc(masks, maps), 4)
        0.9167
    """
    return PixelCurves.of(masks_true, heatmaps).auroc


def compute_pro(
    masks_true: Iterable[Any], heatmaps: Iterable[Any], fpr_limit: float = 0.3
) -> float:
    """Return AUPRO: the area under the per-region overlap up to a false-positive rate.

    It is ``PixelCurves.of(masks_true, heatmaps).aupro(fpr_limit)``. At each threshold
    the overlap is the mean, over all 8-connected regions of all masks, of the share of
    the region's pixels above it, and the false-positive rate is that of all normal
    pixels, those of normal images included. The curve is linear between its points and
    interpolated at the limit; the area is divided by the limit.

    Args:
        masks_true: The mask of each image, (height, width); see ``PixelCurves.of``.
        heatmaps: The anomaly map of each image, likewise.
        fpr_limit: In (0, 1].

    Returns:
        In [0, 1].

    Raises:
        TypeError, ValueError: As ``PixelCurves.of``; or ``fpr_limit`` is not as stated.

    References:
        1. P. Bergmann et al., "The MVTec anomaly detection dataset", IJCV 129, 2021,
           section 5.2.

    Example:
        >>> from adlib.metrics import compute_pro
        >>> masks = [[[1, 1, 0, 0]], [[0, 0, 0, 0]]]
        >>> maps = [[[4.0, 2.0, 3.0, 1.0]], [[1.0, 1.0, 0.0, 0.0]]]
        >>> round(compute_pro(masks, maps, 0.3), 4)
        0.7222
    """
    return PixelCurves.of(masks_true, heatmaps).aupro(fpr_limit)


def _steps(values: Float64Array) -> Float64Array:
    """Return a curve's ordinates at the abscissas of ``_false_positive_rates``.

    Only across a level anomalous pixels are gained, with the normal ones that tie.
    """
    return np.repeat(np.append(0.0, values), 2)


def _area(x: Float64Array, y: Float64Array, limit: float) -> float:
    """Return the area under a curve up to ``limit``, divided by it."""
    inside = int(np.searchsorted(x, limit, side="right"))
    x_cut = np.append(x[:inside], limit)
    y_cut = np.append(y[:inside], np.interp(limit, x, y))
    trapezia = np.diff(x_cut) * (y_cut[1:] + y_cut[:-1]) / 2
    return float(trapezia.sum() / limit)


def _count_normal(images: MaskedMaps, levels: Float32Array) -> Int64Array:
    """Return how many normal pixels lie between rising levels and at them, (2 n + 1,).

    Entry 2 k are those below level k and above the one before, 2 k + 1 those at it.
    """
    ended = np.append(levels, np.float32(np.nan))  # behind the last: equal to no score
    n_threads = min(available_threads(), len(images))
    totals: list[Int64Array] = []

    def work(first: int, last: int) -> None:
        own = np.zeros(2 * len(levels) + 1, np.int64)
        for number in range(first, last):
            image = images.image(number)
            # In order, the levels of scores are found several times as fast.
            scores = np.sort(image.scores[image.regions == 0])
            place = np.searchsorted(levels, scores)
            np.add.at(own, 2 * place + (ended[place] == scores), 1)
        totals.append(own)

    # One slice a thread: each has counts of its own.
    with Threads(n_threads) as pool:
        run_in_slices(pool, n_threads, len(images), work)
    return sum(totals[1:], totals[0])
