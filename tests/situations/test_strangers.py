"""What a stranger with a folder of images met, after all the others."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import adlib
from adlib import PatchCore
from adlib.cli import main
from adlib.exceptions import SkippedImagesWarning
from adlib.overlays import save_overlays
from tests.conftest import scratched, texture
from tests.situations.situation import check, refused, warned, works

OTHERS = np.stack([texture(seed) for seed in range(20, 26)])
DEFECTS = np.stack([scratched(seed) for seed in range(40, 44)])
BOTH = np.concatenate([OTHERS, DEFECTS])
SIZE = ("--image-size", "64", "--coreset", "0.2", "--leave-one-out")


def quick(**parameters):
    return PatchCore(
        **{"image_size": 64, "coreset": 0.2, "progress": False} | parameters
    )


def without_reading(place, y):
    """Calibrate with these labels on files that are not there."""
    return place.model.calibrate([f"missing/{n}.png" for n in range(10)], y)


def learns_six(place, *images):
    """Ask whether ``adlib fit`` says that it learns six images."""
    output = place.run("fit", *images, *SIZE, "-o", place.folder / "part.adlib")
    return "Learning 6 images" in output.err


def two(place):
    """Yield two folders of good images whose names look like suffixes."""
    yield place.write_good("2026.11.27")
    yield place.write_good("2026.11.28")


def linked(place):
    """Return a folder of good images, and a link to it."""
    link = place.folder / "link"
    link.symlink_to(place.write_good())
    return place.folder / "good", link


def written(place, name, content):
    """Write a file of any content, and score it."""
    (place.folder / name).write_bytes(content)
    return place.model.score([place.folder / name])


def skipping(place):
    """Fit and predict with an image that cannot be read; return the warnings."""
    (place.folder / "broken.png").write_text("no")
    model = quick(on_error="skip", false_positive_rate=0.3)
    with pytest.warns(SkippedImagesWarning) as caught:
        model.fit_predict([*place.good, place.folder / "broken.png"])
    return caught


def learned_zero_one(place):
    """Return a model that was fitted with labels of 0 and 1."""
    return quick().fit(BOTH, [0] * len(OTHERS) + [1] * len(DEFECTS))


def closed_output(place, *words):
    """Run a command whose standard output is closed, as a service's is."""
    place.model.save(place.folder / "part.adlib")
    before, sys.stdout = sys.stdout, None
    try:
        words = ("score", place.folder / "part.adlib", place.write_good(), *words)
        return main([str(word) for word in words])
    finally:
        sys.stdout = before


def as_object(images):
    """Return images as NumPy stores them in an array of objects."""
    return np.array([image.tolist() for image in images], dtype=object)


