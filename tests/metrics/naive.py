"""Slow, obvious twins of the metrics, in float64, one threshold at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import ndimage


def flood(mask):
    """Return the regions of a mask as lists of pixels, found by walking."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    regions = []
    while left:
        region, waiting = [], [left.pop()]
        while waiting:
            y, x = waiting.pop()
            region.append((y, x))
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    near = (y + dy, x + dx)
                    if near in left:
                        left.remove(near)
                        waiting.append(near)
        regions.append(region)
    return regions


def pro_points(masks, maps):
    """Return (rate, overlap) at every threshold there is, from none to all pixels."""
    regions = [
        [float(scores[pixel]) for pixel in region]
        for mask, scores in zip(masks, maps, strict=True)
        for region in flood(mask)
    ]
    normal = np.concatenate(
        [
            scores[np.asarray(mask) == 0]
            for mask, scores in zip(masks, maps, strict=True)
        ]
    ).astype(np.float64)
    every = np.unique(np.concatenate([np.ravel(scores) for scores in maps]))[::-1]
    points = [(0.0, 0.0)]
    for threshold in every.astype(np.float64):
        overlaps = [np.mean(np.array(region) >= threshold) for region in regions]
        points.append((float(np.mean(normal >= threshold)), float(np.mean(overlaps))))
    return points


def aupro(masks, maps, limit):
    """Return the area under the points up to a limit, trapezium by trapezium."""
    area, points = 0.0, pro_points(masks, maps)
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 <= limit:
            area += (x1 - x0) * (y0 + y1) / 2
        else:
            y_limit = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            area += (limit - x0) * (y0 + y_limit) / 2
            break
    return area / limit


def best_f1(masks, maps):
    """Return the highest F1 over every threshold there is."""
    truth = np.concatenate([np.ravel(mask) != 0 for mask in masks])
    scores = np.concatenate([np.ravel(values) for values in maps])
    return max(
        2 * np.sum(truth & (scores >= t)) / (truth.sum() + np.sum(scores >= t))
        for t in np.unique(scores)
    )


def n_regions(mask):
    return ndimage.label(mask, np.ones((3, 3)))[1]
