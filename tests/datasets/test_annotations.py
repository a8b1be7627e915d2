"""Masks of COCO's and labelme's annotations are those of slow, obvious loops."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from importlib.util import find_spec

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from adlib.datasets import MVTecDataset, Sample, annotated_samples, read_mask
from adlib.datasets._annotations import _decompressed
from adlib.exceptions import ImageError
from tests.conftest import texture

HEIGHT, WIDTH = 40, 60
TRIANGLE = [[5.2, 3.1], [30.7, 8.9], [12.5, 33.3]]
SQUARE = [[40, 10], [50, 10], [50, 20], [40, 20]]  # 10 x 10 pixels, to the pixel


def slowly_drawn(*polygons):
    """Ask of each pixel's centre how often a ray from it crosses the polygon."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for points in polygons:
        edges = list(zip(points, [*points[1:], points[0]], strict=True))
        for row in range(HEIGHT):
            for column in range(WIDTH):
                x, y = column + 0.5, row + 0.5
                crossed = [
                    (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
                    for (x0, y0), (x1, y1) in edges
                ]
                mask[row, column] |= sum(crossed) % 2 == 1
    return mask


@pytest.fixture
def images(tmp_path):
    """A folder of four images, one of them in a folder below."""
    root = tmp_path / "part"
    (root / "late").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "c.png", "late/d.png")):
        Image.fromarray(texture(i)[:HEIGHT, :WIDTH]).save(root / name)
    return root


def flat(points):
    return [value for point in points for value in point]


def runs_of(mask):
    """Return the lengths of 0, 1, 0, ... down the columns of a mask."""
    runs, now = [0], False
    for value in mask.T.ravel():
        if value != now:
            runs.append(0)
            now = value
        runs[-1] += 1
    return runs


def compressed(runs):
    """Write lengths as COCO's own code does: groups of 5 bits, the lowest first."""
    text = ""
    for i, value in enumerate(runs):
        rest = value - (runs[i - 2] if i > 2 else 0)
        while True:
            group, rest = rest & 31, rest >> 5
            done = rest == (-1 if group & 16 else 0)
            text += chr(48 + group + (0 if done else 32))
            if done:
                break
    return text


def coco(*annotations, names=("a.png", "b.png", "late/d.png"), **changes):
    """Return a COCO file of three images, which annotations are for by number."""
    listed = [
        {"id": 7 + i, "file_name": name, "height": HEIGHT, "width": WIDTH}
        for i, name in enumerate(names)
    ]
    marked = [
        {"id": i, "image_id": 7 + image, "category_id": kind, "segmentation": marks}
        for i, (image, kind, marks) in enumerate(annotations)
    ]
    kinds = [{"id": 1, "name": "scratch"}, {"id": 2, "name": "hole"}]
    return {"images": listed, "annotations": marked, "categories": kinds} | changes


def read(tmp_path, images, held):
    (tmp_path / "coco.json").write_text(json.dumps(held))
    return annotated_samples(tmp_path / "coco.json", images, tmp_path / "masks")


def test_polygons_and_run_lengths_of_an_image_count_together(tmp_path, images):
    blob = np.random.default_rng(0).random((HEIGHT, WIDTH)) > 0.7
    size = [HEIGHT, WIDTH]
    plain = {"size": size, "counts": runs_of(blob)}
    packed = {"size": size, "counts": compressed(runs_of(blob))}
    held = coco(
        (0, 1, [flat(TRIANGLE), flat(SQUARE)]),
        (2, 2, packed),
        (2, 1, [flat(TRIANGLE)]),
    )
    first, good, last = read(tmp_path, images, held)
    assert good == Sample(images / "b.png", 0, "good", None, "part", "test")
    assert (first.label, first.defect_type) == (1, "scratch")
    assert first.mask_path == tmp_path / "masks/a_mask.png"
    expected = slowly_drawn(TRIANGLE, SQUARE)
    np.testing.assert_array_equal(read_mask(first.mask_path), expected)
    assert slowly_drawn(SQUARE).sum() == 100
    assert (last.defect_type, last.image_path) == ("combined", images / "late/d.png")
    found = read_mask(last.mask_path)
    np.testing.assert_array_equal(found, blob | slowly_drawn(TRIANGLE))
    unpacked = read(tmp_path, images, coco((0, 1, plain)))[0]
    np.testing.assert_array_equal(read_mask(unpacked.mask_path), blob)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=12))
def test_compressed_lengths_come_back(runs):
    assert _decompressed(compressed(runs)) == runs


