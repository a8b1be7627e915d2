"""What changes between conditions is measured on the same images."""

from __future__ import annotations

import numpy as np
import pytest

from adlib.metrics import compute_auroc, compute_f1_at_threshold, delong_test
from adlib.study import (
    ImageScores,
    changes,
    changes_table,
    mean_changes,
    read_scores,
    write_scores,
)

Y = np.repeat([False, True], 20)
KINDS = ("good",) * 20 + ("crack",) * 20
NAMES = tuple(f"{i:03}.png" for i in range(20)) * 2
TWINS = tuple(
    f"{kind}_{name[:-4]}_shifted.png" for kind, name in zip(KINDS, NAMES, strict=True)
)


def scored(scores, threshold, *, method="PaDiM", class_name="nut", images=NAMES):
    values = np.asarray(scores, np.float64)
    called = values > threshold
    return ImageScores(method, class_name, images, KINDS, Y, values, called)


@pytest.fixture
def both():
    rng = np.random.default_rng(0)
    return rng.normal(3.0 * Y), rng.normal(1.0 * Y + 1)


def test_figures_are_those_of_the_metrics(both):
    before, after = both
    (found,) = changes([scored(before, 1.0)], [scored(after, 1.5, images=TWINS)])
    test = delong_test(Y, after, before)
    auroc = found.figures["image_auroc"]
    assert auroc.after - auroc.before == pytest.approx(auroc.difference)
    assert auroc.before == compute_auroc(Y, before)
    assert (auroc.low, auroc.high, found.p_value) == (test.low, test.high, test.p_value)
    f1 = found.figures["image_f1"]
    assert f1.before == pytest.approx(compute_f1_at_threshold(Y, before, 1.0))
    assert f1.after == pytest.approx(compute_f1_at_threshold(Y, after, 1.5))
    assert f1.low < f1.difference < f1.high < 0.1
    assert found.figures["image_specificity"].after == np.mean(after[~Y] <= 1.5)
    assert found.figures["image_recall"].after == np.mean(after[Y] > 1.5)
    assert "-0." in changes_table([found], ["image_f1"])


def test_no_change_has_no_spread(both):
    one = scored(both[0], 1.0)
    (found,) = changes([one], [one])
    assert found.p_value == 1.0
    for figure in found.figures.values():
        assert (figure.difference, figure.low, figure.high) == (0.0, 0.0, 0.0)


def test_models_are_matched_by_name_and_averaged_over_classes(both):
    first = [scored(both[0], 1.0, class_name=name) for name in ("nut", "pill")]
    second = [scored(both[1], 1.5, class_name=name) for name in ("pill", "nut")]
    found = changes(first, second)
    assert [one.class_name for one in found] == ["nut", "pill"]
    mean = mean_changes(found)["PaDiM"]["image_f1"]
    assert mean == pytest.approx(found[0].figures["image_f1"].difference)


def test_skipped_images_count_in_neither(both):
    holed = both[0].copy()
    holed[[3, 30]] = np.nan
    (found,) = changes([scored(holed, 1.0)], [scored(both[1], 1.5)])
    assert found.n_images == 38


def test_other_images_and_models_are_refused(both):
    one, other = (scored(values, 1.0) for values in both)
    with pytest.raises(ValueError, match="methods and classes of before"):
        changes([one], [scored(both[1], 1.0, method="PatchCore")])
    swapped = scored(both[1], 1.0, images=(TWINS[1], TWINS[0], *TWINS[2:]))
    with pytest.raises(ValueError, match="images of 'nut'"):
        changes([one], [swapped])
    assert changes([other], [one])


def test_scores_come_back_from_their_file(both, tmp_path):
    holed = both[0].copy()
    holed[5] = np.nan
    written = [scored(holed, 1.0), scored(both[1], 1.5, class_name="pill, large")]
    path = tmp_path / "results" / "scores.csv"
    write_scores(written, path)
    for before, after in zip(written, read_scores(path), strict=True):
        assert before.class_name == after.class_name
        assert before.images == after.images
        assert before.defect_types == after.defect_types
        np.testing.assert_array_equal(before.scores, after.scores)
        np.testing.assert_array_equal(before.called, after.called)
        np.testing.assert_array_equal(before.anomalous, after.anomalous)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="must hold the columns method"):
        read_scores(path)
