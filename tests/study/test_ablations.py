"""Variants differ in what they say they do, and are measured on the same images."""

from __future__ import annotations

import numpy as np
import pytest

from adlib import PaDiM, PatchCore
from adlib.datasets import ShiftSettings
from adlib.datasets._splits import ClassSplit
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.metrics import compute_auroc, delong_test
from adlib.study import Config, evaluate
from adlib.study._data import some_of
from adlib.study._fitting import (
    ablate,
    fit_on_split,
    measure_model,
    model_facts,
    new_detector,
    separation,
    variants,
)
from adlib.study._shifts import (
    ablate_shift,
    cross_shifts,
    shift_variants,
    shifted_images,
)
from tests.study.conftest import value

pytestmark = pytest.mark.slow

CONFIG = Config.from_dict(
    {"backbone": {"image_size": 64}, "patchcore": {"coreset": 0.3}, "seed": 3}
)


def unfitted(**changed):
    return new_detector("PatchCore", CONFIG, **changed)


def scores_of(split, part, **changed):
    model = unfitted(**changed).fit([sample.image_path for sample in split.train])
    return model.score([sample.image_path for sample in part])


def test_each_row_is_what_fitting_the_variant_gives(split):
    choices = {
        "coreset 10 %": {"coreset": 0.1},
        "aggregation max": {"aggregation": "max"},
    }
    found = ablate("PatchCore", CONFIG, split, choices)
    labels = [sample.label for sample in split.val]
    configured = scores_of(split, split.val)
    for setting, changed in {"configured": {}, **choices}.items():
        scores = scores_of(split, split.val, **changed)
        auroc = value(found, "val_auroc", setting=setting)
        assert auroc == pytest.approx(compute_auroc(labels, scores))
        if changed:
            test = delong_test(labels, scores, configured)
            keys = {"setting": setting, "versus": "configured"}
            assert value(found, "val_auroc", **keys) == test.difference
            assert value(found, "val_auroc", "p", **keys) == test.p_value
    refitted = found.loc[found["metric"] == "fit_seconds", "setting"].tolist()
    assert refitted == ["configured", "coreset 10 %"]  # a score needs no retraining
    normal = tuple(sample for sample in split.val if not sample.label)
    alone = ClassSplit("plate", 0, split.train, normal, ())
    with pytest.raises(ValueError, match="y_true"):
        ablate("PatchCore", CONFIG, alone, {})


def test_every_variant_of_the_study_can_be_built():
    for method, kind in (("PatchCore", PatchCore), ("PaDiM", PaDiM)):
        for changed in variants(method, Config()).values():
            kind(**changed)._check_parameters()


def test_fewer_images_are_picked_from_first_to_last(split):
    some = some_of(split, 3, 100)
    assert [split.train.index(sample) for sample in some.train] == [0, 4, 7]
    assert (some.val, some.test) == (split.val, split.test)


def test_unshifted_images_are_those_of_the_files(split):
    for sample, image in zip(
        split.test, shifted_images(split.test, None, 1), strict=True
    ):
        grey = as_pixels(read_image(sample.image_path), "one")
        np.testing.assert_array_equal(image[:, :, 1], np.round(255 * grey))
    settings = ShiftSettings().only("noise")
    first = list(shifted_images(split.test[:2], settings, 5))
    again = list(shifted_images(split.test[:2], settings, 5))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], next(shifted_images(split.test, None, 5)))


def test_every_part_stands_alone_and_all_grow():
    found = shift_variants(ShiftSettings(blur=None))
    parts = ("rotation", "crop", "translation", "colour", "illumination", "noise")
    assert list(found) == [
        "not shifted",
        *(f"{part}, moderate" for part in (*parts, "geometric", "photometric")),
        *(f"all parts, {severity}" for severity in ("mild", "moderate", "severe")),
    ]
    lit = found["illumination, moderate"]
    assert (lit.illumination_ratio, lit.noise) == (1.0, None)


