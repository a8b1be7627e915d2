"""Sizes of defects and settings that are asked of images that cannot say them."""

from __future__ import annotations

import numpy as np
import pytest

from adlib.pod import measure_pod, tune
from tests.conftest import scratched, texture
from tests.situations.situation import check, refused, works

OTHERS = np.stack([texture(seed) for seed in range(20, 40)])
QUICK = {"image_sizes": [32], "coresets": [0.1], "n_defects": 60, "progress": False}


def judged(place):
    """A model with a threshold."""
    return place.model.calibrate(OTHERS, false_positive_rate=0.1)


def saved(place, *, threshold=True):
    """Save a model; return its file."""
    path = place.folder / "part.adlib"
    (judged(place) if threshold else place.model).save(path)
    return path


def write(place, name, images):
    """Write images into a folder below the folder; return it."""
    for number, image in enumerate(images):
        place.write(f"{name}/{number:02}.png", image)
    return place.folder / name


def pod(place, *words):
    """Run ``adlib pod`` on good images that were not learned."""
    folder = write(place, "others", OTHERS)
    return place.run("pod", saved(place), folder, "-o", place.folder / "pod", *words)


SITUATIONS = {
    "POD from the images that were learned": refused(
        lambda place: measure_pod(judged(place), place.good),
        "good images that fit did not learn from; got 6 that it learned from. Hold",
    ),
    "POD of a model without a threshold": refused(
        lambda place: measure_pod(place.model, OTHERS), "has no threshold yet"
    ),
    "POD on images that all score above the threshold": refused(
        lambda place: (
            setattr(place.model, "threshold_", 1e-9),
            measure_pod(place.model, OTHERS),
        ),
        "some of which score below the threshold",
    ),
    "POD from a stream that ends": refused(
        lambda place: measure_pod(judged(place), iter(OTHERS)),
        "images in a fixed order that can be read twice.*Pass a list or a folder",
    ),
    "POD on a folder that also holds defects": refused(
        lambda place: (
            write(place, "set/test/good", OTHERS),
            write(place, "set/test/scratch", [scratched(1)]),
            place.run(
                "pod", saved(place), place.folder / "set", "-o", place.folder / "pod"
            ),
        ),
        "images of good parts alone",
    ),
    "defects larger than the images": refused(
        lambda place: pod(place, "--sizes", "4", "50"),
        r"two sizes in \[1, 32\], half of the smallest image's side",
    ),
    "a region of another size than the images": refused(
        lambda place: pod(
            place,
            "--region",
            place.write("mask.png", np.full((32, 32), 255, np.uint8)),
        ),
        "--region must be bool of the image.s shape, .64, 64., and True somewhere",
    ),
    "POD of an exported file": refused(
        lambda place: place.run(
            "pod",
            (place.folder / "part.onnx", (place.folder / "part.onnx").touch())[0],
            place.write_good(),
        ),
        "needs the model file, not an exported one",
    ),
    "advice from few images": refused(
        lambda place: tune(place.good, **QUICK), "at least 12 images; got 6"
    ),
    "advice within less time than anything takes": refused(
        lambda place: tune(OTHERS, milliseconds_an_image=1e-6, **QUICK),
        "what the quickest setting takes; got",
    ),
    "advice on a folder that also holds defects": refused(
        lambda place: (
            write(place, "set/test/good", OTHERS),
            write(place, "set/test/scratch", [scratched(1)]),
            place.run("tune", place.folder / "set"),
        ),
        "images of good parts alone",
    ),
    "sizes for advice that are no numbers": refused(
        lambda place: place.run("tune", place.write_good(), "--sizes", "224x320"),
        "--sizes must be sides as 224,320,448; got '224x320'",
    ),
    "advice in no time": works(
        # The first setting is always tried.
        lambda place: len(tune(OTHERS, minutes=1e-9, **QUICK).settings) == 4
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    check(SITUATIONS[name], place)
