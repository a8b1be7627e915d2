"""Variants differ in what they say they do, and are judged on the same images."""

from __future__ import annotations

import numpy as np
import pytest

from adlib import PaDiM, PatchCore
from adlib.datasets import ShiftSettings
from adlib.datasets._splits import ClassSplit
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.metrics import compute_auroc, delong_test
from adlib.study import (
    Config,
    Variant,
    ablate,
    ablate_shift,
    ablation_table,
    cross_shifts,
    evaluate,
    measure_model,
    padim_variants,
    patchcore_variants,
    shift_table,
    shift_variants,
    shifted_images,
    some_of,
)


def unfitted(**parameters):
    return PatchCore(
        **{"image_size": 64, "coreset": 0.3, "progress": False} | parameters
    )


def test_each_row_is_what_fitting_the_variant_gives(split):
    variants = [
        Variant("coreset", "10 %", {"coreset": 0.1}),
        Variant("aggregation", "maximum", {"aggregation": "max"}),
    ]
    rows = list(ablate(unfitted(), variants, split))
    assert [row.group for row in rows] == ["as configured", "coreset", "aggregation"]
    train, val = ([s.image_path for s in part] for part in (split.train, split.val))
    labels = [s.label for s in split.val]
    configured = unfitted().fit(train).score(val)
    for row, changed in zip(
        rows, ({}, {"coreset": 0.1}, {"aggregation": "max"}), strict=True
    ):
        scores = unfitted(**changed).fit(train).score(val)
        assert row.auroc == pytest.approx(compute_auroc(labels, scores))
        assert (row.n_training, row.n_judged) == (8, 12)
        if changed:
            test = delong_test(labels, scores, configured)
            assert (row.difference, row.p_value) == (test.difference, test.p_value)
    assert rows[0].difference_low is None
    assert rows[2].fit_seconds is None  # nothing was learned anew
    assert rows[1].fit_seconds > 0
    assert rows[1].aupro is None  # no masks
    assert "coreset 10 %" in ablation_table(rows)


def test_every_variant_of_the_study_can_be_built():
    config = Config()
    for model, variants in (
        (PatchCore, patchcore_variants(config)),
        (PaDiM, padim_variants(config)),
    ):
        names = [(variant.group, variant.name) for variant in variants]
        assert len(set(names)) == len(names)
        for variant in variants:
            model(**variant.changed)._check_parameters()


def test_validation_images_of_one_kind_are_refused(split):
    normal = tuple(s for s in split.val if not s.label)
    alone = ClassSplit("plate", 0, split.train, normal, ())
    with pytest.raises(ValueError, match="normal and anomalous validation images"):
        next(ablate(unfitted(), [], alone))


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
    found = list(shift_variants(ShiftSettings(blur=None)))
    names = [name for name, _, _ in found]
    assert names[:6] == [
        *("rotation", "crop", "translation", "colour"),
        *("illumination", "noise"),
    ]
    assert [level for name, level, _ in found if name == "all parts"] == [
        *("mild", "moderate", "severe"),
    ]
    lit = dict(zip(names, found, strict=True))["illumination"][2]
    assert lit.illumination_ratio == 1.0
    assert lit.noise is None


def test_shifts_are_judged_beside_the_images_as_they_are(split):
    model = unfitted().fit([sample.image_path for sample in split.train])
    settings = ShiftSettings().only("noise", "colour")
    rows = list(ablate_shift({"PatchCore": model}, split.test, settings, seed=3))
    assert rows[0].judged_on == "not shifted"
    paths, labels = [s.image_path for s in split.test], [s.label for s in split.test]
    before = model.score(paths)
    assert rows[0].auroc == pytest.approx(compute_auroc(labels, before))
    noise = next(row for row in rows if row.judged_on == "noise")
    scores = model.score(list(shifted_images(split.test, settings.only("noise"), 3)))
    assert noise.difference == delong_test(labels, scores, before).difference
    assert "noise" in shift_table(rows)


def test_every_pair_of_domains_is_judged(split):
    settings = ShiftSettings()
    rows = list(cross_shifts({"PatchCore": unfitted()}, split, settings, seed=3))
    pairs = [(row.learned_from, row.judged_on) for row in rows]
    assert len(set(pairs)) == len(pairs) == 9
    train = [sample.image_path for sample in split.train]
    plain = unfitted().fit(train).score([sample.image_path for sample in split.test])
    labels = [sample.label for sample in split.test]
    assert rows[0].auroc == pytest.approx(compute_auroc(labels, plain))


def test_auroc_has_the_same_interval_wherever_it_is_measured(split):
    """A report prints one figure from several files: the bounds must agree."""
    model = unfitted().fit([sample.image_path for sample in split.train])
    baseline = next(ablate(unfitted(), [], split))
    cost, _ = measure_model(model, split.val, class_name="plate")
    expected = evaluate(model, split.val).image.auroc
    found = [(one.auroc, one.auroc_low, one.auroc_high) for one in (baseline, cost)]
    assert found == [expected[:3]] * 2
    first = next(ablate_shift({"PatchCore": model}, split.test, ShiftSettings()))
    judged = evaluate(model, split.test, random_state=42).image.auroc
    assert (first.auroc, first.auroc_low, first.auroc_high) == judged[:3]
