"""Pixel thresholds of zones against slow twins, and the rate that they promise."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.spatial.distance import cdist
from sklearn.base import clone

import adlib
from adlib import PaDiM, PatchCore
from adlib.cli import main
from adlib.estimators import Zones, find_regions
from adlib.estimators._model_file import read_model, write_model
from adlib.estimators._results import anomaly_maps
from adlib.estimators._zones import zone_numbers, zone_peaks, zone_scales
from adlib.exceptions import ModelFileError
from adlib.overlays import save_overlays
from adlib.thresholds import conformal_threshold
from tests.conftest import quick, texture

SMALL = {"image_size": 64, "progress": False}
GRID = (2, 3)


def welded(seed):
    """Return a smooth image whose right third is rough in each in another way."""
    rng = np.random.default_rng(seed)
    image = np.rint(rng.normal(120, 2, (64, 64))).astype(np.uint8)
    rough = rng.integers(0, 256, (8, 3), np.uint8)
    image[:, 43:] = np.kron(rough, np.ones((8, 7), np.uint8))
    return image


WELDED = np.stack([welded(seed) for seed in range(30)])
TRAINING, CALIBRATION, NEW = np.split(WELDED, [10, 20])


def zone_of(row, column, height, width, zones):
    return row * zones[0] // height, column * zones[1] // width


def slow_peaks(values, zones):
    peaks = np.zeros(zones, np.float32)
    for row, column in np.ndindex(values.shape):
        place = zone_of(row, column, *values.shape, zones)
        peaks[place] = max(peaks[place], values[row, column])
    return peaks


def slow_relative(values, scales):
    relative = np.empty_like(values)
    for row, column in np.ndindex(values.shape):
        place = zone_of(row, column, *values.shape, scales.shape)
        relative[row, column] = values[row, column] / scales[place]
    return relative


@pytest.fixture(scope="module", params=[PatchCore, PaDiM])
def model(request):
    fitted = request.param(**SMALL, zones=GRID).fit(TRAINING)
    return fitted.calibrate(CALIBRATION, false_positive_rate=0.5)


@pytest.mark.parametrize("zones", [(1, 1), (2, 3), (5, 7), (31, 20)])
def test_peaks_of_zones_are_those_of_a_loop(zones):
    values = np.random.default_rng(0).random((31, 20), dtype=np.float32)
    numbers = zone_numbers(values.shape, zones)
    np.testing.assert_array_equal(
        zone_peaks(values, numbers, zones), slow_peaks(values, zones)
    )


def test_scales_are_upper_quartiles_of_images_that_have_the_zone():
    peaks = np.array([[[1, 4, 0]], [[2, 8, 0]], [[0, 6, 0]]], np.float32)
    whole = np.quantile([4, 8, 6], 0.75)
    wanted = [np.quantile([1, 2], 0.75) / whole, 1.0, 1.0]
    np.testing.assert_allclose(zone_scales(peaks), [wanted], rtol=1e-7)
    np.testing.assert_array_equal(zone_scales(np.zeros((3, 1, 2), np.float32)), 1.0)


@pytest.mark.parametrize("rate", quick([0.05, 0.2], 0.2))
@pytest.mark.parametrize("odd", quick([False, True], True))
def test_the_promised_rate_holds_for_images_as_a_whole(rate, odd):
    """Few images, zones of other laws that hang together, 2,000 calibrations."""
    rng = np.random.default_rng(7)
    n_training, n_normal, n_new, n_runs = 5, 19, 25, 2000
    spreads = np.array([[0.1, 0.5], [1.0, 0.3]])
    alone, together = [], []
    for _ in range(n_runs):
        shape = (n_training + n_normal + n_new, 1, 1)
        noise = 0.7 * rng.standard_normal(shape)
        noise = noise + 0.7 * rng.standard_normal((*shape[:1], 2, 2))
        peaks = (np.exp(spreads * noise) * [[1, 30], [5, 100]]).astype(np.float32)
        if odd:  # whatever was learned from, the promise is of the others
            peaks[0, 0, 0] = 1e4
        training, held_out, new = np.split(peaks, [n_training, n_training + n_normal])
        scales = zone_scales(training)
        threshold = conformal_threshold((held_out / scales).max(axis=(1, 2)), rate)
        together.append(((new / scales).max(axis=(1, 2)) > threshold).mean())
        own = [conformal_threshold(held_out[:, *p], rate) for p in np.ndindex(2, 2)]
        alone.append((new > np.reshape(own, (2, 2))).any(axis=(1, 2)).mean())
    error = np.std(together) / np.sqrt(n_runs)
    assert abs(np.mean(together) - rate) < 4 * error
    # A threshold of its own for each zone would not keep it.
    assert np.mean(alone) > 1.8 * rate


def test_scales_come_from_maps_of_left_out_training_images():
    model = PatchCore(**SMALL, zones=GRID).fit(TRAINING)
    bank, expected = model.memory_bank_, []
    for i, embedded in enumerate(model.embeddings(TRAINING)):
        rows = bank.embeddings[bank.origins[:, 0] != i]
        patches = embedded.patches.reshape(-1, rows.shape[1])
        scores = cdist(patches, rows).min(axis=1).reshape(1, *model.grid_)
        (one,) = anomaly_maps(scores.astype(np.float32), (64, 64))
        expected.append(slow_peaks(one, GRID))
    upper = np.quantile(expected, 0.75, axis=0)
    whole = np.quantile(np.max(expected, axis=(1, 2)), 0.75)
    np.testing.assert_allclose(model.zone_scales_, upper / whole, rtol=1e-5)
    assert model.zone_scales_.dtype == np.float32
    # The rough third scores far higher.
    assert (model.zone_scales_[:, 0] < 0.8 * model.zone_scales_[:, 2]).all()


def test_one_zone_changes_nothing(model):
    plain = clone(model).set_params(zones=None).fit(TRAINING)
    one = clone(model).set_params(zones=(1, 1)).fit(TRAINING)
    assert one.zone_scales_.tolist() == [[1.0]]
    assert plain.zone_scales_ is None
    for each in (plain, one):
        each.calibrate(CALIBRATION, false_positive_rate=0.5)
    assert one.calibration_ == plain.calibration_
    for zoned, bare in zip(one.regions(NEW), plain.regions(NEW), strict=True):
        for left, right in zip(zoned, bare, strict=True):
            assert (left.zone, right.zone) == ((0, 0), None)
            assert left.as_dict() | {"zone": None} == right.as_dict()


def test_image_scores_and_verdicts_do_not_know_zones(model):
    plain = clone(model).set_params(zones=None).fit(TRAINING)
    plain.calibrate(CALIBRATION, false_positive_rate=0.5)
    np.testing.assert_array_equal(model.score(NEW), plain.score(NEW))
    np.testing.assert_array_equal(model.predict(NEW), plain.predict(NEW))
    np.testing.assert_array_equal(model.anomaly_maps(NEW), plain.anomaly_maps(NEW))
    assert model.threshold_ == plain.threshold_
    assert model.pixel_threshold_ != plain.pixel_threshold_


def test_the_threshold_is_conformal_over_relative_maps(model):
    maps = model.anomaly_maps(CALIBRATION)
    peaks = [slow_relative(one, model.zone_scales_).max() for one in maps]
    assert model.pixel_threshold_ == conformal_threshold(peaks, 0.5)
    marked = sum(map(bool, model.regions(CALIBRATION)))
    assert marked == sum(peak > model.pixel_threshold_ for peak in peaks) == 4


def test_regions_lie_above_their_zones_threshold(model):
    assert any(model.regions(NEW))
    for result in model.inspect(NEW):
        relative = slow_relative(result.map, model.zone_scales_)
        np.testing.assert_array_equal(result.zones.relative(result.map), relative)
        labels, n_found = ndimage.label(
            relative > model.pixel_threshold_, np.ones((3, 3))
        )
        assert len(result.regions) == n_found
        assert sum(r.area for r in result.regions) == (labels > 0).sum()
        shares = []
        for region in result.regions:
            row, column = region.worst_pixel
            assert region.zone == zone_of(row, column, 64, 64, GRID)
            assert region.peak == result.map[row, column]
            limit = model.pixel_threshold_ * float(model.zone_scales_[region.zone])
            assert region.threshold == limit
            shares.append(region.peak / limit)
            own = labels == labels[row, column]
            assert relative[own].max() == relative[row, column]
        assert shares == sorted(shares, reverse=True)
        assert all(share > 1 - 1e-6 for share in shares)
        again = find_regions(
            result.map, model.pixel_threshold_, size=result.size, zones=result.zones
        )
        assert [one.as_dict() for one in again] == [
            one.as_dict() for one in result.regions
        ]


def test_defects_beside_a_rough_zone_are_found():
    """Which is what zones are for."""
    bad = NEW.copy()
    bad[:, 20:26, 8:16] += 10
    found = {}
    for zones in (None, (1, 3)):
        model = PatchCore(**SMALL, zones=zones).fit(TRAINING)
        model.calibrate(CALIBRATION, false_positive_rate=0.1)
        found[zones] = sum(
            any(region.worst_pixel[1] < 40 for region in regions)
            for regions in model.regions(bad)
        )
    assert found[1, 3] > found[None]


@pytest.mark.slow
def test_least_area_counts_over_relative_maps():
    model = PatchCore(**SMALL, zones=GRID, least_area=40.0).fit(TRAINING)
    model.calibrate(CALIBRATION[:4], false_positive_rate=0.5)
    limits = []
    for one in model.anomaly_maps(CALIBRATION[:4]):
        relative = slow_relative(one, model.zone_scales_)
        for level in np.unique(relative):  # the lowest without such a region
            labels, _ = ndimage.label(relative > level, np.ones((3, 3)))
            if not (np.bincount(labels.ravel())[1:] >= 40).any():
                limits.append(level)
                break
    assert model.pixel_threshold_ == conformal_threshold(limits, 0.5)


def test_leaving_one_out_sets_thresholds_of_zones(model):
    one = clone(model).set_params(false_positive_rate=0.5).fit(TRAINING)
    np.testing.assert_array_equal(one.zone_scales_, model.zone_scales_)
    assert one.calibration_.kind == "leave-one-out"
    plain = clone(one).set_params(zones=None).fit(TRAINING)
    np.testing.assert_array_equal(one.left_out_scores_, plain.left_out_scores_)
    assert one.threshold_ == plain.threshold_
    assert one.pixel_threshold_ != plain.pixel_threshold_


def test_zones_are_saved(model, tmp_path):
    model.save(tmp_path / "part.adlib")
    again = adlib.load(tmp_path / "part.adlib")
    assert again.zones == GRID
    np.testing.assert_array_equal(again.zone_scales_, model.zone_scales_)
    wanted = [[one.as_dict() for one in found] for found in model.regions(NEW)]
    found = [[one.as_dict() for one in found] for found in again.regions(NEW)]
    assert found == wanted
    assert model.describe() == again.describe()
    limits = model.pixel_threshold_ * model.zone_scales_.astype(np.float64)
    text = f"2x3 zones, pixel thresholds {limits.min():.6g} to {limits.max():.6g}"
    assert model.describe()["zones"] == text


@pytest.mark.parametrize(
    "scales", [None, [1.0] * 5, [0.0] * 6, [1e300] * 6, [1e-300] * 6, ["1"] * 6]
)
def test_damaged_scales_are_refused(model, tmp_path, scales):
    model.save(tmp_path / "part.adlib")
    content = read_model(tmp_path / "part.adlib")
    content.header["state"]["zone_scales"] = scales
    write_model(tmp_path / "part.adlib", content)
    with pytest.raises(ModelFileError, match="'zone_scales' must be"):
        adlib.load(tmp_path / "part.adlib")


def test_files_of_earlier_versions_have_no_zones(fitted, tmp_path):
    fitted.save(tmp_path / "part.adlib")
    content = read_model(tmp_path / "part.adlib")
    del content.header["state"]["zone_scales"], content.header["parameters"]["zones"]
    write_model(tmp_path / "part.adlib", content)
    again = adlib.load(tmp_path / "part.adlib")
    assert again.zones is again.zone_scales_ is None


def test_zones_outside_of_the_region_count_for_nothing():
    mask = np.zeros((64, 64), np.bool_)
    mask[:, :40] = True
    model = PatchCore(**SMALL, zones=(2, 4), region=mask).fit(TRAINING)
    model.calibrate(CALIBRATION, false_positive_rate=0.5)
    assert model.zone_scales_[:, 3].tolist() == [1.0, 1.0]
    assert (model.zone_scales_[:, :2] < 1.0).all()
    places = [one.worst_pixel for found in model.regions(NEW) for one in found]
    assert places
    assert all(column < 40 for _, column in places)


def test_zones_lie_in_letterboxed_images_not_around_them():
    wide = TRAINING[:, :32]
    model = PatchCore(**SMALL, zones=(1, 2), resize="letterbox").fit(wide)
    result = next(model.inspect(wide[:1]))
    assert result.map.shape == result.zones.numbers.shape == (32, 64)
    wanted = [[0] * 32 + [1] * 32] * 32
    np.testing.assert_array_equal(result.zones.numbers, wanted)
    assert model.describe()["resize"] == "images letterboxed to 64x64 pixels"


def test_zones_move_with_aligned_parts():
    pytest.importorskip("cv2")
    large = texture(5, 128)
    part = ndimage.gaussian_filter(large.astype(float), 2.0)
    part = ((part - part.min()) / np.ptp(part) * 255).astype(np.uint8)
    shifts = [(0, 0), (3, 2), (-2, 4), (5, -3)]
    images = [part[32 - y : 96 - y, 32 - x : 96 - x] for y, x in shifts]
    model = PatchCore(**SMALL, zones=(2, 2), align=images[0]).fit(images)
    assert model.describe()["align"] == "images aligned to a reference of 64x64 pixels"
    reference = zone_numbers((64, 64), (2, 2))
    for (y, x), result in zip(shifts, model.inspect(images), strict=True):
        wanted = np.pad(reference, 8, mode="edge")[8 - y : 72 - y, 8 - x : 72 - x]
        # A shift is found to a fraction of a pixel.
        assert (result.zones.numbers != wanted).mean() < 0.04
    assert sorted(set(result.zones.numbers.ravel().tolist())) == [0, 1, 2, 3]


def test_a_later_calibration_needs_the_zones_of_fit(model):
    other = clone(model).fit(TRAINING).set_params(zones=(3, 3))
    with pytest.raises(ValueError, match=r"zones of .* must be \(2, 3\), with"):
        other.calibrate(CALIBRATION, false_positive_rate=0.5)


@pytest.mark.parametrize(
    ("zones", "fragment"),
    [
        (3, "zones of PatchCore must be None or a pair"),
        ("34", "zones of PatchCore must be None or a pair"),
        ((3, 4, 5), "zones of PatchCore must be None or a pair"),
        ((0, 4), "zones of PatchCore must be an integer of at least 1"),
        ((3, 4.5), "zones of PatchCore must be an integer"),
        ((3, 65), r"zones of PatchCore must be at most as many as image_size"),
    ],
)
def test_wrong_zones_are_refused(zones, fragment):
    with pytest.raises((TypeError, ValueError), match=fragment):
        PatchCore(**SMALL, zones=zones).fit(TRAINING)


def test_images_that_cannot_be_left_out_are_refused():
    model = PatchCore(**SMALL, zones=GRID)
    with pytest.raises(ValueError, match="at least 3 images, to leave each one out"):
        model.fit(TRAINING[:2])
    with pytest.raises(ValueError, match="read twice, to leave each one out"):
        model.fit(iter(TRAINING))


def test_zones_of_another_map_are_refused(model):
    result = next(model.inspect(NEW))
    with pytest.raises(ValueError, match="zones of find_regions must be None or the"):
        find_regions(result.map[:50], 1.0, zones=result.zones)


def test_overlays_outline_what_lies_above_its_zones_threshold(model, tmp_path):
    clear = Zones(np.zeros((64, 64), np.int32), np.full(GRID, 1e6, np.float32))
    result = next(model.inspect(NEW[:1]))
    assert repr(result.zones).startswith("Zones(numbers=(64, 64) int32")
    assert not find_regions(result.map, model.pixel_threshold_, zones=clear)
    plain = clone(model).set_params(zones=None).fit(TRAINING)
    plain.calibrate(CALIBRATION, false_positive_rate=0.5)
    found = [one for one in range(len(NEW)) if model.regions(NEW[[one]])[0]]
    assert found
    for name, each in (("zones", model), ("one", plain)):
        each.pixel_threshold_ = model.pixel_threshold_
        save_overlays(each, NEW[found[:1]], tmp_path / name)
    pictures = [path.read_bytes() for path in sorted(tmp_path.glob("*/image 0.png"))]
    assert pictures[0] != pictures[1]


def test_the_command_sets_zones_and_names_them(tmp_path, capsys):
    for name, images in (("good", TRAINING), ("other", CALIBRATION), ("new", NEW)):
        (tmp_path / name).mkdir()
        for i, pixels in enumerate(images):
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    place, model_file = str(tmp_path), str(tmp_path / "part.adlib")
    command = ["fit", f"{place}/good", "-o", model_file, "--good", f"{place}/other"]
    command += ["--zones", "2x3", "--image-size", "64", "--false-positive-rate", "0.2"]
    assert main(command) == 0
    assert "2x3 zones, pixel thresholds" in capsys.readouterr().err
    assert main(["info", model_file]) == 0
    assert "2x3 zones" in capsys.readouterr().out
    model = adlib.load(model_file)
    wanted = model.regions(f"{place}/new")
    for suffix in ("json", "csv"):
        regions = f"{place}/regions.{suffix}"
        scored = ["score", model_file, f"{place}/new", "-o", f"{place}/scores.csv"]
        assert main([*scored, "--regions", regions]) == 0
    read = json.loads((tmp_path / "regions.json").read_text(encoding="utf-8"))
    found = [one for image in read for one in image["regions"]]
    listed = [one for image in wanted for one in image]
    assert [tuple(one["zone"]) for one in found] == [one.zone for one in listed]
    assert [one["threshold"] for one in found] == [one.threshold for one in listed]
    with (tmp_path / "regions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, one in zip(rows, listed, strict=True):
        assert (int(row["zone_row"]), int(row["zone_column"])) == one.zone
        assert float(row["threshold"]) == pytest.approx(one.threshold, rel=1e-5)
    assert main([*command[:-5], "3"]) == 2
    assert "pass rows x columns, as 3x4" in capsys.readouterr().err