@pytest.mark.skipif(
    find_spec("pycocotools") is None, reason="pycocotools is not installed"
)
@pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # in its code
def test_run_lengths_are_those_of_pycocotools():
    from pycocotools import mask as theirs

    rng = np.random.default_rng(1)
    for share in (0.02, 0.5, 0.98):
        blob = np.asfortranarray(rng.random((HEIGHT, WIDTH)) < share, np.uint8)
        code = theirs.encode(blob)["counts"].decode()
        assert compressed(runs_of(blob)) == code
        assert _decompressed(code) == runs_of(blob)
    drawn = theirs.decode(theirs.frPyObjects([flat(TRIANGLE)], HEIGHT, WIDTH))[..., 0]
    differing = drawn.astype(bool) ^ slowly_drawn(TRIANGLE)
    assert 0 < differing.sum() < 0.15 * drawn.sum()  # the outline, as documented


def labelme(folder, name, *shapes, **changes):
    held = {"shapes": list(shapes), "imagePath": f"..\\images\\{name}"}
    held |= {"imageHeight": HEIGHT, "imageWidth": WIDTH, "imageData": None}
    path = (folder / name).with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(held | changes))


def shape(kind, points, label="dent", **more):
    return {"label": label, "shape_type": kind, "points": points, **more}


def test_all_of_labelmes_shapes_that_have_an_area(tmp_path, images):
    part = np.random.default_rng(0).random((6, 9)) > 0.5
    file = io.BytesIO()
    Image.fromarray(part).save(file, "PNG")
    picture = base64.b64encode(file.getvalue()).decode()
    folder = tmp_path / "labels"
    labelme(folder, "a.png", shape("polygon", TRIANGLE), shape("polygon", SQUARE))
    labelme(folder, "b.png", shape("rectangle", [[50, 20], [40, 10]]))
    labelme(folder, "c.png")
    labelme(
        folder,
        "late/d.png",
        shape("circle", [[30.0, 20.0], [33.0, 24.0]]),
        shape("mask", [[3, 5], [11, 10]], "stain", mask=picture),
    )
    samples = annotated_samples(folder, images, tmp_path / "masks")
    assert [s.image_path.name for s in samples] == ["a.png", "b.png", "c.png", "d.png"]
    assert [s.defect_type for s in samples] == ["dent", "dent", "good", "combined"]
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    last = (columns - 30) ** 2 + (rows - 20) ** 2 <= 25
    last[5:11, 3:12] |= part
    expected = [slowly_drawn(TRIANGLE, SQUARE), slowly_drawn(SQUARE), None, last]
    for sample, mask in zip(samples, expected, strict=True):
        if mask is None:
            assert sample.mask_path is None
        else:
            np.testing.assert_array_equal(read_mask(sample.mask_path), mask)


def test_images_without_a_file_of_labelmes_are_good(tmp_path, images):
    labelme(tmp_path / "labels", "b.png", shape("polygon", SQUARE))
    samples = annotated_samples(tmp_path / "labels", images, tmp_path / "masks")
    assert [sample.label for sample in samples] == [0, 1, 0, 0]
    assert len(list((tmp_path / "masks").rglob("*.png"))) == 1


def test_annotations_of_images_that_are_left_out_are_named(tmp_path, images):
    (images / "b.png").rename(images / ".b.png")
    labelme(tmp_path / "labels", "b.png", shape("polygon", SQUARE), imagePath=".b.png")
    with pytest.raises(ValueError, match=r"imagePath of .*b\.json'.*got .*/\.b\.png"):
        annotated_samples(tmp_path / "labels", images, tmp_path / "masks")


def test_no_mask_comes_to_lie_among_the_images(tmp_path, images):
    (images / "part").mkdir()
    (images / "b.png").rename(images / "part/b.png")
    labelme(tmp_path / "labels", "part/b.png", shape("polygon", SQUARE))
    for masks in (tmp_path, images, images / "masks"):
        with pytest.raises(ValueError, match="outside of images"):
            annotated_samples(tmp_path / "labels", images, masks)
    assert not list(images.rglob("*_mask.png"))


def test_the_folder_that_is_worked_in_has_its_name(tmp_path, images, monkeypatch):
    labelme(tmp_path / "labels", "b.png", shape("polygon", SQUARE))
    for place, root in ((images, "."), (images / "late", "..")):
        monkeypatch.chdir(place)
        samples = annotated_samples(tmp_path / "labels", root, tmp_path / "masks")
        assert {sample.class_name for sample in samples} == {"part"}


def test_a_suffix_in_capitals_counts(tmp_path, images):
    labelme(tmp_path / "labels", "b.png", shape("polygon", SQUARE))
    (tmp_path / "labels/b.json").rename(tmp_path / "labels/b.JSON")
    samples = annotated_samples(tmp_path / "labels", images, tmp_path / "masks")
    assert [sample.label for sample in samples] == [0, 1, 0, 0]


