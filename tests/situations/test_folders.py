"""What people call a folder of images."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from adlib import PaDiM
from adlib.datasets import read_samples
from adlib.images import open_source
from tests.situations.situation import check, refused, warned, works


def images_and(place, *others, folder="new"):
    """Write one image into a folder, and other files or images beside it."""
    place.write(f"{folder}/a.png", place.good[0])
    for other in others:
        path = place.folder / folder / other
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".jpg"):
            place.write(f"{folder}/{other}", place.good[1])
        else:
            path.write_bytes(b"no image")
    return place.folder / folder


def scores_one(place, others, source):
    """Ask whether one image alone is scored, whatever lies beside it."""
    folder = images_and(place, *others)
    return len(place.model.score(source.format(folder))) == 1


def beside(*others, source="{}"):
    return works(partial(scores_one, others=others, source=source))


def fit(place, X):
    return PaDiM(image_size=64, progress=False).fit(X).training_images_


def data_set(place, *folders):
    """Write a folder with an image in each of these folders; return its root."""
    for number, folder in enumerate(folders):
        place.write(f"screw/{folder}/{number}.png", place.good[number])
    return place.folder / "screw"


MVTEC = ("train/good", "test/good", "test/scratch", "ground_truth/scratch")


def left_out(*others):
    def does(place):
        return len(place.model.score(images_and(place, *others))) == 1

    return does


def linked(place):
    place.write("elsewhere/b.png", place.good[1])
    folder = images_and(place)
    (folder / "link").symlink_to(place.folder / "elsewhere")
    return len(place.model.score(folder)) == 1


def bracketed(place):
    images_and(place, folder="cam[1]")
    return place.model.score(str(place.folder / "cam[1]" / "*.png"))


def two_folders(place):
    a, b = images_and(place, folder="a"), images_and(place, "b.png", folder="b")
    together = place.model.score([a, str(b) + "/"])
    apart = [*place.model.score(a), *place.model.score(b)]
    return np.array_equal(together, apart)


def unquoted(place):
    folder = images_and(place, "b.png")
    place.model.save(place.folder / "m.adlib")
    words = [str(path) for path in sorted(folder.glob("*.png"))]
    out = place.run("score", place.folder / "m.adlib", *words).out
    return out.count("\n") == 3


def with_suffix(place, suffix):
    (place.folder / f"a{suffix}").write_bytes(b"pixels of another kind")
    return place.model.score(place.folder / f"a{suffix}")


def avif(place):
    place.write("new/a.avif", place.good[0], quality=100)
    return len(place.model.score(place.folder / "new")) == 1


def hidden_classes(place):
    root = data_set(place, *(f"nut/{folder}" for folder in MVTEC))
    data_set(place, ".ipynb_checkpoints/train/good", "nut/test/.ipynb_checkpoints")
    samples = read_samples(root)
    return {s.class_name for s in samples} == {"nut"} and len(samples) == 3


def overwritten_listing(place):
    """Learn with a rate, which reads the folder twice, while a file is added to it."""
    folder = place.write_good()
    model = PaDiM(image_size=64, false_positive_rate=0.2, progress=False).fit(folder)
    return len(model.left_out_scores_) == 6


SITUATIONS = {
    # What systems and tools leave behind is no image, wherever it lies.
    "a Mac's ._ files lie beside the images": beside("._a.png", ".DS_Store"),
    "a notebook left its checkpoints": beside(".ipynb_checkpoints/a.png"),
    "a memory stick has a waste bin": beside(".Trash-1000/files/a.png"),
    "a disk station left its thumbnails": beside("@eaDir/a.png/thumb.jpg"),
    "Windows left Thumbs.db and desktop.ini": beside("Thumbs.db", "desktop.ini"),
    "an archive was packed on a Mac": beside("__MACOSX/._a.png", "__MACOSX/b.png"),
    "a disk of Windows has its bin": beside("$RECYCLE.BIN/b.png"),
    "hidden files under a recursive glob": beside(
        ".cache/b.png", "__MACOSX/b.png", source="{}/**/*.png"
    ),
    "a glob over everything meets a hidden file": beside("._b.png", source="{}/*"),
    "the folder asked for is itself hidden": works(
        lambda place: len(place.model.score(images_and(place, folder=".cache/x"))) == 1
    ),
    "hidden folders among the classes of a data set": works(hidden_classes),
    # What else is left out is counted.
    "tables and notes lie beside the images": warned(
        left_out("labels.csv", "notes.txt", "other.csv"),
        r"1 images for PatchCore\.score; left out: 2 \.csv, 1 \.txt",
    ),
    "a file without a suffix": warned(left_out("IMG_0001"), "1 without suffix"),
    "pictures of a phone (HEIC)": warned(
        left_out("b.heic"), r"1 \.heic.*pip install 'pillow-heif'"
    ),
    "pictures in JPEG XL": warned(
        left_out("b.jxl"), r"1 \.jxl.*pip install 'pillow-jxl-plugin'"
    ),
    "raw pictures of a camera": warned(left_out("b.cr2", "b.nef"), "1 .cr2, 1 .nef"),
    "a linked folder": warned(linked, "left out: 1 linked folders"),
    "a glob over everything meets a table": warned(
        lambda place: (
            len(place.model.score(f"{images_and(place, 'notes.txt')}/*")) == 1
        ),
        r"left out: 1 \.txt",
    ),
    "a glob over everything meets folders": warned(
        lambda place: len(place.model.score(f"{images_and(place, 'in/b.png')}/*")) == 1,
        "left out: 1 folders",
    ),
    "a folder with HEIC alone": refused(
        lambda place: place.model.score(images_and(place, "heic/b.heic") / "heic"),
        "which holds none .*pip install 'pillow-heif'",
    ),
    "a HEIC file by its name": refused(
        partial(with_suffix, suffix=".heic"), "a.heic: .*pip install 'pillow-heif'"
    ),
    "a JPEG XL file by its name": refused(
        partial(with_suffix, suffix=".jxl"), "a.jxl: .*pip install 'pillow-jxl-plugin'"
    ),
    "an AVIF file": works(avif),
    "a glob with a suffix of one's own": works(
        lambda place: (
            (images_and(place) / "a.png").rename(place.folder / "new/a.part"),
            len(place.model.score(str(place.folder / "new/*.part"))) == 1,
        )[1]
    ),
    # A data set is no folder of good images.
    "fit is given a class of MVTec AD": refused(
        lambda place: fit(place, data_set(place, *MVTEC)),
        r"of good parts alone; got '.*screw', which holds test/ beside train/good/. "
        r"Pass '.*screw/train/good'",
    ),
    "adlib fit is given a class of MVTec AD": refused(
        lambda place: place.run(
            "fit", data_set(place, *MVTEC), "-o", place.folder / "m.adlib"
        ),
        r"(holds test/ beside|ground_truth' holds masks)",
    ),
    "score is given a class with its masks": refused(
        lambda place: place.model.score(data_set(place, *MVTEC)),
        r"ground_truth' holds masks. .*such as '.*train' or '.*test'",
    ),
    "score is given a whole data set": refused(
        lambda place: place.model.score(
            data_set(place, *(f"nut/{folder}" for folder in MVTEC))
        ),
        r"screw/nut/ground_truth' holds masks",
    ),
    "fit is given good/ and defects side by side": refused(
        lambda place: fit(place, data_set(place, "good", "crack", "dent")),
        r"which holds crack/, dent/ beside good/. Pass '.*screw/good', or labels",
    ),
    "adlib fit is given good/ and defects side by side": refused(
        lambda place: place.run(
            "fit", data_set(place, "good", "crack"), "-o", place.folder / "m.adlib"
        ),
        "error: IMAGES must be images of good parts alone; got .*crack/ beside good/",
    ),
    "adlib fit --good is given good/ and defects side by side": refused(
        lambda place: place.run(
            "fit",
            place.write_good(),
            "--good",
            data_set(place, "ok", "ng"),
            "-o",
            place.folder / "m.adlib",
        ),
        "error: --good must be images of good parts alone; got .*ng/ beside ok/",
    ),
    "adlib fit is given train/ and test/ without masks": refused(
        lambda place: place.run(
            "fit", data_set(place, *MVTEC[:3]), "-o", place.folder / "m.adlib"
        ),
        "IMAGES must be images of good parts alone; .*test/ beside train/good/",
    ),
    "--defects with a folder for each kind": works(
        lambda place: (
            len(list(open_source(data_set(place, "good", "crack"), "--defects").items))
            == 2
        )
    ),
    "fit is given OK and NG side by side": refused(
        lambda place: fit(place, data_set(place, "OK", "NG")), "NG/ beside OK/"
    ),
    "fit is given a folder with defects/ inside": refused(
        lambda place: fit(place, data_set(place, "monday", "defects")), "holds defects/"
    ),
    "fit is given images/ and masks/": refused(
        lambda place: fit(place, data_set(place, "images", "masks")),
        r"masks' holds masks. Pass .*screw/images'",
    ),
    "good and defects side by side, with labels": works(
        lambda place: (
            len(
                PaDiM(image_size=64, progress=False)
                .fit(data_set(place, "bad", "good"), [-1, 1])
                .training_images_
            )
            == 1
        )
    ),
    "fit is given a folder for each day": works(
        lambda place: len(fit(place, data_set(place, "monday", "tuesday"))) == 2
    ),
    "fit is given train/, with good/ alone inside": works(
        lambda place: len(fit(place, data_set(place, "train/good"))) == 1
    ),
    "score is given good and defects side by side": works(
        lambda place: len(place.model.score(data_set(place, "good", "crack"))) == 2
    ),
    "calibrate is given good and defects without labels": refused(
        lambda place: place.model.calibrate(data_set(place, "good", "crack")),
        "crack/ beside good/",
    ),
    "a folder is learned in two readings": works(overwritten_listing),
    # Ways to write a place.
    "two folders in a list": works(two_folders),
    "a folder and a file in a list": works(
        lambda place: (
            len(
                place.model.score(
                    [images_and(place), place.write("c.png", place.good[2])]
                )
            )
            == 2
        )
    ),
    "a glob in a list": works(
        lambda place: len(place.model.score([f"{images_and(place)}/*.png"])) == 1
    ),
    "a generator of folders": works(
        lambda place: len(place.model.score(iter([images_and(place, "b.png")]))) == 2
    ),
    "an empty folder in a list": refused(
        lambda place: (
            (place.folder / "empty").mkdir(),
            place.model.score([images_and(place), place.folder / "empty"]),
        ),
        "empty', which holds none",
    ),
    "an unquoted glob on the command line": works(unquoted),
    "a tilde": refused(
        lambda place: place.model.score("~/no-such-parts"),
        "shell expands ~, Python does not: pass '/",
    ),
    "an address of the web": refused(
        lambda place: place.model.score("https://example.org/part.png"),
        "Addresses are not read: download",
    ),
    "an address of a bucket": refused(
        lambda place: place.model.score("s3://parts/good"), "Addresses are not read"
    ),
    "a quoted glob in a folder with brackets": refused(
        bracketed, r"\[ and \] enclose a set .*cam\[1\]' has them .*cam\[\[\]1\]'"
    ),
    "a place in quotes within quotes": refused(
        lambda place: place.model.score(f"'{images_and(place)}'"), "leave them out"
    ),
    "a space behind the name": refused(
        lambda place: place.model.score(f"{images_and(place)}/b.png "), "ends with a sp"
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    check(SITUATIONS[name], place)