SITUATIONS = {
    "one folder named twice": warned(
        lambda place: learns_six(place, place.write_good(), place.folder / "good"),
        "6 of 12 files of IMAGES are named twice and count once",
    ),
    "a folder and a link to it": warned(
        lambda place: learns_six(place, *linked(place)),
        "6 of 12 files of IMAGES are named twice",
    ),
    "a folder and a file in it": warned(
        lambda place: learns_six(
            place, place.write_good(), place.folder / "good/3.png"
        ),
        "1 of 7 files of IMAGES are named twice",
    ),
    "folders named by dates with dots": works(
        lambda place: (
            len(
                place.model.score(
                    [place.write_good("2026.11.28"), place.write_good("2026.11.27")]
                )
            )
            == 12
        )
    ),
    "folders named by dates, from a generator": works(
        lambda place: (
            len(place.model.score(place.write_good(name) for name in ("v1.2", "v1.3")))
            == 12
        )
    ),
    "a folder named as an image": refused(
        lambda place: (
            (place.folder / "a.png").mkdir(),
            place.model.score([place.folder / "a.png"]),
        ),
        "a.png: must be a regular file; it is a folder",
    ),
    "a link to nothing": refused(
        lambda place: (
            (place.folder / "a.png").symlink_to("nowhere"),
            place.model.score([place.folder / "a.png"]),
        ),
        "a.png must be a readable image; it is a link to nothing",
    ),
    "a file that is not there": refused(
        lambda place: place.model.score(["nowhere.png"]),
        "nowhere.png must be a readable image; it is not there",
    ),
    "an empty file": refused(
        lambda place: written(place, "a.png", b""), r"its content is empty\)"
    ),
    "a page of the web, saved as .jpg": refused(
        lambda place: written(place, "a.jpg", b"<html>403</html>"),
        r"its content is of no kind that Pillow knows\)",
    ),
    "images that need more memory than there is": refused(
        lambda place: place.run(
            "fit", place.write_good(), "--image-size", 400000, "-o", place.folder / "m"
        ),
        "\nerror: batch_size and image_size must leave room in memory",
    ),
    "a seed of more digits than torch takes": refused(
        lambda place: quick(random_state=2**70).fit(place.good),
        r"random_state of PatchCore must be an integer in \[0, 9223372036854775807\]",
    ),
    "--seed of more digits than torch takes": refused(
        lambda place: place.run(
            "fit", place.write_good(), "--seed", 2**70, "-o", place.folder / "m"
        ),
        r"^error: --seed must be an integer in \[0, 9223372036854775807\]",
    ),
    "--backbone that timm does not know": refused(
        lambda place: place.run(
            "fit",
            place.write_good(),
            "--backbone",
            "resnet999",
            "-o",
            place.folder / "m",
        ),
        r"^error: --backbone must be the name of a timm network",
    ),
    "a model that is a folder": refused(
        lambda place: adlib.load(place.folder), "not a model file .*: it is a folder"
    ),
    "standard output that is closed": works(lambda place: closed_output(place) == 1),
    "standard output that is closed, and --output": works(
        lambda place: closed_output(place, "-o", place.folder / "scores.csv") == 0
    ),
    "labels longer than the files": refused(
        lambda place: without_reading(place, [0] * 10 + [1]),
        "y of PatchCore.calibrate must be one label for each image of X; got",
    ),
    "the rate as second argument": refused(
        lambda place: place.model.calibrate(OTHERS, 0.2),
        "got 0.2. Pass false_positive_rate=0.2 by its name",
    ),
    "labels that are names": refused(
        lambda place: quick().fit(place.good, ["good"] * 5 + ["bad"]),
        r"Compare names, as y == 'bad': True means anomalous",
    ),
    "labels that are all -1": refused(
        lambda place: quick().fit(place.good, [-1] * 6),
        "got none: y labels all 6 anomalous",
    ),
    "a batch of defects labelled 1, behind labels 0 and 1": refused(
        lambda place: learned_zero_one(place).partial_fit(DEFECTS, [1] * len(DEFECTS)),
        "got none: y labels all 4 anomalous",
    ),
    "a batch of good images labelled 1": works(
        lambda place: (
            len(place.model.partial_fit(OTHERS, [1] * 6).training_images_) == 12
        )
    ),
    "a threshold of 401 digits": refused(
        lambda place: (
            setattr(place.model, "threshold_", 10**400),
            place.model.predict(place.good),
        ),
        "threshold_ of PatchCore must be a finite number",
    ),
    "fit_predict with an image that is skipped": works(
        lambda place: len(skipping(place)) == 1
    ),
    "maps of a size that is an array": refused(
        lambda place: place.model.anomaly_maps(place.good, size=np.array([64, 64])),
        "size of PatchCore.anomaly_maps must be None, .original. or a pair",
    ),
    "overlays with folder and images swapped": refused(
        lambda place: save_overlays(place.model, "maps", place.good),
        "folder of save_overlays must be the path of a folder; got ndarray",
    ),
    "overlays into a folder without a name": refused(
        lambda place: save_overlays(place.model, place.good, ""),
        "folder of save_overlays must be the path of a folder; got ''",
    ),
    "overlays by the path of a model": refused(
        lambda place: save_overlays("part.adlib", place.good, "maps"),
        "model of save_overlays must be a fitted detector",
    ),
    "integers as NumPy makes them": refused(
        lambda place: place.model.score(place.good.astype(np.int64)),
        r"Pass image.astype\(np.uint8\) where its values go from 0 to 255",
    ),
    "pixels of True and False": refused(
        lambda place: place.model.score(place.good > 100),
        r"Pass image \* np.uint8\(255\)",
    ),
    "an array of objects": refused(
        lambda place: place.model.score(as_object(place.good)),
        r"must be uint8, .*; got ndarray of shape \(64, 64\) and dtype object",
    ),
    "floats that were divided by 255 twice": warned(
        lambda place: len(place.model.score(place.good / 255 / 255)) == 6,
        "images of PatchCore.score use 0.3. % of their range, so they are nearly black",
    ),
    "floats cast to integers": warned(
        lambda place: quick().fit((place.good / place.good.max()).astype(np.uint8)),
        "images of PatchCore.fit use 0.39 % of their range",
    ),
    "floats from 0 to 1 where white is 4095": warned(
        lambda place: len(quick(max_value=4095).fit(place.good / 255).grid_) == 2,
        "images of PatchCore.fit use 0.02 % of their range",
    ),
    "black images": works(
        lambda place: len(place.model.score(np.zeros((2, 64, 64), np.uint8))) == 2
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    check(SITUATIONS[name], place)