def test_samples_go_where_any_others_do(tmp_path, images, fitted):
    from adlib.study import evaluate

    held = coco((0, 1, [flat(TRIANGLE)]), (2, 2, [flat(SQUARE)]))
    samples = read(tmp_path, images, held)
    figures = evaluate(fitted, samples)
    assert {"auroc", "pixel_auroc", "aupro"} <= set(figures["metric"])
    dataset = MVTecDataset.from_samples(samples)
    assert int((np.asarray(dataset[0][1]) != 0).sum()) == slowly_drawn(TRIANGLE).sum()


CODE = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
GOOD = [{"id": 1, "name": "good"}]
UNLISTED = [{"image_id": 5}, {"image_id": "x"}]
AWAY = [[WIDTH + value for value in flat(SQUARE)]]
REFUSED = [
    (coco((0, 1, [])), r"segmentation of annotation 0 of a\.png .*a box says not"),
    (coco((0, 1, None)), "a box says not"),
    (coco((0, 1, [[1, 2, 3, 4]])), r"annotation 0 .* at least 3 points \(x, y\)"),
    (coco((0, 1, [[1, 2, 3, 4, 5]])), "at least 3 points"),
    (coco((0, 1, [[1, 2, 3, 4, 5, None]])), "at least 3 points"),
    (coco((0, 1, [[1, 2, 1.1, 2, 1.1, 2.1]])), "the centre of a pixel lies in it"),
    (coco((0, 1, CODE)), "the centre of a pixel lies in it"),
    (coco((0, 1, CODE | {"size": [WIDTH, HEIGHT]})), "run-length code of 40 x 60"),
    (coco((0, 1, CODE | {"counts": [5, 5]})), "run-length code of 40 x 60"),
    (coco((0, 1, CODE | {"counts": [-1, 2401]})), "run-length code of 40 x 60"),
    (coco((0, 1, CODE | {"counts": 5})), "run-length code of 40 x 60"),
    (coco((0, 1, [flat(SQUARE)]), (0, 1, AWAY)), r"area of annotation 1 of a\.png"),
    (coco((9, 1, [flat(SQUARE)])), "of images that it lists; got image 16"),
    (coco((0, 1, [flat(SQUARE)]), names=["../a.png"]), "stays in the data set"),
    (coco(names=["a.png", "a.png"]), "no two have one folder and stem"),
    (coco((0, 1, CODE | {"size": 5})), "run-length code of 40 x 60"),
    (coco((0, 1, [[1, 2, 10**400, 2, 5, 6]])), "at least 3 points"),
    (coco((0, [1], [flat(SQUARE)])), r"category_id of annotation 0 of a\.png"),
    (coco(categories=["hole"]), r"id of a category of .* int \| float \| str; got"),
    (coco(categories=5), "categories of .* kind list . None; got 5"),
    (coco(annotations=[{"id": 3}]), "image_id of an annotation of .*; got None"),
    (coco(annotations=[{"image_id": [7]}]), r"image_id of an annotation .*got \[7\]"),
    (coco(annotations=["hole"]), "image_id of an annotation of"),
    (coco(annotations=UNLISTED), "lists; got image 5"),
    (coco((0, 1, [flat(SQUARE)]), categories=GOOD), "labels of .*a.png must be of def"),
    (coco(images=3), "images of .* must be of kind list"),
    ({"shapes": []}, "images of .* must be of kind list"),
    ([1, 2], "a file of COCO's or labelme's"),
]


@pytest.mark.parametrize(("held", "fragment"), REFUSED)
def test_what_is_wrong_in_a_coco_file_is_named(held, fragment, tmp_path, images):
    with pytest.raises(ValueError, match=fragment):
        read(tmp_path, images, held)


def test_an_id_of_two_images_is_named(tmp_path, images):
    held = coco((0, 1, [flat(SQUARE)]))
    held["images"][1]["id"] = 7  # annotations of it would all be the first one's
    with pytest.raises(ValueError, match=r"id of b\.png in .* one image alone.* 7 ag"):
        read(tmp_path, images, held)


def test_images_of_another_size_are_named(tmp_path, images):
    held = coco((0, 1, [flat(SQUARE)]))
    held["images"][0]["height"] = WIDTH
    with pytest.raises(
        ValueError, match=r"height and width of a\.png.*60x60 and 40x60"
    ):
        read(tmp_path, images, held)
    labelme(tmp_path / "labels", "a.png", shape("polygon", SQUARE), imageHeight=WIDTH)
    labelme(tmp_path / "labels/other", "a.png", shape("polygon", SQUARE))
    (tmp_path / "labels/other/a.json").rename(tmp_path / "labels/b.json")
    with pytest.raises(ValueError, match=r"a\.json' must be for the height.*60x60 and"):
        annotated_samples(tmp_path / "labels", images, tmp_path / "masks")


