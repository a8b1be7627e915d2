"""Parts that shift and turn are found where they lie, and results are put back."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import adlib
from adlib import PaDiM, PatchCore
from adlib.exceptions import AlignmentError, ImageError, SkippedImagesWarning
from adlib.images._align import Alignment, aligned, put_back

cv2 = pytest.importorskip("cv2", reason="the extra align is not installed")

HEIGHT, WIDTH = 128, 192
SMALL = {"image_size": 64, "progress": False, "device": "cpu", "n_workers": 1}
MOVES = [(0, 0, 0), (0, 9, -6), (4, 5, 3), (-8, -12, 7), (1, 0.6, 0.4)]


def part(seed=0, scratch=False):
    """A textured plate on a plain ground, (HEIGHT, WIDTH) in [0, 1]."""
    texture = np.random.default_rng(0).random((HEIGHT, WIDTH))
    texture = ndimage.gaussian_filter(texture, 3)
    texture = (texture - texture.min()) / np.ptp(texture)
    plate = np.full((HEIGHT, WIDTH), 0.2)
    plate[34:94, 50:142] = 0.4 + 0.5 * texture[34:94, 50:142]
    if scratch:
        plate[60:64, 110:130] = 1.0
    noise = np.random.default_rng(seed).normal(0, 0.01, plate.shape)
    return np.clip(ndimage.gaussian_filter(plate, 0.7) + noise, 0, 1)


def matrix(degrees, across, down):
    """A turn around the middle and a shift, of (x, y, 1) in pixels."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    middle = np.array([WIDTH / 2, HEIGHT / 2]) - 0.5
    shift = middle + np.array([across, down]) - turn @ middle
    return np.hstack([turn, shift[:, None]])


def moved(image, place):
    """Move an image by SciPy, a twin of OpenCV's warp, as uint8."""
    inverse = np.linalg.inv(np.vstack([place, [0, 0, 1]]))
    swapped = inverse[:2, :2][::-1, ::-1], inverse[:2, 2][::-1]  # rows, columns
    values = ndimage.affine_transform(image, *swapped, order=1, mode="nearest")
    return np.rint(255 * values).astype(np.uint8)


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("size", [(64, 64), (128, 192), (96, 64)])
def test_a_moved_part_is_found(move, size):
    alignment = Alignment(moved(part(), matrix(0, 0, 0)), size, "test")
    image = moved(part(1), matrix(*move))
    found = alignment.find(image, "image")
    down, across = size[0] / HEIGHT, size[1] / WIDTH
    for x, y in [(60, 40), (130, 40), (90, 80)]:  # on the plate
        wanted = matrix(*move) @ [x, y, 1]
        here = [(x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5, 1]
        got = found @ here
        got = (got[0] + 0.5) / across - 0.5, (got[1] + 0.5) / down - 0.5
        np.testing.assert_allclose(got, wanted, atol=0.5)


def test_aligned_images_and_maps_go_there_and_back():
    place = matrix(5, 4, -3)
    image = moved(part(), place).astype(np.float32) / 255
    back = aligned(image, place)
    plain = moved(part(), matrix(0, 0, 0)) / 255
    assert np.abs(back - plain)[30:98, 46:146].mean() < 0.01
    spot = np.zeros((HEIGHT, WIDTH), np.float32)
    spot[60:64, 90:94] = 1
    over = put_back(spot, place)
    rows, columns = np.nonzero(over > 0.5)
    wanted = place @ [91.5, 61.5, 1]
    np.testing.assert_allclose((columns.mean(), rows.mean()), wanted, atol=0.5)


def test_what_does_not_resemble_the_reference_is_not_aligned():
    alignment = Alignment(moved(part(), matrix(0, 0, 0)), (64, 64), "test")
    noise = np.random.default_rng(5).integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8)
    for image in (noise, np.full((HEIGHT, WIDTH), 90, np.uint8)):
        with pytest.raises(AlignmentError, match="image 3 cannot be aligned"):
            alignment.find(image, "image 3")
    with pytest.raises(ImageError, match="image 3 must have the size of the reference"):
        alignment.find(noise[:50], "image 3")


