"""What people do with anomaly maps, results and overlays."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from adlib.overlays import save_overlays
from tests.conftest import scratched
from tests.situations.situation import check, refused, warned, works

BACKGROUND = 60  # grey value of plain photographs
NORMAL_STRIP, ANOMALOUS_STRIP = (0, 114, 178), (213, 94, 0)


def judging(place, threshold=30.0):
    """Return the model with a threshold that scratched images exceed."""
    place.model.threshold_ = threshold
    return place.model


def overlays(place, X, folder="maps", **options):
    """Save overlays, and return their paths below the folder."""
    target = place.folder / folder
    paths = save_overlays(judging(place), X, target, **options)
    assert not list(target.rglob(".adlib-*"))
    return [path and path.relative_to(target).as_posix() for path in paths]


def new(place):
    """Write two good images and a scratched one, which has another shape."""
    place.write("new/a.png", place.good[0])
    place.write("new/late/b.jpg", place.good[1])
    place.write("new/late/c.png", np.kron(scratched(9), np.ones((3, 5), np.uint8)))
    return place.folder / "new"


def inspected(place):
    return list(place.model.inspect(new(place)))


def picture_of(place, name):
    """Return an overlay, (height, width, 3) uint8."""
    with Image.open(place.folder / "maps" / name) as image:
        return np.asarray(image)


def strip_colour(picture):
    """Return the colour in the lower left corner, where the verdict stands."""
    return tuple(picture[-2, 2].tolist())


def original_maps_are_stretched(place):
    maps = place.model.anomaly_maps(new(place), size="original")
    results = inspected(place)
    return [one.shape for one in maps] == [(64, 64), (64, 64), (192, 320)] and all(
        np.array_equal(one, result.full_map())
        for one, result in zip(maps, results, strict=True)
    )


def turned_image_has_an_upright_map(place):
    image = np.full((40, 90), BACKGROUND, np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    path = place.write("turned.jpg", image, exif=exif)
    (result,) = place.model.inspect(path)
    return result.size == result.full_map().shape == (90, 40)


def worst_pixel_lies_on_the_scratch(place):
    big = np.kron(scratched(9), np.ones((3, 5), np.uint8))
    (result,) = place.model.inspect(big[None])
    row, column = result.worst_pixel
    place_of_scratch = slice(80, 112), slice(20, 300)
    inside = np.zeros(big.shape, bool)
    inside[place_of_scratch] = True
    return result.size == (192, 320) and inside[row, column]


def skipped_image_has_neither_map_nor_place(place):
    place.model.set_params(on_error="skip")
    place.write("new/a.png", place.good[0])
    (place.folder / "new/b.png").write_text("no image")
    good, bad = place.model.inspect(place.folder / "new")
    return (bad.size, bad.worst_pixel, bad.map) == (None, None, None) and good.size


def full_map_of_a_skipped_image(place):
    place.model.set_params(on_error="skip")
    (place.folder / "b.png").write_text("no image")
    (result,) = place.model.inspect(place.folder / "b.png")
    result.full_map()


def skipped_image_has_a_map_of_nan(place):
    place.model.set_params(on_error="skip")
    path = place.write("a.png", np.full((90, 70), BACKGROUND, np.uint8))
    (place.folder / "b.png").write_text("no image")
    maps = place.model.anomaly_maps([path, place.folder / "b.png"], size="original")
    return (
        maps[0].shape == (90, 70)
        and maps[1].shape == (64, 64)
        and np.isnan(maps[1]).all()
    )


def good_part_is_shown_as_it_is(place):
    """No haze: where the map lies below the threshold nothing is drawn."""
    image = np.repeat(np.repeat(place.good[0], 4, axis=0), 4, axis=1)
    overlays(place, image[None])
    picture = picture_of(place, "image 0.png")[:256, :256]
    return (picture == image[:, :, None]).all()


def defect_has_a_contour(place):
    image = np.repeat(np.repeat(scratched(9), 4, axis=0), 4, axis=1)
    image = np.clip(image, 20, 235)  # neither black nor white
    overlays(place, image[None])
    picture = picture_of(place, "image 0.png")[:256, :256]
    has = [(picture == value).all(axis=2).any() for value in (0, 255)]
    return all(has) and (picture == image[:, :, None]).all(axis=2).any()


def colour_begins_at_the_pixel_threshold(place):
    place.model.pixel_threshold_ = 1e6  # nothing is above it
    image = np.repeat(np.repeat(scratched(9), 4, axis=0), 4, axis=1)
    overlays(place, image[None])
    picture = picture_of(place, "image 0.png")
    shown = (picture[:256, :256] == image[:, :, None]).all()
    return shown and strip_colour(picture) == ANOMALOUS_STRIP


def verdict_is_on_a_strip_below(place):
    overlays(place, np.stack([place.good[0], scratched(9)]))
    colours = [strip_colour(picture_of(place, f"image {i}.png")) for i in (0, 1)]
    return colours == [NORMAL_STRIP, ANOMALOUS_STRIP]


def names_do_not_double(place):
    return overlays(place, new(place)) == ["a.png", "late/b.png", "late/c.png"]


def twins_do_not_share_a_picture(place):
    for suffix in ("png", "jpg", "bmp"):
        place.write(f"new/bolt.{suffix}", place.good[0])
    names = overlays(place, place.folder / "new")
    return names == ["bolt_bmp.png", "bolt_jpg.png", "bolt.png"]


def names_that_differ_in_case(place):
    for name in ("Bolt.png", "bolt.png"):
        place.write(f"new/{name}", place.good[0])
    names = overlays(place, place.folder / "new")
    return len({name.casefold() for name in names}) == 2


def same_names_in_two_folders(place):
    paths = [place.write(f"{name}/0.png", place.good[0]) for name in ("left", "right")]
    return overlays(place, paths) == ["left/0.png", "right/0.png"]


def the_same_image_twice(place):
    path = place.write("a.png", place.good[0])
    return len(set(overlays(place, [path, path, path]))) == 3


def paths_from_a_generator(place):
    """Their folder is not known before: they keep their whole path, and differ."""
    paths = [place.write(f"{name}/0.png", place.good[0]) for name in ("left", "right")]
    names = overlays(place, iter(paths))
    return names == [path.relative_to(path.anchor).as_posix() for path in paths]


def relative_paths_with_dots(place):
    place.write("new/a.png", place.good[0])
    (place.folder / "work").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder / "work")
        return overlays(place, ["../new/../new/a.png"]) == ["a.png"]


def kinds_of_pixels(place):
    grey = np.kron(place.good[0], np.ones((5, 5), np.uint8))
    colour = np.repeat(grey[:, :, None], 3, axis=2)
    alpha = np.dstack([colour, np.full(grey.shape, 9, np.uint8)])
    deep = grey.astype(np.uint16) * 257
    paths = [
        place.write(f"new/{name}.png", pixels)
        for name, pixels in zip("abcd", (grey, colour, alpha, deep), strict=True)
    ]
    names = overlays(place, paths)
    drawn = [picture_of(place, name) for name in names]
    return all(np.array_equal(one, drawn[0]) for one in drawn)


def sizes_of_pictures(place):
    """Small images are enlarged, and the strip is as wide as its text needs."""
    shapes = [(16, 16), (2000, 3000), (20, 900), (900, 20)]
    images = [np.full(shape, BACKGROUND, np.uint8) for shape in shapes]
    names = overlays(place, [Image.fromarray(image) for image in images])
    heights, widths, _ = zip(
        *(picture_of(place, name).shape for name in names), strict=True
    )
    return min(widths) > 200 and widths[1] == 3000 and heights[1] > 2000


def tensors(place):
    images = torch.from_numpy(place.good[:2]).unsqueeze(1)
    return overlays(place, images) == ["image 0.png", "image 1.png"]


def dataset_with_paths(place):
    """Names that come with images name their pictures."""
    stream = (
        {"image": image, "image_path": f"line 1/{i}: größe.tif"}
        for i, image in enumerate(place.good[:2])
    )
    names = overlays(place, stream)
    return names == ["line 1/0: größe.png", "line 1/1: größe.png"]


def most_anomalous_first(place):
    seen = []
    names = overlays(
        place,
        new(place),
        by_score=True,
        each=lambda result, path: seen.append((result.score, path.name)),
    )
    scores = [score for score, _ in seen]
    return (
        names[0] == "0001_late_c.png"
        and sorted(names) == names == [name for _, name in seen]
        and scores == sorted(scores, reverse=True)
    )


def order_with_a_skipped_image(place):
    place.model.set_params(on_error="skip")
    (place.folder / "new").mkdir()
    (place.folder / "new/0.png").write_text("no image")
    names = overlays(place, new(place), by_score=True)
    return names[-1] is None and len(names) == 4


def long_names_in_order(place):
    folder = "x" * 100
    place.write(f"new/{folder}/{'y' * 200}.png", place.good[0])
    place.write("new/b.png", place.good[0])
    return len(overlays(place, place.folder / "new", by_score=True)) == 2


def a_second_run_replaces_pictures(place):
    overlays(place, new(place))
    before = (place.folder / "maps/a.png").read_bytes()
    (place.folder / "maps/a.png").write_bytes(before[:100])
    overlays(place, place.folder / "new")
    return (place.folder / "maps/a.png").read_bytes() == before


def arrays_twice(place):
    first, second = (overlays(place, place.good[:2]) for _ in range(2))
    return first == second == ["image 0.png", "image 1.png"]


def in_order_twice(place):
    overlays(place, new(place), by_score=True)
    overlays(place, place.folder / "new", by_score=True)


def folder_is_a_file(place):
    place.write("maps", place.good[0], format="PNG")
    overlays(place, new(place))


def linked_images(place):
    """A picture is written; what its link leads to is not."""
    path = place.write("real.png", place.good[0])
    before = path.read_bytes()
    (place.folder / "new").mkdir()
    (place.folder / "new/link.png").symlink_to(path)
    names = overlays(place, place.folder / "new")
    return names == ["link.png"] and path.read_bytes() == before


def linked_folder_for_pictures(place):
    """A link that leads into the folder of images is found."""
    (place.folder / "maps").symlink_to(new(place) / "late", target_is_directory=True)
    overlays(place, place.folder / "new")


def stream_over_its_own_images(place):
    path = place.write("new/a.png", place.good[0])
    before = path.read_bytes()
    try:
        save_overlays(judging(place), iter([path]), path.anchor)
    finally:
        assert path.read_bytes() == before


def disk_error(place):
    """No half-written picture stays."""

    def full(image, file, **options):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    images = new(place)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Image.Image, "save", full)
            overlays(place, images)
    finally:
        assert not [
            path for path in (place.folder / "maps").rglob("*") if path.is_file()
        ]


def no_report_extra(place):
    with pytest.MonkeyPatch.context() as patch:
        for name in [one for one in sys.modules if one.startswith("adlib.overlays")]:
            patch.delitem(sys.modules, name)
        patch.setitem(sys.modules, "matplotlib", None)
        importlib.import_module("adlib.overlays")


def no_threshold(place):
    place.model.threshold_ = None
    save_overlays(place.model, place.good, place.folder / "maps")


SITUATIONS = {
    "maps at the image's own size": works(original_maps_are_stretched),
    "maps at a size of one's choice": works(
        lambda place: (
            place.model.anomaly_maps(place.good, size=(30, 50)).shape == (6, 30, 50)
        )
    ),
    "maps at image_size, as before": works(
        lambda place: place.model.anomaly_maps(place.good).shape == (6, 64, 64)
    ),
    "maps of arrays at their own size": works(
        lambda place: (
            [one.shape for one in place.model.anomaly_maps(place.good, "original")]
            == [(64, 64)] * 6
        )
    ),
    "a size that is a misspelt word": refused(
        lambda place: place.model.anomaly_maps(place.good, size="originals"),
        r'size of PatchCore.anomaly_maps must be None, "original" or a pair',
    ),
    "a size that is one number": refused(
        lambda place: place.model.anomaly_maps(place.good, size=320),
        r"a pair \(height, width\)",
    ),
    "a photograph that EXIF turns": works(turned_image_has_an_upright_map),
    "where the worst patch is": works(worst_pixel_lies_on_the_scratch),
    "results of a skipped image": works(skipped_image_has_neither_map_nor_place),
    "the full map of a skipped image": refused(
        full_map_of_a_skipped_image, "no map of a skipped image: .*b.png"
    ),
    "own sizes with a skipped image": warned(skipped_image_has_a_map_of_nan, "skipped"),
    "a printed result": works(
        lambda place: (
            len(text := repr(next(place.model.inspect(place.good)))) < 160
            and "map=(64, 64) float32" in text
        )
    ),
    "printed embeddings": works(
        lambda place: (
            "patches=(8, 8, 152) float32"
            in repr(next(place.model.embeddings(place.good)))
        )
    ),
    "a printed list of explanations": works(
        lambda place: len(str(place.model.explain(place.good[:1]))) < 200
    ),
    "an overlay of a good part": works(good_part_is_shown_as_it_is),
    "an overlay of a defect": works(defect_has_a_contour),
    "a pixel threshold of its own": works(colour_begins_at_the_pixel_threshold),
    "verdicts on overlays": works(verdict_is_on_a_strip_below),
    "names of overlays": works(names_do_not_double),
    "bolt.png, bolt.jpg and bolt.bmp in one folder": works(
        twins_do_not_share_a_picture
    ),
    "names that differ in case alone": works(names_that_differ_in_case),
    "equal names in two folders": works(same_names_in_two_folders),
    "the same image three times": works(the_same_image_twice),
    "overlays of paths from a generator": works(paths_from_a_generator),
    "grey, colour, RGBA and 16-bit overlays": works(kinds_of_pixels),
    "overlays of tiny, huge, flat and narrow images": works(sizes_of_pictures),
    "overlays of tensors": works(tensors),
    "overlays of a data set that names its images": works(dataset_with_paths),
    "overlays in order of score": works(most_anomalous_first),
    "in order of score with a skipped image": works(order_with_a_skipped_image),
    "in order of score with long names": works(long_names_in_order),
    "in order of score twice into one folder": refused(
        in_order_twice, "folder of save_overlays must be a folder without numbered"
    ),
    "overlays twice into one folder": works(a_second_run_replaces_pictures),
    "overlays of arrays twice into one folder": works(arrays_twice),
    "overlays into the folder of the images": refused(
        lambda place: overlays(place, new(place), "new/maps"),
        "folder of save_overlays must be a folder outside of those that hold",
    ),
    "overlays of a list into the folder of its images": refused(
        lambda place: overlays(place, [new(place) / "a.png"], "new"), "outside of those"
    ),
    "overlays of a deep glob into its folder": refused(
        lambda place: overlays(place, f"{new(place)}/**/*.png", "new/maps"),
        "The next run would take the pictures",
    ),
    "overlays of a flat glob beside its images": works(
        lambda place: overlays(place, f"{new(place)}/*.png", "new/maps") == ["a.png"]
    ),
    "overlays through a link into the images": refused(
        linked_folder_for_pictures, "outside of those"
    ),
    "overlays of linked images": works(linked_images),
    "overlays of a stream over its own images": refused(
        stream_over_its_own_images, "no picture replaces the image that it shows"
    ),
    "overlays into a file": refused(folder_is_a_file, "must be a folder; got the file"),
    "overlays of relative paths with dots": works(relative_paths_with_dots),
    "overlays on a full disk": refused(disk_error, "No space left"),
    "overlays without matplotlib": refused(no_report_extra, r"adlib-vision\[report\]"),
    "overlays without a threshold": refused(
        no_threshold, "model of save_overlays must be a model with a threshold"
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    check(SITUATIONS[name], place)
