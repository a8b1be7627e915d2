"""Slow, obvious twins of thresholds: everything is tried, counted or sorted."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from scipy import integrate, stats


def f1_above(normal, anomalous, threshold):
    hits = sum(score > threshold for score in anomalous)
    flagged = hits + sum(score > threshold for score in normal)
    return Fraction(2 * hits, flagged + len(anomalous))


def best_cut(normal, anomalous):
    """Return the lowest score to call anomalous: of the best cuts the highest."""
    levels = sorted({*normal, *anomalous}, reverse=True)
    values = [
        f1_above(normal, anomalous, np.nextafter(level, -np.inf)) for level in levels
    ]
    return levels[values.index(max(values))]


def quantile(scores, rate):
    """Return the lowest score that at most the share, as it is written, exceed."""
    allowed = Fraction(str(rate)) * len(scores)
    return min(s for s in scores if sum(other > s for other in scores) <= allowed)


def conformal(scores, rate):
    """Return the score of rank ceil((n + 1) (1 - rate)), counted from the lowest."""
    rank = math.ceil((len(scores) + 1) * (1 - Fraction(str(rate))))
    return sorted(scores)[rank - 1]


def zone(values, zones, row, column):
    """Return the pixels of one zone of a map, found one by one."""
    height, width = values.shape
    return [
        float(values[y, x])
        for y in range(height)
        for x in range(width)
        if math.floor(Fraction(y * zones[0], height)) == row
        and math.floor(Fraction(x * zones[1], width)) == column
    ]


def zone_quantiles(maps, zones, rate):
    """Return each zone's quantile, from all its pixels at once."""
    thresholds = np.empty(zones)
    for row, column in np.ndindex(zones):
        pixels = sorted(p for m in maps for p in zone(m, zones, row, column))
        allowed = math.floor(Fraction(str(rate)) * len(pixels))
        thresholds[row, column] = pixels[max(0, len(pixels) - 1 - allowed)]
    return thresholds


def exceeding(factor, n_scores):
    """Return P(z > z_m + factor (z_q - z_m)), of n normal numbers and one more.

    By the textbook's joint density of two order statistics, from the median to the
    upper quartile, without a change of variables.
    """
    m, q = (n_scores + 1) // 2, 3 * (n_scores - 1) // 4 + 1
    parts = m - 1, q - m - 1, n_scores - q
    ways = math.factorial(n_scores) / math.prod(map(math.factorial, parts))
    phi, Phi = stats.norm.pdf, stats.norm.cdf
    low = np.linspace(-7, 7, 601)[:, None]
    gap = np.linspace(0, 9, 1501)
    high = low + gap
    between = np.clip(Phi(high) - Phi(low), 0, 1)
    density = ways * phi(low) * phi(high)
    density = density * Phi(low) ** parts[0] * between ** parts[1]
    density = density * stats.norm.sf(high) ** parts[2]
    of_new = stats.norm.sf(low + factor * gap)
    inner = integrate.simpson(density * of_new, x=gap, axis=1)
    return float(integrate.simpson(inner, x=low[:, 0]))
