"""Image AUROC against coreset, image size, batch size and threads.

Learned are photographs of one made-up part, scored are others of which half have a
spot: hard enough that the figure can fall and rise, and no measure of what real images
give. Neither batches nor threads may move it.
"""

from __future__ import annotations

from functools import lru_cache

from sklearn.metrics import roc_auc_score

from adlib import PatchCore
from benchmarks._data import BATCH_SIZES, N_IMAGES, RATIOS, SIDE, SIDES
from benchmarks._textures import flawed_part, good_part
from benchmarks._threads import THREADS, restore_threads, use_threads

N_SCORED = 64 if N_IMAGES >= 64 else 24  # of each kind


@lru_cache(maxsize=1)
def _scenes(side):
    """Return images to learn, and to score: good ones first."""
    good = [good_part(seed, side) for seed in range(N_IMAGES)]
    others = [good_part(1_000 + seed, side) for seed in range(N_SCORED)]
    return good, others + [flawed_part(2_000 + seed, side) for seed in range(N_SCORED)]


class _Quality:
    kind = PatchCore
    options = {}  # what varies

    def track_auroc(self, value):
        options = {"image_size": SIDE, "device": "cpu", "progress": False}
        options.update(self.options)
        good, scored = _scenes(options["image_size"])
        scores = self.kind(**options).fit(good).score(scored)
        return float(roc_auc_score([0] * N_SCORED + [1] * N_SCORED, scores))

    track_auroc.unit = "image AUROC"


class CoresetSize(_Quality):
    params = [RATIOS]
    param_names = ["coreset"]

    def setup(self, ratio):
        self.options = {"coreset": ratio}


class ImageSize(_Quality):
    params = [SIDES]
    param_names = ["image_size"]

    def setup(self, side):
        self.options = {"image_size": side}


class BatchSize(_Quality):
    params = [BATCH_SIZES]
    param_names = ["batch_size"]

    def setup(self, batch_size):
        self.options = {"batch_size": batch_size}


class ThreadCount(_Quality):
    params = [THREADS]
    param_names = ["n_threads"]

    def setup(self, n_threads):
        use_threads(n_threads)

    def teardown(self, n_threads):
        restore_threads()
