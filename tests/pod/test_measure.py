"""What a detector is said to find is what it finds."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError

from adlib import PaDiM, PatchCore
from adlib.cli import main
from adlib.datasets import draw_defect
from adlib.exceptions import AlignmentError, InputWarning
from adlib.images._align import Alignment
from adlib.overlays._pod import draw_pod
from adlib.pod import measure_pod
from adlib.pod._measure import _trials


@pytest.fixture(scope="module")
def report(judge, grained):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return measure_pod(judge, grained, contrasts=[0.1, 0.4], n_defects=20)


def test_it_finds_what_scoring_each_image_finds(judge, grained, report):
    clean = judge.score(grained)
    kept = [i for i in range(20, 60) if clean[i] <= judge.threshold_]
    kinds = ("scratch", "spot", "stain", "texture")
    trials = _trials(kinds, (0.1, 0.4), report.sizes, 20, len(kept), 0)
    found = []
    for trial in trials:
        image = grained[kept[trial.image]]
        flawed = draw_defect(
            image, trial.kind, trial.size, trial.contrast, random_state=trial.seed
        )
        found.append(judge.predict(flawed.image[None])[0] == -1)
    reported = np.concatenate([row.curve.found for row in report.rows])
    np.testing.assert_array_equal(reported, found)
    sizes = np.concatenate([row.curve.sizes for row in report.rows])
    np.testing.assert_array_equal(sizes, [trial.size for trial in trials])


@pytest.mark.slow
def test_scores_that_are_taken_from_maps_are_those_of_the_detector(grained):
    model = PaDiM(image_size=64, aggregation="map_max", progress=False)
    model.fit(grained[:20])
    scores = model.score(grained[20:])
    model.threshold_ = float(np.median(scores))
    chosen = {"kinds": ["spot"], "contrasts": [0.4], "n_defects": 20}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        report = measure_pod(model, grained, **chosen)
    assert report.n_false_alarms == (scores > model.threshold_).sum() == 20


def test_it_says_what_the_threshold_promises_and_does(judge, grained, report):
    assert (report.n_learned, report.n_good) == (20, 40)
    alarms = (judge.score(grained[20:]) > judge.threshold_).sum()
    assert report.n_false_alarms == alarms
    assert report.false_positive_rate == 0.1
    assert report.threshold == judge.threshold_
    assert report.sizes == (2, 24)
    assert report.image_size == (64, 64)
    assert report.milliseconds > 0


def test_stronger_defects_are_found_smaller(report):
    by = {(row.kind, row.contrast): row.curve for row in report.rows}
    assert len(by) == 8
    for kind in ("scratch", "spot", "stain", "texture"):
        assert by[kind, 0.4].found.sum() >= by[kind, 0.1].found.sum()
    assert by["spot", 0.4].a90 <= by["spot", 0.1].a90
    assert by["spot", 0.4].a50 < 24


def test_defects_of_a_kind_are_the_same_at_each_contrast():
    trials = _trials(("spot", "stain"), (0.1, 0.4), (2, 20), 12, 5, 3)
    assert len(trials) == 48
    for first in (0, 24):
        weak, strong = trials[first : first + 12], trials[first + 12 : first + 24]
        for one, other in zip(weak, strong, strict=True):
            assert one._replace(contrast=0.4) == other
    for first in range(0, 48, 12):
        images = [trial.image for trial in trials[first : first + 12]]
        assert sorted(images[:5]) == sorted(images[5:10]) == list(range(5))
    assert _trials(("spot",), (0.1,), (2, 20), 12, 5, 4) != trials[:12]


def test_json_has_all_and_no_infinite_number(report):
    kept = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert len(kept["curves"]) == 8
    for one, row in zip(kept["curves"], report.rows, strict=True):
        size = row.curve.a90_95
        assert one["a90_95_px"] == (size if math.isfinite(size) else None)
        assert one["found"] == row.curve.found.tolist()


def test_separated_curves_are_told(judge, grained):
    with pytest.warns(InputWarning, match=r"In 1 of 1 curves \(texture 1\) all sizes"):
        measure_pod(
            judge,
            grained,
            kinds=["texture"],
            contrasts=[1.0],
            sizes=(18, 40),
            n_defects=10,
        )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::adlib.exceptions.InputWarning")
def test_every_image_source_and_dtype_is_measured_alike(judge, grained, tmp_path):
    chosen = {"kinds": ["scratch"], "contrasts": [0.1], "n_defects": 10}
    expected = measure_pod(judge, grained[20:40], **chosen).rows[0].curve.found
    for i, image in enumerate(grained[20:40]):
        Image.fromarray(image).save(tmp_path / f"{i:02}.png")
    found = measure_pod(judge, tmp_path, **chosen).rows[0].curve.found
    np.testing.assert_array_equal(found, expected)
    # A camera of 12 bits, of which 4080 is white.
    judge12 = PatchCore(image_size=64, coreset=0.1, progress=False, max_value=4080.0)
    deep = grained.astype(np.uint16) * 16
    judge12.fit(deep[:20]).calibrate(deep[20:], false_positive_rate=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", InputWarning)
        deeper = measure_pod(judge12, deep[20:40], **chosen).rows[0].curve
    assert 1 <= deeper.found.sum() <= 9


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::adlib.exceptions.InputWarning")
def test_it_measures_padim_in_a_region_too(grained):
    model = PaDiM(image_size=64, progress=False).fit(grained[:20])
    model.calibrate(grained[20:], false_positive_rate=0.1)
    region = np.zeros((96, 96), np.bool_)
    region[40:60] = True
    chosen = {"kinds": ["spot"], "contrasts": [0.4], "n_defects": 10}
    report = measure_pod(model, grained, region=region, **chosen)
    assert report.rows[0].curve.found.any()
    with pytest.raises(ValueError, match="region of draw_defect must be bool"):
        measure_pod(model, grained, region=region[:50], **chosen)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::adlib.exceptions.InputWarning")
@pytest.mark.parametrize("as_function", [False, True])
def test_defects_are_drawn_in_the_detectors_own_region(
    grained, as_function, monkeypatch
):
    mask = np.zeros((96, 96), np.bool_)
    mask[:, 48:] = True
    region = (lambda pixels: mask) if as_function else mask
    model = PatchCore(image_size=64, coreset=0.1, region=region, progress=False)
    model.fit(grained[:20]).calibrate(grained[20:], false_positive_rate=0.1)
    drawn = []

    def noted(*args, **options):
        drawn.append(draw_defect(*args, **options))
        return drawn[-1]

    monkeypatch.setattr("adlib.pod._trials.draw_defect", noted)
    chosen = {"kinds": ["spot"], "contrasts": [0.4], "n_defects": 20, "sizes": (2, 12)}
    report = measure_pod(model, grained, **chosen)
    middles = [np.argwhere(one.mask)[:, 1].mean() for one in drawn]
    assert len(middles) == 20
    assert min(middles) >= 47
    assert report.rows[0].curve.found.mean() > 0.5


@pytest.mark.parametrize(
    ("change", "error", "fragment"),
    [
        ({"kinds": ["hole"]}, ValueError, "kinds of measure_pod must be one of"),
        ({"kinds": []}, ValueError, "kinds of measure_pod must be one at least"),
        ({"contrasts": [0]}, ValueError, "contrasts of measure_pod must be"),
        ({"n_defects": 5}, ValueError, "n_defects of measure_pod must be"),
        ({"sizes": (2, 60)}, ValueError, r"sizes of measure_pod must be two sizes in"),
        ({"sizes": (9, 3)}, ValueError, r"sizes of measure_pod must be two sizes in"),
    ],
)
def test_what_cannot_be_measured_is_refused(judge, grained, change, error, fragment):
    with pytest.raises(error, match=fragment):
        measure_pod(judge, grained, **change)


@pytest.mark.slow
def test_a_defect_whose_image_cannot_be_aligned_counts_as_missed(grained, monkeypatch):
    pytest.importorskip("cv2", reason="the extra align is not installed")

    def find(self, pixels, name):
        if name.startswith("texture on"):
            raise AlignmentError(f"{name} cannot be aligned.")
        return np.eye(2, 3)

    monkeypatch.setattr(Alignment, "find", find)
    model = PatchCore(image_size=64, align=grained[0], progress=False)
    model.fit(grained[:20]).calibrate(grained[20:40], false_positive_rate=0.1)
    chosen = {"kinds": ["texture", "spot"], "contrasts": [0.4], "n_defects": 20}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        texture, spot = measure_pod(model, grained, **chosen).rows
    assert not texture.curve.found.any()
    assert spot.curve.found.any()


def test_images_that_say_nothing_are_refused(judge, grained):
    with pytest.raises(ValueError, match="good images that fit did not learn from; g"):
        measure_pod(judge, grained[:20])
    with pytest.raises(ValueError, match="that can be read twice"):
        measure_pod(judge, iter(grained))
    bad = [np.full((96, 96), 255, np.uint8)] * 2
    with pytest.raises(ValueError, match="some of which score below the threshold"):
        measure_pod(judge, bad)


def test_a_model_without_a_threshold_is_refused(grained):
    model = PatchCore(image_size=64, progress=False)
    with pytest.raises(NotFittedError):
        measure_pod(model, grained)
    with pytest.raises(NotFittedError, match="no threshold"):
        measure_pod(model.fit(grained[:4]), grained)


@pytest.mark.slow
def test_the_command_writes_table_json_and_figure(judge, grained, tmp_path, capsys):
    folder = tmp_path / "good"
    folder.mkdir()
    for i, image in enumerate(grained):
        Image.fromarray(image).save(folder / f"{i:02}.png")
    judge.save(tmp_path / "part.adlib")
    out = tmp_path / "out"
    words = ["pod", str(tmp_path / "part.adlib"), str(folder), "-o", str(out)]
    assert main([*words, "--defects", "10", "--sizes", "3", "40"]) == 0
    told = capsys.readouterr()
    assert "a90/95 (px)" in told.out
    assert "set for 10 % false alarms" in told.out
    assert "20 that fit learned from left out" in told.out
    assert "Synthetic defects are not your real ones" in told.err
    kept = json.loads((out / "pod.json").read_text("utf-8"))
    assert len(kept["curves"]) == 12
    assert kept["sizes"] == [3, 40]
    with Image.open(out / "pod.png") as figure:
        assert figure.width > 1000
    for one in kept["curves"]:
        assert f"{sum(one['found'])} of 10" in told.out


@pytest.mark.slow
def test_a_figure_may_have_one_panel_or_an_odd_number(report, tmp_path):
    for n_kinds in (1, 3):
        rows = report.rows[: 2 * n_kinds]
        part = type(report)(**{**vars(report), "rows": rows})
        draw_pod(part, tmp_path / f"{n_kinds}.png")
        draw_pod(part, tmp_path / "again.png")
        again = (tmp_path / "again.png").read_bytes()
        assert (tmp_path / f"{n_kinds}.png").read_bytes() == again