@pytest.fixture(scope="module")
def good():
    rng = np.random.default_rng(2)
    moves = [(rng.uniform(-5, 5), *rng.uniform(-8, 8, 2)) for _ in range(8)]
    return np.stack([moved(part(i), matrix(*move)) for i, move in enumerate(moves)])


@pytest.fixture(scope="module")
def reference():
    return moved(part(), matrix(0, 0, 0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [PatchCore, PaDiM])
def test_results_lie_in_the_image_itself(kind, good, reference, tmp_path):
    finer = SMALL | {"image_size": 128}
    model = kind(**finer, align=reference).fit(good)
    plain = kind(**finer).fit(good)
    place = matrix(-6, 10, 5)
    odd = moved(part(20, scratch=True), place)
    fine = moved(part(21), place)
    gain = model.score(odd[None]) / model.score(fine[None])
    assert gain > 1.1
    if kind is PaDiM:  # which compares the same place in all images
        assert gain > 1.3 * plain.score(odd[None]) / plain.score(fine[None])
    (result,) = model.inspect(odd[None])
    wanted = place @ [119.5, 61.5, 1]
    row, column = result.worst_pixel
    np.testing.assert_allclose((column, row), wanted, atol=16)
    row, column = np.unravel_index(result.full_map().argmax(), (HEIGHT, WIDTH))
    np.testing.assert_allclose((column, row), wanted, atol=16)
    (whole,) = model.anomaly_maps(odd[None], "original")
    np.testing.assert_array_equal(whole, result.full_map())
    model.save(tmp_path / "part.adlib")
    loaded = adlib.load(tmp_path / "part.adlib")
    np.testing.assert_array_equal(loaded.score(good), model.score(good))
    np.testing.assert_array_equal(copy.deepcopy(model).score(good), model.score(good))
    with pytest.raises(ValueError, match=r"align of .* must be ndarray"):
        loaded.set_params(align=None).score(good)
    with pytest.raises(ValueError, match="no exported file can align"):
        model.export(tmp_path / "part.onnx")


def test_a_region_is_drawn_on_the_reference(good, reference):
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[40:88, 56:100] = True  # the left of the plate
    model = PatchCore(**SMALL, align=reference, region=mask).fit(good)
    place = matrix(-6, 10, 5)
    fine = moved(part(21), place)
    right = moved(part(21, scratch=True), place)  # beyond the region
    np.testing.assert_allclose(
        model.score(right[None]), model.score(fine[None]), rtol=0.2
    )
    (result,) = model.inspect(fine[None])
    inside = moved(mask.astype(float), place) > 127
    over = result.full_map() > 0
    assert (inside & over).sum() / (inside | over).sum() > 0.8


def test_a_part_that_is_not_found_is_a_result_of_its_own(good, reference):
    model = PatchCore(**SMALL, align=reference).fit(good)
    model.calibrate(good[::-1].copy() // 2 * 2, false_positive_rate=0.3)
    noise = np.random.default_rng(5).integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8)
    mixed = np.stack([good[0], noise, good[1]])
    first, lost, last = model.inspect(mixed)  # although on_error is "raise"
    assert first.error is last.error is None
    assert "cannot be aligned" in lost.error
    assert lost.verdict == -1
    assert lost.map is None
    with pytest.warns(SkippedImagesWarning, match="1 images were skipped"):
        assert np.isnan(model.score(mixed)).tolist() == [False, True, False]
    with pytest.raises(ImageError, match="image 1 cannot be aligned"):
        PatchCore(**SMALL, align=reference).fit(mixed)
    with pytest.warns(SkippedImagesWarning):
        PatchCore(**SMALL, align=reference, on_error="skip").fit(mixed)


def test_references_are_images(good, tmp_path):
    Image.fromarray(good[0]).save(tmp_path / "reference.png")
    by_path = PatchCore(**SMALL, align=tmp_path / "reference.png").fit(good)
    by_array = PatchCore(**SMALL, align=good[0]).fit(good)
    np.testing.assert_array_equal(by_path.score(good), by_array.score(good))
    with pytest.raises(TypeError, match="align of PatchCore must be None, the path"):
        PatchCore(**SMALL, align=5).fit(good)
    with pytest.raises(ImageError, match=r"none\.png"):
        PatchCore(**SMALL, align=str(tmp_path / "none.png")).fit(good)
