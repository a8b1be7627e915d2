"""A model that is quick, a folder that images come into, and a watch over it."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager

import numpy as np
from PIL import Image

from adlib._inspection import Inspection, Limits
from adlib.exceptions import ImageError
from adlib.images import open_source
from adlib.serve._model import ModelFile
from adlib.serve._results import Results
from adlib.serve._watch import Watch


class Mean:
    """Scores an image by its mean; what a detector must do, without a network."""

    def __init__(self, threshold, review_threshold=None):
        self.threshold_ = threshold
        self.review_threshold_ = review_threshold
        self.on_error = "raise"
        self.batches = []

    def inspect(self, X):
        source = open_source(X, "Mean.inspect")
        items = list(source.items)
        self.batches.append(len(items))
        limits = Limits(self.threshold_, self.review_threshold_, [])
        for item in items:
            try:
                pixels = source.read(item)
            except ImageError as error:
                text = str(error)
                yield Inspection(item.name, np.nan, -1, None, text, decision="FAIL")
                continue
            score = float(pixels.mean())
            if score == 13:
                raise RuntimeError("the GPU is on fire")
            verdict = 1 if score <= self.threshold_ else -1
            yield Inspection(
                item.name,
                score,
                verdict,
                None,
                size=pixels.shape[:2],
                worst_pixel=(1, 2),
                **limits.judged(score, verdict),
            )


def read_mean(path):
    """Load a model that ``write_mean`` wrote."""
    return Mean(*json.loads(path.read_text()))


def write_mean(path, *limits):
    """Write a model file; None as the threshold: without one."""
    path.write_text(json.dumps(limits))
    return path


def save(path, value, size=8):
    """Save an image of one grey value, whole at once as a good camera does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((size, size), value, np.uint8)
    image[0, 0] ^= 1  # so that no two of one value need be alike
    Image.fromarray(image).save(path.with_name(".new.png"))
    path.with_name(".new.png").replace(path)
    return path


def wait_for(condition, seconds=30.0):
    """Wait until something is so, or fail."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


class Line:
    """A folder that images come into, and what was made of them."""

    def __init__(self, root, *limits):
        self.root, self.inbox, self.said = root, root / "in", []
        self.database, self.model = root / "results.db", root / "mean.json"
        self.inbox.mkdir()
        write_mean(self.model, *(limits or (100.0, 60.0)))

    def watch(self, results, **given):
        """A watch that waits for nothing, unless told to."""
        given = {"settle": 0.0, "interval": 0.01, "say": self.said.append, **given}
        model = ModelFile(self.model, read_mean)
        return Watch(self.inbox, model, results, "part", **given)

    def run(self, **given):
        """Judge what waits; return all results."""
        with Results(self.database) as results:
            watch = self.watch(results, **given)
            watch.run(once=True)
            return results.after("part", 0, 10**6)

    @contextmanager
    def working(self, **given):
        """A watch in a thread, until the block ends."""
        begun, watches, failed = threading.Event(), [], []

        def work():
            try:
                with Results(self.database) as results:
                    watches.append(self.watch(results, **given))
                    begun.set()
                    watches[0].run()
            except BaseException as error:
                failed.append(error)
                begun.set()

        thread = threading.Thread(target=work)
        thread.start()
        begun.wait()
        try:
            yield watches[0]
        finally:
            watches[0].stop.set()
            thread.join(20)
        assert not thread.is_alive()
        assert failed == []

    def results(self):
        with Results(self.database) as results:
            return results.after("part", 0, 10**6)
