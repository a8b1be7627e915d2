"""PatchCore end to end against the size of the coreset."""

from __future__ import annotations

from adlib import PatchCore
from benchmarks._data import RATIOS, SIDE, images


class Detector:
    """Learning all images, then scoring one, sixteen, and their maps."""

    params = [RATIOS]
    param_names = ["coreset"]

    def setup(self, ratio):
        self.images = images()
        self.model = self._model(ratio).fit(self.images)
        self.model.score(self.images[:1])  # compile

    def _model(self, ratio):
        return PatchCore(coreset=ratio, image_size=SIDE, device="cpu", progress=False)

    def time_fit(self, ratio):
        self._model(ratio).fit(self.images)

    def peakmem_fit(self, ratio):
        self._model(ratio).fit(self.images)

    def time_score_one(self, ratio):
        self.model.score(self.images[:1])

    def time_score_sixteen(self, ratio):
        self.model.score(self.images[:16])

    def time_maps_sixteen(self, ratio):
        self.model.anomaly_maps(self.images[:16])

    def peakmem_score_sixteen(self, ratio):
        self.model.score(self.images[:16])
