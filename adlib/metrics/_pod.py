"""Probability of detection (POD) by the size of a defect, from hits and misses.

The model is a logit line in the logarithm of the size, POD(a) = 1 / (1 + exp(-(b0 + b1
ln a))) with b1 >= 0, fitted by maximum likelihood. Its bound is the lower edge of all
lines that the likelihood ratio does not exclude: those of the joint confidence region
of b0 and b1, by the chi-square distribution with two degrees of freedom.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from adlib._typing import BoolArray, Float64Array
from adlib._validation import refusal
from adlib.exceptions import InputWarning
from adlib.metrics._checks import check_labels, check_scores

CONFIDENCE = 0.95  # of the one-sided bound
CRITICAL = float(stats.chi2.ppf(2 * CONFIDENCE - 1, 2))  # 4.61
RELIABLE = 0.9  # the POD of a90
FARTHEST = 40.0  # log-odds that count as certain
FLATTEST = -12.0  # logarithm of the lowest slope that is tried


@dataclass(frozen=True, eq=False)
class PodCurve:
    """The probability of detection of defects as a function of their size.

    No size is extrapolated: one that is not reached within the sizes tested is
    infinite, and one below them is the smallest tested.

    Attributes:
        a50: The size that is found with a probability of 50 %.
        a90: Of 90 %.
        a90_95: The size from which on the lower 95 % bound of the probability is at
            least 90 %: "found with 90 % probability at 95 % confidence".
        intercept: b0 of the line, at size 1; NaN where it is ``separated``.
        slope: b1 of the line, at least 0; NaN where it is ``separated``.
        separated: Nothing found is smaller than anything missed. The likelihood then
            has no maximum and there is no curve: a50 and a90 are the size from which on
            all were found, and only ``a90_95`` and ``lower`` have their usual meaning.
        sizes: The sizes tested, (n,) float64 above 0.
        found: Which were found, (n,) bool.

    Example:
        >>> from adlib.metrics import fit_pod
        >>> curve = fit_pod([2, 4, 6, 8, 10, 12, 14, 16], [0, 0, 1, 0, 1, 1, 1, 1])
        >>> [round(float(pod), 2) for pod in (curve([8])[0], curve.lower([8])[0])]
        [0.72, 0.18]
        >>> round(curve.a90, 1), curve.a90_95
        (10.7, inf)
    """

    a50: float
    a90: float
    a90_95: float
    intercept: float
    slope: float
    separated: bool
    sizes: Float64Array
    found: BoolArray

    def __call__(self, sizes: ArrayLike) -> Float64Array:
        """Return the probability of detection.

        Args:
            sizes: (n,) finite numbers above 0.

        Returns:
            (n,) float64 in [0, 1]; NaN outside of the sizes tested and, where the data
            are ``separated``, between the largest missed and the smallest found.

        Raises:
            TypeError, ValueError: ``sizes`` is not as stated.
        """
        wanted = _check_sizes(sizes, "PodCurve")
        if self.separated:
            missed = self.sizes[~self.found].max(initial=0.0)
            found = self.sizes[self.found].min(initial=math.inf)
            pod = np.where(
                wanted <= missed, 0.0, np.where(wanted >= found, 1.0, np.nan)
            )
        else:
            pod = special.expit(self.intercept + self.slope * np.log(wanted))
        return np.where(self._tested(wanted), pod, np.nan)

    def lower(self, sizes: ArrayLike) -> Float64Array:
        """Return the lower 95 % bound of the probability of detection, one-sided.

        Args:
            sizes: (n,) finite numbers above 0.

        Returns:
            (n,) float64 in [0, 1]; NaN outside of the sizes tested.

        Raises:
            TypeError, ValueError: ``sizes`` is not as stated.
        """
        wanted = _check_sizes(sizes, "PodCurve.lower")
        likelihood = _Likelihood(self.sizes, self.found)
        bounds = [special.expit(likelihood.lowest(math.log(one))) for one in wanted]
        return np.where(self._tested(wanted), bounds, np.nan)

    def _tested(self, sizes: Float64Array) -> BoolArray:
        low, high = self.sizes.min(), self.sizes.max()
        return np.asarray((sizes >= low) & (sizes <= high))


def fit_pod(sizes: ArrayLike, found: ArrayLike) -> PodCurve:
    """Fit the probability of detection as a function of size to hits and misses.

    The method of MIL-HDBK-1823A for hit/miss data, with its logit link on the logarithm
    of size, and bounds by the likelihood ratio. The handbook asks for 60 targets or
    more whose sizes are spread over the rise of the curve. Each must be an independent
    inspection.

    Args:
        sizes: Sizes of the defects, (n,) finite numbers above 0, two different at
            least.
        found: Which were found, (n,) bool or numbers 0 and 1.

    Returns:
        The curve, with a50, a90 and a90/95.

    Raises:
        TypeError, ValueError: ``sizes`` or ``found`` is not as stated.

    Warns:
        InputWarning: Sizes found and missed do not overlap, so that the likelihood has
            no maximum. See ``PodCurve.separated`` for what is then given.

    Note:
        Where a fall with size would fit better the curve is level. The bound is that of
        Cheng and Iles [2]: the lower edge of the curves in the joint 90 % confidence
        region (two-sided) of both parameters. In 1,500 simulations each of 60 defects
        over five octaves a90/95 was at least the true a90 in 97, 97 and 94 % (slopes 2,
        3 and 6); with one degree of freedom it would be 94, 92 and 88 %.

    References:
        1. U.S. Department of Defense, MIL-HDBK-1823A, "Nondestructive evaluation system
           reliability assessment", 7 April 2009, appendix G.
        2. R. C. H. Cheng and T. C. Iles, "Confidence bands for cumulative distribution
           functions of continuous random variables", Technometrics 25, 1983.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import fit_pod
        >>> sizes = np.geomspace(2, 64, 100)
        >>> chance = 1 / (1 + (10 / sizes) ** 3)
        >>> curve = fit_pod(sizes, np.random.default_rng(0).random(100) < chance)
        >>> [round(size, 1) for size in (curve.a50, curve.a90, curve.a90_95)]
        [10.5, 24.8, 42.0]
    """
    owner = "fit_pod"
    tested = _check_sizes(sizes, owner)
    hits = check_labels(found, owner, "found")
    if len(hits) != len(tested):
        rule = f"as long as sizes ({len(tested)})"
        raise ValueError(refusal("found", owner, rule, f"{len(hits)}"))
    low, high = float(tested.min()), float(tested.max())
    if low == high:
        rule = "two different sizes at least"
        raise ValueError(refusal("sizes", owner, rule, f"{low:g} alone"))
    likelihood = _Likelihood(tested, hits)
    if likelihood.separated:
        intercept = slope = math.nan
        a50 = a90 = float(tested[hits].min(initial=math.inf))
        warnings.warn(_separation(tested, hits), InputWarning, stacklevel=2)
    else:
        intercept, slope = likelihood.line()
        a50, a90 = (_size_of(pod, intercept, slope, low, high) for pod in (0.5, 0.9))
    return PodCurve(
        a50,
        a90,
        likelihood.size_of_bound(RELIABLE),
        intercept,
        slope,
        likelihood.separated,
        tested,
        hits,
    )


def _check_sizes(sizes: Any, owner: str) -> Float64Array:
    values = check_scores(sizes, "sizes", owner)
    if not (values > 0).all():
        rule = "(n,) finite numbers above 0"
        raise ValueError(refusal("sizes", owner, rule, f"{values.min():g}"))
    return values


def _separation(sizes: Float64Array, found: BoolArray) -> str:
    """Say which defects were found, and what is given where no curve can be."""
    n = len(sizes)
    if not found.any():
        return (
            f"None of {n} defects up to size {sizes.max():.3g} was found: no POD curve."
        )
    what = f"All of {n} defects from size {sizes.min():.3g} on were found"
    if not found.all():
        what = (
            f"All defects from size {sizes[found].min():.3g} on were found, and none "
            f"below {sizes[~found].max():.3g}"
        )
    return (
        f"{what}: the likelihood of a POD curve has no maximum. a50 and a90 are given "
        "as the smallest size found; a90/95 still holds. Test more sizes around it."
    )


def _size_of(
    pod: float, intercept: float, slope: float, low: float, high: float
) -> float:
    """Return the size of a POD, not below ``low``; infinite where above ``high``."""
    log_odds = float(special.logit(pod))
    if intercept + slope * math.log(high) < log_odds:
        return math.inf
    if intercept + slope * math.log(low) >= log_odds:
        return low
    return math.exp((log_odds - intercept) / slope)


class _Likelihood:
    """The log-likelihood of lines, of which each has a slope of at least 0."""

    def __init__(self, sizes: Float64Array, found: BoolArray) -> None:
        logs = np.log(sizes)
        self._centre, self._scale = float(logs.mean()), float(logs.std())
        self._places = self._standard(logs)
        self._signs = np.where(found, 1.0, -1.0)
        # Lines so steep that the nearest two sizes are as good as certain.
        nearest = float(np.diff(np.unique(self._places)).min())
        self._steepest = math.log(2 * FARTHEST / nearest)
        missed = self._places[~found].max(initial=-math.inf)
        hit = self._places[found].min(initial=math.inf)
        self.separated = bool(missed <= hit)
        if self.separated:
            # The limit of ever steeper lines, as near as the numbers come to it: only
            # at a size that was both found and missed is anything uncertain.
            missed = hit - nearest if math.isinf(missed) else missed
            hit = missed + nearest if math.isinf(hit) else hit
            share = found[self._places == hit].mean() if missed == hit else 0.5
            self._slope = math.exp(self._steepest)
            middle = (missed + hit) / 2
            self._log_odds = float(special.logit(share)) - self._slope * middle
        else:
            self._log_odds, self._slope = self._fit()
        self._highest = self._of(self._log_odds + self._slope * self._places)

    def line(self) -> tuple[float, float]:
        """Return intercept and slope of the best line, in the logarithm of the size."""
        slope = self._slope / self._scale
        return self._log_odds - slope * self._centre, slope

    def lowest(self, log_size: float) -> float:
        """Return the lowest log-odds at a size that the likelihood does not exclude."""
        place = float(self._standard(log_size))
        high = self._best(place)
        if high <= -FARTHEST or self._excess(place, -FARTHEST) <= 0:
            return -math.inf
        found = optimize.brentq(lambda y: self._excess(place, y), -FARTHEST, high)
        return float(found)

    def size_of_bound(self, pod: float) -> float:
        """Return the size from which on the lower bound is ``pod`` at least."""
        wanted = float(special.logit(pod))
        low, high = float(self._places.min()), float(self._places.max())

        def above(place: float) -> float:
            """How far the bound is above, positive where it is; rises with size."""
            if self._best(place) <= wanted:
                return -CRITICAL
            return self._excess(place, wanted)

        if above(high) < 0:
            return math.inf
        place = low if above(low) >= 0 else float(optimize.brentq(above, low, high))
        return math.exp(self._centre + self._scale * place)

    def _standard(self, logs: Any) -> Any:
        return (logs - self._centre) / self._scale

    def _of(self, log_odds: Float64Array) -> float:
        return -float(np.logaddexp(0.0, -self._signs * log_odds).sum())

    def _best(self, place: float) -> float:
        """Return the best line's log-odds at a place."""
        return float(self._log_odds + self._slope * place)

    def _excess(self, place: float, log_odds: float) -> float:
        """Return by how much the best line through a point is excluded."""

        def loss(log_slope: float) -> float:
            return -self._of(log_odds + math.exp(log_slope) * (self._places - place))

        # One minimum: the loss is convex in the slope.
        bounds = (FLATTEST, self._steepest)
        found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
        best = min(float(found.fun), loss(FLATTEST), loss(self._steepest))
        return 2 * (self._highest + best) - CRITICAL

    def _fit(self) -> tuple[float, float]:
        """Return log-odds at the middle and slope of the best line, by Newton steps."""
        design = np.stack([np.ones_like(self._places), self._places])

        def loss(line: Float64Array) -> float:
            return -self._of(line @ design)

        def gradient(line: Float64Array) -> Float64Array:
            signs = self._signs
            return -np.asarray(
                design @ (signs * special.expit(-signs * (line @ design)))
            )

        def curvature(line: Float64Array) -> Float64Array:
            pod = special.expit(line @ design)
            return np.asarray((design * (pod * (1 - pod))) @ design.T)

        found = optimize.minimize(
            loss,
            np.zeros(2),
            jac=gradient,
            hess=curvature,
            method="trust-exact",
            options={"gtol": 1e-9},
        )
        if found.x[1] > 0:
            return float(found.x[0]), float(found.x[1])
        return float(special.logit(np.mean(self._signs > 0))), 0.0
