"""Metrics of anomaly maps, by pixel and by region, all from the same counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from adlib._typing import Float64Array
from adlib._validation import check_ratio
from adlib.metrics._levels import BestF1
from adlib.metrics._pixel_counts import PixelCounts, count_pixels


class ProCurve(NamedTuple):
    """The per-region overlap against the false-positive rate, both rising.

    Attributes:
        false_positive_rates: Share of all normal pixels, (n_points,) float64.
        overlaps: Mean over the regions of the share that is found, (n_points,).
    """

    false_positive_rates: Float64Array
    overlaps: Float64Array


@dataclass(frozen=True)
class PixelCurves:
    """All pixel and region metrics of a set of maps, from one count of its pixels.

    Attributes:
        counts: What they follow from.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import PixelCurves
        >>> masks = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]]])
        >>> maps = np.array([[[4.0, 2.0, 3.0, 1.0]], [[1.0, 1.0, 0.0, 0.0]]])
        >>> curves = PixelCurves.of(masks, maps)
        >>> round(curves.auroc, 4), round(curves.aupro(0.3), 4)
        (0.9167, 0.7222)
    """

    counts: PixelCounts

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
        return cls(count_pixels(masks_true, anomaly_maps))

    @cached_property
    def auroc(self) -> float:
        """Area under the ROC curve of all pixels."""
        counts = self.counts
        rates = _steps(counts.n_anomalous / counts.n_anomalous[-1])
        return _area(self._false_positive_rates, rates, 1.0)

    @cached_property
    def average_precision(self) -> float:
        """Average precision of all pixels: precision, weighted by the recall gained."""
        counts = self.counts
        precision = counts.n_anomalous / (counts.n_anomalous + counts.n_normal)
        gained = np.diff(counts.n_anomalous, prepend=0) / counts.n_anomalous[-1]
        return float(np.sum(precision * gained))

    @cached_property
    def best_f1(self) -> BestF1:
        """The highest F1 over all thresholds; of equals, that of the highest."""
        counts = self.counts
        found = counts.n_anomalous + counts.n_normal
        f1 = 2 * counts.n_anomalous / (found + counts.n_anomalous[-1])
        best = int(f1.argmax())
        # Pixels at the level are found, so the threshold is the next number below it.
        threshold = np.nextafter(counts.levels[best], np.float32(-np.inf))
        return BestF1(float(f1[best]), float(threshold))

    @cached_property
    def pro_curve(self) -> ProCurve:
        """The per-region overlap at every false-positive rate; linear in between."""
        return ProCurve(self._false_positive_rates, _steps(self.counts.overlap))

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
        """The curves' abscissas: to the level, then across it, then to 1."""
        counts = self.counts
        rates = np.empty(2 * len(counts.levels) + 2)
        rates[0], rates[-1] = 0.0, 1.0
        rates[1:-1:2] = counts.n_normal_above / counts.n_normal_total
        rates[2::2] = counts.n_normal / counts.n_normal_total
        return rates


def compute_pixel_auroc(masks_true: Iterable[Any], heatmaps: Iterable[Any]) -> float:
    """Return the area under the ROC curve of all pixels of all images.

    It is ``PixelCurves.of(masks_true, heatmaps).auroc``; ties count half.

    Args:
        masks_true: The mask of each image, (height, width); see ``PixelCurves.of``.
        heatmaps: The anomaly map of each image, (height, width), likewise.

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
        heatmaps: The anomaly map of each image, (height, width), likewise.
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

    Up to a level only normal pixels are gained; across it, anomalous ones and the
    normal ones that tie with them; behind the last, normal ones again.
    """
    steps = np.empty(2 * len(values) + 2)
    steps[0], steps[1] = 0.0, 0.0
    steps[2:-1:2] = values[:]
    steps[3::2] = values[:]
    return steps


def _area(x: Float64Array, y: Float64Array, limit: float) -> float:
    """Return the area under a curve up to ``limit``, divided by it."""
    inside = int(np.searchsorted(x, limit, side="right"))
    x_cut = np.append(x[:inside], limit)
    y_cut = np.append(y[:inside], np.interp(limit, x, y))
    trapezia = np.diff(x_cut) * (y_cut[1:] + y_cut[:-1]) / 2
    return float(trapezia.sum() / limit)
