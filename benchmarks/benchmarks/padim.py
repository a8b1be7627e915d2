"""PaDiM end to end and its image AUROC against channels, image size and images."""

from __future__ import annotations

from adlib import PaDiM
from benchmarks._data import N_IMAGES, SIDE, SIDES
from benchmarks.detector import _Detector
from benchmarks.quality import _Quality

CHANNELS = [25, 50, 100, 152]


class Channels(_Detector):
    kind = PaDiM
    params = [CHANNELS]
    param_names = ["n_channels"]

    def setup(self, n_channels):
        self.prepare(n_channels=n_channels)

    def time_score_sixteen(self, n_channels):
        self.model.score(self.images[:16])

    def track_model(self, n_channels):
        return sum(getattr(part, "nbytes", 0) for part in self.model.gaussian_)

    track_model.unit = "bytes"


class ImageSize(_Detector):
    kind = PaDiM
    params = [SIDES]
    param_names = ["image_size"]

    def setup(self, side):
        self.prepare(image_size=side)


class ImageCount(_Detector):
    """Few images take the form of low rank, many the packed one."""

    kind = PaDiM
    params = [[N_IMAGES // 8, N_IMAGES // 2, N_IMAGES]]
    param_names = ["n_images"]

    def setup(self, n_images):
        self.prepare(n_channels=30)
        self.images = self.images[:n_images]


class Quality(_Quality):
    kind = PaDiM
    params = [CHANNELS]
    param_names = ["n_channels"]

    def setup(self, n_channels):
        self.options = {"image_size": SIDE, "n_channels": n_channels}