def test_shifts_are_measured_beside_the_images_as_they_are(split):
    model = unfitted().fit([sample.image_path for sample in split.train])
    shifts = {"not shifted": None, "noise": ShiftSettings().only("noise")}
    found = ablate_shift({"PatchCore": model}, split.test, shifts, seed=3)
    paths, labels = [s.image_path for s in split.test], [s.label for s in split.test]
    before = model.score(paths)
    auroc = value(found, "auroc", setting="shift not shifted")
    assert auroc == pytest.approx(compute_auroc(labels, before))
    scores = model.score(list(shifted_images(split.test, shifts["noise"], 3)))
    test = delong_test(labels, scores, before)
    keys = {"setting": "shift noise", "versus": "not shifted"}
    assert value(found, "auroc", **keys) == test.difference


def test_every_pair_of_domains_is_measured(split):
    found = cross_shifts(CONFIG, split)
    found = found[(found["method"] == "PatchCore") & (found["versus"] == "")]
    assert len(found[["condition", "setting"]].drop_duplicates()) == 9
    labels = [sample.label for sample in split.test]
    auroc = found["value"].iloc[0]
    plain = scores_of(split, split.test)
    assert auroc == pytest.approx(compute_auroc(labels, plain))


def test_auroc_has_the_same_interval_wherever_it_is_measured(split):
    """A report prints one number from several files: the bounds must agree."""
    model = unfitted().fit([sample.image_path for sample in split.train])
    columns = ("value", "low", "high")
    judged = evaluate(model, split.val, random_state=CONFIG.seed)
    expected = [value(judged, "auroc", c) for c in columns]
    cost = measure_model(model, split)
    baseline = ablate("PatchCore", CONFIG, split, {})
    for table, setting in ((cost, ""), (baseline, "configured")):
        keys = {"setting": setting}
        assert [value(table, "val_auroc", c, **keys) for c in columns] == expected
    shares = cost.loc[cost["metric"] == "time_share", "value"]
    assert shares.sum() == pytest.approx(1.0)
    shifts = {"not shifted": None}
    first = ablate_shift({"PatchCore": model}, split.test, shifts, seed=42)
    judged = evaluate(model, split.test, random_state=42)
    keys = {"setting": "shift not shifted"}
    for column in columns:
        assert value(first, "auroc", column, **keys) == value(judged, "auroc", column)


def test_a_fitted_model_is_noted_as_it_is(split, tmp_path):
    model = unfitted(image_size=(64, 32), coreset=0.25, stages=(2,))
    found = fit_on_split(model, split, tmp_path / "m.adlib", setting="a")
    facts = model_facts(model)
    assert facts["stages"] == [{"stride": 8, "channels": 40}]
    assert facts["parameters"]["image_size"] == [64, 32]
    assert "device" not in facts["parameters"]
    expected = {"grid_height": 8, "grid_width": 4, "n_training": 8, "n_features": 40}
    expected |= {"n_patches": 8 * 32, "n_bank": 8 * 8, "n_embedded": 40}
    expected |= {"threshold": model.threshold_}
    for metric, number in expected.items():
        assert value(found, metric, setting="a") == number
    assert {path.name for path in tmp_path.iterdir()} == {"m.adlib", "m.json"}
    padim = new_detector("PaDiM", CONFIG, n_channels=20)
    found = fit_on_split(padim, split, tmp_path / "p.adlib", keep=False)
    assert value(found, "n_features") == 20
    assert not (tmp_path / "p.adlib").exists()


def test_separation_is_in_standard_deviations_and_tells_what_auroc_cannot():
    normal, near, far = (
        np.array([1.0, 3.0]),
        np.array([4.0, 6.0]),
        np.array([9.0, 11.0]),
    )
    assert separation(normal, near) == pytest.approx(3 / np.sqrt(2))
    assert separation(normal, far) == pytest.approx(8 / np.sqrt(2))
    assert separation(normal, near[:1]) is None
    assert separation(np.ones(2), np.full(2, 3.0)) is None
