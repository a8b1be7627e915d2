"""Regions of maps against scikit-image's, and thresholds that leave none."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.measure import regionprops

import adlib
from adlib import PaDiM, PatchCore
from adlib.cli import main
from adlib.estimators import find_regions
from adlib.estimators._regions import highest_threshold, large_alone
from tests.conftest import scratched

CORNERS_TOO = np.ones((3, 3))
SIZE = (96, 64)  # of images, not of maps


def smooth(seed, shape=(48, 40)):
    noise = np.random.default_rng(seed).random(shape)
    return ndimage.gaussian_filter(noise, 2.0).astype(np.float32)


def area_within(line):
    """Area by the shoelace formula."""
    rows, columns = line.T
    return abs(rows[:-1] @ columns[1:] - rows[1:] @ columns[:-1]) / 2


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_regions_are_those_of_scikit_image(seed, share):
    values = smooth(seed)
    threshold = float(np.quantile(values, share))
    labels, _ = ndimage.label(values > threshold, CORNERS_TOO)
    wanted = regionprops(labels, values)
    found = find_regions(values, threshold, size=(96, 120))
    assert len(found) == len(wanted)
    wanted.sort(key=lambda one: -one.intensity_max)
    for region, one in zip(found, wanted, strict=True):
        top, left, bottom, right = one.bbox  # rows are doubled, columns tripled
        assert region.box == (2 * top, 3 * left, 2 * bottom, 3 * right)
        assert region.area == 6 * one.area
        assert region.peak == pytest.approx(one.intensity_max)
        assert region.mean == pytest.approx(one.intensity_mean)
        row, column = region.worst_pixel
        assert values[row // 2, column // 3] == np.float32(region.peak)
    peaks = [region.peak for region in found]
    assert peaks == sorted(peaks, reverse=True)


def test_lines_enclose_a_region_and_its_hole():
    values = np.zeros((30, 30), np.float32)
    values[5:25, 8:22] = 2.0
    values[10:15, 12:17] = 0.0
    (region,) = find_regions(values, 1.0)
    areas = sorted(map(area_within, region.contours))
    # At the threshold, half-way between pixels; corners are cut off.
    assert areas == pytest.approx([5 * 5, 20 * 14], abs=1.0)
    outer = max(region.contours, key=area_within)
    np.testing.assert_array_equal(outer[0], outer[-1])
    assert outer.min(axis=0) == pytest.approx([5, 8])
    assert outer.max(axis=0) == pytest.approx([25, 22])


def test_a_line_runs_along_the_edge_of_the_image():
    values = np.zeros((12, 12), np.float32)
    values[:4, 5:] = 3.0
    (region,) = find_regions(values, 1.0, size=(24, 24))
    (line,) = region.contours
    np.testing.assert_array_equal(line[0], line[-1])
    assert line.min(axis=0)[0] == pytest.approx(0.0, abs=0.5)
    assert line.max(axis=0)[1] == pytest.approx(24.0, abs=0.5)
    assert area_within(line) == pytest.approx(region.area, rel=0.15)


def test_neighbours_do_not_enter_a_regions_line():
    values = np.zeros((9, 16), np.float32)
    values[2:7, 2:7] = values[2:7, 8:14] = 2.0
    found = find_regions(values, 1.0)
    assert [len(region.contours) for region in found] == [1, 1]
    columns = sorted(
        (line.min(axis=0)[1], line.max(axis=0)[1])
        for region in found
        for line in region.contours
    )
    assert np.ravel(columns) == pytest.approx([2, 7, 8, 14])


def test_small_regions_are_left_out_and_areas_have_a_scale():
    values = np.zeros((20, 20), np.float32)
    values[1, 1] = 9.0
    values[10:14, 10:15] = 2.0
    (region,) = find_regions(values, 1.0, least_area=20, mm_per_pixel=0.5)
    assert (region.area, region.area_mm2) == (20.0, 5.0)
    assert len(find_regions(values, 1.0, least_area=1)) == 2
    left = large_alone(values, 1.0, (20, 20), 20)
    assert (left[1, 1], left[11, 11]) == (1.0, 2.0)


def test_nothing_lies_above_a_high_threshold():
    assert find_regions(smooth(0), 2.0) == []


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"anomaly_map": np.zeros(3)}, "anomaly_map of find_regions must be finite"),
        ({"threshold": np.nan}, "threshold of find_regions must be a finite"),
        ({"size": 8}, r"size of find_regions must be None or a pair"),
        ({"size": (8, 0)}, "size of find_regions must be"),
        ({"least_area": -1}, "least_area of find_regions must be a number of pixels"),
        ({"mm_per_pixel": 0}, "mm_per_pixel of find_regions must be a finite number"),
    ],
)
def test_wrong_arguments_are_refused(options, fragment):
    given = {"anomaly_map": smooth(0), "threshold": 0.5} | options
    with pytest.raises((TypeError, ValueError), match=fragment):
        find_regions(given.pop("anomaly_map"), given.pop("threshold"), **given)


@pytest.mark.parametrize("least_area", [0.0, 1.0, 30.0, 400.0, 1e9])
def test_the_threshold_that_leaves_no_region_is_the_lowest(least_area):
    values = np.round(smooth(3), 2)
    size = (96, 80)  # four pixels of the image are one of the map

    def shows(threshold):
        labels, n_found = ndimage.label(values > threshold, CORNERS_TOO)
        counts = np.bincount(labels.ravel())[1:]
        return n_found > 0 and counts.max() * 4 >= least_area

    found = highest_threshold(values, size, least_area)
    assert found in values
    assert not shows(found)
    assert all(shows(level) for level in np.unique(values) if level < found)


@pytest.fixture(scope="module", params=[PatchCore, PaDiM])
def calibrated(request, good, others):
    model = request.param(image_size=64, least_area=40.0, progress=False).fit(good)
    return model.calibrate(others, false_positive_rate=0.2)


def test_the_rate_holds_for_regions_that_count(calibrated, others):
    shown = sum(bool(found) for found in calibrated.regions(others))
    assert shown <= 0.2 * len(others)
    lower = calibrated.pixel_threshold_
    maps = calibrated.anomaly_maps(others)
    assert sum(one.max() > lower for one in maps) >= shown  # small ones do not count


def test_inspect_gives_regions_in_the_images_own_pixels(calibrated):
    image = np.full((128, 256), 128, np.uint8)
    image[:, ::4] = 255
    (result,) = calibrated.inspect(image[None])
    assert result.regions
    wanted = find_regions(
        result.map, calibrated.pixel_threshold_, size=(128, 256), least_area=40.0
    )
    assert [one.box for one in result.regions] == [one.box for one in wanted]
    assert max(one.box[3] for one in result.regions) > 128
    assert "regions=" in repr(result)


def test_without_a_threshold_there_are_no_regions(fitted, good):
    (result,) = fitted.inspect(good[:1])
    assert result.regions is None
    with pytest.raises(adlib.estimators._detector.NotFittedError, match="calibrate"):
        fitted.regions(good[:1])


def test_the_least_area_is_saved_and_belongs_to_the_threshold(calibrated, tmp_path):
    calibrated.save(tmp_path / "part.adlib")
    loaded = adlib.load(tmp_path / "part.adlib")
    assert loaded.least_area == 40.0
    loaded.least_area = 0.0
    with pytest.raises(ValueError, match=r"least_area .* must be 40\.0, with"):
        loaded.predict(np.zeros((1, 64, 64), np.uint8))


def test_the_command_writes_them(calibrated, tmp_path, capsys):
    calibrated.save(tmp_path / "part.adlib")
    (tmp_path / "camera").mkdir()
    Image.fromarray(scratched(3)).save(tmp_path / "camera" / "0.png")
    (tmp_path / "camera" / "1.png").write_bytes(b"no image")
    command = ["score", str(tmp_path / "part.adlib"), str(tmp_path / "camera")]
    command += ["--on-error", "skip", "--mm-per-pixel", "0.1", "--regions"]
    assert main([*command, str(tmp_path / "r.json")]) == 0
    first, second = json.loads((tmp_path / "r.json").read_text())
    assert first["size"] == [64, 64]
    assert first["regions"][0]["area_mm2"] == pytest.approx(
        first["regions"][0]["area"] * 0.01
    )
    assert first["regions"][0]["contours"]
    assert "regions" not in second
    assert "cannot be decoded" in second["error"]
    assert main([*command, str(tmp_path / "r.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))
    assert len(rows) == len(first["regions"])
    assert float(rows[0]["peak"]) == pytest.approx(
        first["regions"][0]["peak"], rel=1e-5
    )
    assert main([*command, str(tmp_path / "r.txt")]) == 1
    assert "must end in .json or .csv" in capsys.readouterr().err