def test_masks_are_no_larger_than_images_whatever_a_file_states(tmp_path, images):
    side = 2**40
    held = coco((0, 1, {"size": [side, side], "counts": [side * side]}))
    held["images"][0] |= {"height": side, "width": side}
    with pytest.raises(ValueError, match=r"height and width of a\.png"):
        read(tmp_path, images, held)
    round_ = shape("circle", [[30, 20], [33, 24]])
    labelme(tmp_path / "labels", "a.png", round_, imageHeight=10**6, imageWidth=10**6)
    with pytest.raises(ValueError, match=r"height and width of a\.png"):
        annotated_samples(tmp_path / "labels", images, tmp_path / "masks")


def test_images_that_only_adlib_reads_are_annotated_and_broken_ones_named(
    tmp_path, images
):
    floats = np.random.default_rng(0).random((HEIGHT, WIDTH, 3), np.float32)
    tifffile.imwrite(images / "a.tif", floats, photometric="rgb")
    (sample,) = read(tmp_path, images, coco((0, 1, [flat(SQUARE)]), names=["a.tif"]))
    np.testing.assert_array_equal(read_mask(sample.mask_path), slowly_drawn(SQUARE))
    (images / "a.tif").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"a\.tif must be a readable image"):
        read(tmp_path, images, coco((0, 1, [flat(SQUARE)]), names=["a.tif"]))


def bomb(side):
    """Return a PNG in base64 that states a side, and holds next to nothing."""
    header = struct.pack(">4s2I5B", b"IHDR", side, side, 1, 0, 0, 0, 0)
    chunks = [header, b"IDAT", b"IEND"]
    parts = [
        struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one))
        for one in chunks
    ]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


WRONG_SHAPES = [
    (shape("line", [[1, 2], [3, 4]]), "others have no area; got 'line'"),
    (shape("rectangle", SQUARE), r"shape 'dent' of .* must be 2 points"),
    (shape("polygon", [[1, 2], [3, 4]]), "at least 3 points"),
    (shape("mask", [[1, 2], [3, 4]], mask="no picture"), "a PNG in base64"),
    (shape("mask", [[1, 2], [3, 4]], mask=bomb(20_000)), "a PNG in base64.*exceeds"),
    (shape("mask", [[1, 2], [3, 4]]), "mask of shape 'dent' of .* kind str; got None"),
    ({"points": SQUARE}, "label of a shape of"),
]


@pytest.mark.parametrize(("given", "fragment"), WRONG_SHAPES)
def test_what_is_wrong_in_a_labelme_file_is_named(given, fragment, tmp_path, images):
    labelme(tmp_path / "labels", "a.png", given)
    with pytest.raises(ValueError, match=fragment):
        annotated_samples(tmp_path / "labels", images, tmp_path / "masks")


@pytest.mark.parametrize(("x", "y"), [(55, 5), (5, -HEIGHT), (-1, -1)])
def test_a_mask_that_leaves_the_image_is_named(x, y, tmp_path, images):
    file = io.BytesIO()
    Image.new("1", (9, 6), 1).save(file, "PNG")
    picture = base64.b64encode(file.getvalue()).decode()
    given = shape("mask", [[x, y], [x + 8, y + 5]], mask=picture)
    labelme(tmp_path / "labels", "a.png", given)
    with pytest.raises(ValueError, match=rf"of the image; got 6 x 9 .*\({y}, {x}\)"):
        annotated_samples(tmp_path / "labels", images, tmp_path / "masks")


def test_what_is_missing_is_named(tmp_path, images):
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        annotated_samples(tmp_path / "none", images, tmp_path / "masks")
    with pytest.raises(FileNotFoundError, match="no folder"):
        annotated_samples(images, tmp_path / "none", tmp_path / "masks")
    with pytest.raises(FileNotFoundError, match=r"no image .*gone\.png"):
        read(tmp_path, images, coco((0, 1, [flat(SQUARE)]), names=["gone.png"]))
    labelme(tmp_path / "labels", "gone.png")
    with pytest.raises(FileNotFoundError, match=r"no image .*gone\.png"):
        annotated_samples(tmp_path / "labels", images, tmp_path / "masks")
    (tmp_path / "coco.json").write_text("{")
    with pytest.raises(ValueError, match="must be a JSON file"):
        annotated_samples(tmp_path / "coco.json", images, tmp_path / "masks")
