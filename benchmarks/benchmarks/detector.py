"""PatchCore end to end against coreset, image size, batch size and threads."""

from __future__ import annotations

from adlib import PatchCore
from benchmarks._data import BATCH_SIZES, RATIOS, SIDE, SIDES, images
from benchmarks._threads import THREADS, restore_threads, use_threads


class _Detector:
    """Learning all images, then scoring one."""

    kind = PatchCore

    def prepare(self, **options):
        self.options = {"image_size": SIDE, "device": "cpu", "progress": False}
        self.options.update(options)
        self.images = images()
        self.model = self.kind(**self.options).fit(self.images)
        self.model.score(self.images[:1])  # compile

    def time_fit(self, value):
        self.kind(**self.options).fit(self.images)

    def peakmem_fit(self, value):
        self.kind(**self.options).fit(self.images)

    def time_score_one(self, value):
        self.model.score(self.images[:1])


class CoresetSize(_Detector):
    params = [RATIOS]
    param_names = ["coreset"]

    def setup(self, ratio):
        self.prepare(coreset=ratio)

    def time_score_sixteen(self, ratio):
        self.model.score(self.images[:16])

    def time_maps_sixteen(self, ratio):
        self.model.anomaly_maps(self.images[:16])

    def peakmem_score_sixteen(self, ratio):
        self.model.score(self.images[:16])


class ImageSize(_Detector):
    params = [SIDES]
    param_names = ["image_size"]

    def setup(self, side):
        self.prepare(image_size=side)


class BatchSize(_Detector):
    params = [BATCH_SIZES]
    param_names = ["batch_size"]

    def setup(self, batch_size):
        self.prepare(batch_size=batch_size)

    def time_score_sixteen(self, batch_size):
        self.model.score(self.images[:16])

    def peakmem_score_sixteen(self, batch_size):
        self.model.score(self.images[:16])


class ThreadCount(_Detector):
    params = [THREADS]
    param_names = ["n_threads"]

    def setup(self, n_threads):
        use_threads(n_threads)
        self.prepare()

    def teardown(self, n_threads):
        restore_threads()
