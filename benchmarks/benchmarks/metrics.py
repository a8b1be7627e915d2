"""Metrics of anomaly maps: time and memory, all four from one look.

Maps are smooth noise in which the anomalous rectangles are somewhat louder.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage

from adlib.metrics import PixelCurves, aupimo, bootstrap_interval

COUNTS = [20, 160]
SIDE = 320


@lru_cache(maxsize=1)
def _masks_and_maps(n_images):
    rng = np.random.default_rng(0)
    shape = (n_images, SIDE, SIDE)
    noise = rng.normal(size=shape)
    maps = np.stack([ndimage.gaussian_filter(plane, 4) for plane in noise])
    masks = np.zeros(shape, bool)
    for mask in masks[::2]:
        y, x = rng.integers(0, SIDE - 40, 2)
        height, width = rng.integers(5, 40, 2)
        mask[y : y + height, x : x + width] = True
    return masks, (maps + 0.05 * masks).astype(np.float32)


def _all_four(masks, maps):
    curves = PixelCurves.of(masks, maps)
    return curves.auroc, curves.average_precision, curves.best_f1, curves.aupro()


class PixelMetrics:
    params = [COUNTS]
    param_names = ["n_images"]

    def setup(self, n_images):
        self.masks, self.maps = _masks_and_maps(n_images)
        _all_four(self.masks[:4], self.maps[:4])  # loads the kernels

    def time_all_four(self, n_images):
        _all_four(self.masks, self.maps)

    def time_aupimo(self, n_images):
        aupimo(self.masks, self.maps)

    def peakmem_all_four(self, n_images):
        _all_four(self.masks, self.maps)


class Bootstrap:
    params = [[160, 1000]]
    param_names = ["n_images"]

    def setup(self, n_images):
        rng = np.random.default_rng(0)
        self.y = np.arange(n_images) % 4 == 0
        self.scores = rng.normal(self.y)

    def time_auroc(self, n_images):
        bootstrap_interval("auroc", self.y, self.scores)
