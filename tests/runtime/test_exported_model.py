"""An exported model takes images as detectors do, and refuses what it cannot take."""

from __future__ import annotations

import numpy as np
import pytest

from adlib import runtime
from adlib.exceptions import ImageError, SkippedImagesWarning
from tests.conftest import texture
from tests.models.make import HERE


@pytest.fixture(scope="module")
def kept():
    """A file that this or an earlier version exported."""
    return max(HERE.glob("patchcore-*.onnx"))


def test_arguments_of_load_are_checked(kept):
    with pytest.raises(ValueError, match="runtime of load must be"):
        runtime.load(kept, runtime="torch")
    with pytest.raises(ValueError, match="device of load must be"):
        runtime.load(kept, device="gpu")
    with pytest.raises(ValueError, match=r"device of load must be .*openvino"):
        runtime.load(kept, runtime="openvino", device="cuda")
    with pytest.raises(ValueError, match="needs CUDAExecutionProvider"):
        runtime.load(kept, device="cuda")


@pytest.mark.parametrize(
    ("X", "error", "fragment"),
    [
        (
            np.zeros((1, 8, 8), np.uint16),
            ImageError,
            "must have 8 bits for an exported",
        ),
        (np.zeros((1, 8, 8)), ImageError, "must have 8 bits for an exported model"),
        (np.full((1, 8, 8), 2.0), ImageError, "must be finite and in"),
        (np.zeros((1, 8, 8, 5), np.uint8), ValueError, "must be an array"),
        (np.zeros((0, 8, 8), np.uint8), ValueError, "X of ExportedModel.score must"),
        ([], ValueError, "at least one image"),
        (iter([]), ValueError, "an empty stream"),
    ],
)
@pytest.mark.filterwarnings("ignore::adlib.exceptions.InputWarning")
def test_wrong_images_are_refused(kept, X, error, fragment):
    with pytest.raises(error, match=fragment):
        runtime.load(kept).score(X)


def test_unusable_images_can_be_skipped(kept):
    model = runtime.load(kept)
    X = [texture(0), np.zeros((3, 3), np.int64), texture(1)]
    with pytest.raises(ImageError, match="image 1"):
        model.score(X)
    model.on_error = "skip"
    with pytest.warns(SkippedImagesWarning, match="1 images were skipped: image 1"):
        scores = model.score(X)
    assert np.isnan(scores).tolist() == [False, True, False]
    with pytest.warns(SkippedImagesWarning):
        assert model.predict(X)[1] == -1
    with pytest.warns(SkippedImagesWarning):
        maps = model.anomaly_maps(X)
    assert np.isnan(maps[1]).all()


def test_a_stream_is_read_no_further_than_its_results(kept):
    read = []

    def camera():
        for number in range(5):
            read.append(number)
            yield texture(number)

    results = runtime.load(kept).inspect(camera())
    next(results)
    assert read == [0]
    next(results)
    assert read == [0, 1]
