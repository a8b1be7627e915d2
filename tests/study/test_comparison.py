"""Methods are compared on the images that both scored, class by class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adlib.datasets import Sample
from adlib.metrics import compute_auroc, delong_test
from adlib.metrics._paired_tests import corrected_p_values, paired_t_test
from adlib.study import Predictions, Run, compare_methods, comparison_table, evaluate

Y = np.repeat([0, 1], 15)


def run(method, class_name, scores):
    samples = [
        Sample(Path(f"{i}.png"), int(label), "good", None, class_name, "test")
        for i, label in enumerate(Y)
    ]
    kept = Predictions.from_scores(scores, samples)
    found = evaluate(kept, samples, 0.5, method=method, n_resamples=50)
    return Run(method, class_name, 0.5, kept, kept, found)


def runs(method, seed, gap=1.0):
    rng = np.random.default_rng(seed)
    return [run(method, name, rng.normal(gap * Y)) for name in ("nut", "pill")]


def test_every_test_is_that_of_the_metrics():
    first, second = runs("one", 0, 2.0), runs("two", 1)
    found = compare_methods(first, second[::-1])
    assert found.methods == ("one", "two")
    for one, a, b in zip(found.classes, first, second, strict=True):
        assert one.class_name == a.class_name
        assert one.delong == delong_test(Y, a.test.scores, b.test.scores)
        assert one.auroc[1] == compute_auroc(Y, b.test.scores)
        assert 0 < one.permutation_p <= 1
    raw = [one.delong.p_value for one in found.classes]
    assert [one.corrected_p for one in found.classes] == list(corrected_p_values(raw))
    aurocs = np.array([one.auroc for one in found.classes])
    assert found.over_classes == paired_t_test(aurocs[:, 0], aurocs[:, 1])
    lines = comparison_table(found).splitlines()
    assert [line.split()[0] for line in lines] == ["class", "nut", "pill", "Mean"]


def test_images_that_either_skipped_do_not_count():
    scores = np.random.default_rng(3).normal(Y)
    holed = scores.copy()
    holed[[2, 20]] = np.nan
    found = compare_methods([run("one", "nut", holed)], [run("two", "nut", scores)])
    assert found.classes[0].n_images == 28
    assert found.classes[0].delong.difference == 0.0
    assert found.over_classes is None
    assert found.as_dict()["over_classes"] is None


def test_other_classes_and_images_are_refused():
    first, second = runs("one", 0), runs("two", 1)
    with pytest.raises(ValueError, match="each class of first, nut, pill; got nut"):
        compare_methods(first, second[:1])
    with pytest.raises(ValueError, match="got none"):
        compare_methods([], [])
    other = run("two", "nut", np.arange(30.0))
    changed = Predictions(other.test.samples[::-1], other.test.scores, None, {})
    mixed = Run("two", "nut", 0.5, changed, changed, other.evaluation)
    with pytest.raises(ValueError, match="same test images of 'nut'"):
        compare_methods(first[:1], [mixed])
