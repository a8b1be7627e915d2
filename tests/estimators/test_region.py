"""A region of interest against loops, through every method and the model file."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from PIL import Image

import adlib
from adlib import PaDiM, PatchCore, runtime
from adlib.cli import main
from adlib.estimators._results import HALF, LEAST_WEIGHT, Inside, upsample_and_blur
from adlib.exceptions import ImageError, ModelFileError
from adlib.images import open_source, read_batches
from adlib.images._region import RegionOfInterest
from adlib.runtime._file import read_exported
from tests.conftest import texture

HEIGHT, WIDTH = 96, 128
SMALL = {"image_size": 64, "backbone": "test_byobnet", "weights": None}
SMALL |= {"progress": False, "device": "cpu"}
POLYGON = [(30, 20), (100, 20), (100, 80), (30, 80)]
DETECTORS = [
    (PatchCore, {"coreset": 0.4}),
    (PatchCore, {"coreset": 0.4, "aggregation": "reweighted"}),
    (PaDiM, {}),
    (PaDiM, {"aggregation": "map_max"}),
]


def images(n, seed=0):
    whole = [texture(seed + i, WIDTH)[:HEIGHT] for i in range(n)]
    return np.stack([np.stack([one, one[::-1], one], axis=2) for one in whole])


@pytest.fixture(scope="module")
def mask():
    found = np.zeros((HEIGHT, WIDTH), np.bool_)
    found[20:80, 30:100] = True
    return found


@pytest.fixture(scope="module")
def good():
    return images(6)


def slow_patches(mask, grid, size=64):
    """Patches of which half lies inside, by counting pixels of the resized image."""
    (batch,) = read_batches(
        open_source(np.where(mask, 255, 0).astype(np.uint8)[None], "test"),
        image_size=(size, size),
        batch_size=1,
    )
    share = batch.images[0, 0]
    side = size // grid[0]
    inside = np.zeros(grid, np.bool_)
    for row in range(grid[0]):
        for column in range(grid[1]):
            part = share[row * side : (row + 1) * side]
            part = part[:, column * side : (column + 1) * side]
            inside[row, column] = part.mean() >= HALF
    return inside, share


def test_scores_are_those_of_the_patches_inside(good, mask):
    everywhere = PatchCore(**SMALL, coreset=1.0).fit(good)
    model = PatchCore(**SMALL, coreset=1.0, region=mask).fit(good)
    inside, share = slow_patches(mask, model.grid_)
    assert 0 < inside.sum() < inside.size
    rows = [tuple(row) for row in model.memory_bank_.origins.tolist()]
    wanted = [
        (image, row, column)
        for image in range(len(good))
        for row, column in np.argwhere(inside).tolist()
    ]
    assert rows == wanted
    assert model.n_patches_ == len(wanted)
    bank = np.concatenate([e.patches[inside] for e in everywhere.embeddings(good)])
    np.testing.assert_array_equal(model.memory_bank_.embeddings, bank)
    new = images(2, seed=50)
    n_top = max(1, int(0.01 * inside.sum()))
    up, across = (upsample_and_blur(n, 64).numpy() for n in model.grid_)
    for one, result in zip(everywhere.embeddings(new), model.inspect(new), strict=True):
        apart = one.patches[inside][:, None] - bank[None]
        scores = np.sqrt(np.square(apart, dtype=np.float64).sum(axis=2)).min(axis=1)
        top = np.sort(scores)[-n_top:].mean()
        assert result.score == pytest.approx(top, rel=1e-6)
        grid = np.zeros(model.grid_)
        grid[inside] = scores
        for row, column in [(16, 20), (30, 31), (50, 45), (15, 17), (3, 3), (63, 0)]:
            weights = np.outer(up[row], across[column]) * inside
            total = weights.sum()
            value = 0.0
            if share[row, column] >= HALF and total >= LEAST_WEIGHT:
                value = (weights * grid).sum() / total
            assert result.map[row, column] == pytest.approx(value, rel=1e-5)
        assert (result.map[~(share >= HALF)] == 0).all()
        row, column = result.worst_pixel
        assert mask[row, column]


@pytest.mark.parametrize(("kind", "options"), DETECTORS)
def test_what_lies_outside_of_the_patches_counts_for_nothing(kind, options, good, mask):
    model = kind(**SMALL, **options, region=mask).fit(good)
    alone = kind(**SMALL, **options, region=mask)
    new = images(2, seed=50)
    model.calibrate(images(20, seed=100))
    everywhere = np.ones_like(mask)
    whole, plain = (
        alone.set_params(region=everywhere).fit(good),
        kind(**SMALL, **options).fit(good),
    )
    np.testing.assert_allclose(whole.score(new), plain.score(new), rtol=1e-6)
    np.testing.assert_allclose(
        whole.anomaly_maps(new), plain.anomaly_maps(new), rtol=1e-6
    )
    left = model.leave_one_out_scores(good)
    assert left.shape == (len(good),)
    assert (left >= model.score(good)).all()


def test_a_defect_outside_raises_no_alarm(good, mask):
    outside, within = images(1), images(1)  # training images but for a white square
    outside[:, :6, :6] = 255
    within[:, 40:50, 60:70] = 255
    finer = SMALL | {"image_size": 128, "coreset": 1.0}
    everywhere = PatchCore(**finer).fit(good)
    model = PatchCore(**finer, region=mask).fit(good)
    assert model.score(outside) < 0.1 * everywhere.score(outside)
    assert model.score(within) > 5 * model.score(outside)


@pytest.mark.parametrize(("kind", "options"), DETECTORS)
def test_a_model_file_holds_the_region(kind, options, good, mask, tmp_path):
    model = kind(**SMALL, **options, region=POLYGON).fit(good)
    np.testing.assert_array_equal(model.region_, mask)
    model.save(tmp_path / "part.adlib")
    loaded = adlib.load(tmp_path / "part.adlib")
    np.testing.assert_array_equal(loaded.region_, mask)
    np.testing.assert_array_equal(loaded.score(good), model.score(good))
    np.testing.assert_array_equal(loaded.anomaly_maps(good), model.anomaly_maps(good))
    assert "34.2 % of 96x128 pixels" in loaded.describe()["region"]
    again = adlib.load(tmp_path / "part.adlib").set_params(region=None)
    with pytest.raises(ValueError, match=r"region of .* must be ndarray of shape"):
        again.score(good)
    with pytest.raises(ValueError, match="region of load must be None"):
        adlib.load(tmp_path / "part.adlib", region=lambda pixels: pixels)


def moving(pixels):
    """Mark what is brighter than the darkest fifth."""
    lightness = pixels.mean(axis=2)
    return lightness > np.quantile(lightness, 0.2)


def test_a_function_gives_each_image_its_own(good, mask, tmp_path):
    fixed = PatchCore(**SMALL, coreset=0.4, region=mask).fit(good)
    called = PatchCore(**SMALL, coreset=0.4, region=lambda pixels: mask).fit(good)
    np.testing.assert_array_equal(called.score(good), fixed.score(good))
    np.testing.assert_array_equal(called.anomaly_maps(good), fixed.anomaly_maps(good))
    model = PatchCore(**SMALL, coreset=0.4, region=moving).fit(good)
    assert {len(one.patches) for one in model.embeddings(good)} == {model.grid_[0]}
    left_out = [np.isnan(one.patches[..., 0]) for one in model.embeddings(good)]
    assert len({int(one.sum()) for one in left_out}) > 1
    model.save(tmp_path / "part.adlib")
    with pytest.raises(ValueError, match="region of load must be the function"):
        adlib.load(tmp_path / "part.adlib")
    loaded = adlib.load(tmp_path / "part.adlib", region=moving)
    np.testing.assert_array_equal(loaded.score(good), model.score(good))
    # One image after the other gives what all at once do.
    singly = [model.score(image[None])[0] for image in good]
    np.testing.assert_array_equal(model.score(good), singly)
    for explained in model.explain(good):
        row, column = explained.patch
        assert 0 <= row < model.grid_[0]
        assert 0 <= column < model.grid_[1]
    with pytest.raises(TypeError, match="region of PaDiM must be one mask"):
        PaDiM(**SMALL, region=moving).fit(good)
    with pytest.raises(TypeError, match="no file can hold a function"):
        model.export(tmp_path / "part.onnx")


def test_explain_names_patches_of_the_grid(good, mask):
    model = PatchCore(**SMALL, coreset=0.4, region=mask).fit(good)
    for one, explained in zip(model.embeddings(good), model.explain(good), strict=True):
        assert np.isfinite(one.patches[explained.patch]).all()
        where = model.memory_bank_.origins.tolist()
        image = model.training_images_.index(explained.compared_with)
        assert [image, *explained.compared_patch] in where


@pytest.mark.parametrize(
    ("region", "error", "fragment"),
    [
        (np.zeros((HEIGHT, WIDTH), np.bool_), ValueError, "one without any"),
        (np.zeros((2, HEIGHT, WIDTH), np.bool_), ValueError, "polygon or several"),
        ([(0, 0), (1, 1)], ValueError, "at least 3 points"),
        ([[(0, 0), (1, 1), (2, float("nan"))]], ValueError, "at least 3 points"),
        ([(500, 500), (510, 500), (510, 510)], ValueError, "one without any"),
        (5, TypeError, "polygon or several"),
        ([], TypeError, "polygon or several"),
        ("missing.png", ImageError, "missing.png"),
        (np.ones((HEIGHT, 3), np.bool_), ImageError, "must have the size"),
        (lambda _: np.ones((3, 3), np.bool_), ValueError, "a function that returns"),
        (lambda p: np.zeros(p.shape[:2], np.bool_), ImageError, "has no pixel"),
    ],
)
def test_what_is_no_region_is_refused(region, error, fragment, good):
    model = PatchCore(**SMALL, region=region)
    with pytest.raises(error, match=fragment):
        model.fit(good)
    assert not hasattr(model, "region_")


def test_an_image_of_another_size_is_skipped_or_refused(good, mask):
    mixed = [*good, good[0][:50]]
    with pytest.raises(ImageError, match=r"image 6 must have the size .* got 50x128"):
        PatchCore(**SMALL, region=mask).fit(mixed)
    model = PatchCore(**SMALL, region=mask, on_error="skip")
    with pytest.warns(UserWarning, match="1 images were skipped"):
        model.fit(mixed)
    assert len(model.training_images_) == len(good)
    assert [one.error is None for one in model.inspect(mixed)] == [True] * 6 + [False]


def test_pixels_are_not_for_a_function_to_change(good):
    def spoil(pixels):
        pixels[:] = 0

    with pytest.raises(ValueError, match="read-only"):
        PatchCore(**SMALL, region=spoil).fit(good)


def test_a_sliver_counts_by_its_best_patch():
    share = np.zeros((64, 64), np.float32)
    share[:, 11] = 1.0
    inside = Inside.of(share, (8, 8))
    assert inside.patches.sum() == 8
    assert inside.patches[:, 1].all()
    assert np.isfinite(inside.weights).all()
    assert (inside.weights > 0).any(axis=0).nonzero()[0].tolist() == [11]


def test_polygons_hold_the_pixels_whose_centre_they_hold():
    triangle = [(2.0, 1.0), (12.0, 1.0), (2.0, 11.0)]
    region = RegionOfInterest(
        [triangle, [(20, 20), (24, 20), (24, 24), (20, 24)]], (32, 32), "test"
    )
    region.share((32, 32), "image")
    for row in range(32):
        for column in range(32):
            x, y = column + 0.5, row + 0.5
            in_triangle = x > 2 and y > 1 and (x - 2) + (y - 1) < 10
            on_edge = (x - 2) + (y - 1) == 10
            in_square = 20 < x < 24 and 20 < y < 24
            if not on_edge:
                assert region.region[row, column] == (in_triangle or in_square)


def test_the_command_takes_a_mask(good, mask, tmp_path, capsys):
    folder = tmp_path / "good"
    folder.mkdir()
    for i, image in enumerate(good):
        Image.fromarray(image).save(folder / f"{i}.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    command = ["fit", str(folder), "-o", str(tmp_path / "part.adlib"), "--holdout", "0"]
    command += ["--image-size", "64", "--backbone", "tf_efficientnet_lite0"]
    assert main([*command, "--region", str(tmp_path / "mask.png")]) == 0
    model = adlib.load(tmp_path / "part.adlib")
    np.testing.assert_array_equal(model.region_, mask)
    capsys.readouterr()
    assert main(["info", str(tmp_path / "part.adlib")]) == 0
    assert "34.2 % of 96x128 pixels" in " ".join(capsys.readouterr().out.split())
    assert main([*command, "--region", str(tmp_path / "none.png")]) == 1
    assert "none.png" in capsys.readouterr().err


def test_copies_have_the_region_too(good, mask):
    model = PatchCore(**SMALL, coreset=0.4, region=mask).fit(good)
    np.testing.assert_array_equal(copy.deepcopy(model).score(good), model.score(good))


def test_a_damaged_region_is_found(good, mask, tmp_path):
    from adlib.estimators._model_file import read_model, write_model

    path = tmp_path / "part.adlib"
    PatchCore(**SMALL, coreset=0.4, region=mask).fit(good).save(path)
    content = read_model(path)
    for damage in (
        np.zeros(3, np.uint8),
        content.tensors["region"][:-1],
        np.concatenate([content.tensors["region"][:16], np.zeros(1536, np.uint8)]),
        np.concatenate([np.full(16, 255, np.uint8), content.tensors["region"][16:]]),
    ):
        tensors = content.tensors | {"region": damage}
        write_model(path, content._replace(tensors=tensors))
        with pytest.raises(ModelFileError, match="'region' must be"):
            adlib.load(path)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "options"), DETECTORS)
def test_an_exported_file_keeps_to_the_region(kind, options, good, mask, tmp_path):
    pytest.importorskip("onnxscript")
    model = kind(**SMALL, **options, region=mask).fit(good)
    model.calibrate(images(20, seed=100))
    path = tmp_path / "part.onnx"
    with pytest.raises(ValueError, match=r"input_size .* must be None or \(96, 128\)"):
        model.export(path, input_size=(64, 64))
    model.export(path)
    found = runtime.load(path, runtime="onnxruntime")
    new = images(3, seed=50)
    new[0, 40:44, 40:90] = 255
    for wanted, result in zip(model.inspect(new), found.inspect(new), strict=True):
        assert result.score == pytest.approx(wanted.score, rel=1e-5)
        assert result.verdict == wanted.verdict
        assert result.worst_pixel == wanted.worst_pixel
        np.testing.assert_allclose(
            result.map, wanted.map, atol=2e-5 * wanted.map.max(), rtol=0
        )
    assert "34.2 %" in json.dumps(read_exported(path).header["parameters"])
    with pytest.raises(ImageError):
        found.score(new[:, :50])
