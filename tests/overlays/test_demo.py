"""The demo on a few real solar cells."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from adlib import PatchCore
from adlib.datasets import ANOMALOUS, NORMAL, elpv_samples
from adlib.datasets._elpv import split_cells
from adlib.overlays._demo import run_demo

pytestmark = pytest.mark.slow


def cells_of(kind):
    """Ten defective and thirty functional cells."""
    cells = elpv_samples(kind)
    functional = [cell for cell in cells if cell.label == NORMAL]
    defective = [cell for cell in cells if cell.label == ANOMALOUS]
    return defective[:10] + functional[:30]


def small():
    return PatchCore(image_size=64, coreset=0.02, progress=False)


@pytest.fixture(scope="module")
def few_cells():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adlib.overlays._demo.elpv_samples", cells_of)
        yield


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def result(few_cells, told):
    return run_demo(small(), say=told.append)


def test_it_scores_what_it_did_not_learn(result):
    learned = set(result.model.training_images_)
    assert (len(learned), len(result.paths)) == (18, 12 + 10)
    assert not learned & set(result.paths)


def test_its_labels_are_the_experts(result):
    defective = {str(cell.image_path) for cell in cells_of("mono")[:10]}
    assert result.defective.tolist() == [path in defective for path in result.paths]
    assert int(result.defective.sum()) == 10


def test_its_numbers_fit_its_scores(result):
    np.testing.assert_array_equal(result.scores, result.model.score(result.paths))
    expected = roc_auc_score(result.defective, result.scores)
    assert result.auroc == pytest.approx(expected, abs=1e-12)
    assert result.fit_seconds > 0
    assert result.score_seconds > 0


def test_it_keeps_the_most_and_the_least_anomalous(result):
    ranked = np.argsort(result.scores, kind="stable").tolist()
    assert result.least == ranked[:6]
    assert result.most == ranked[::-1][:6]
    shown = {*result.most, *result.least}
    assert result.maps.keys() == shown
    for position in shown:
        assert result.maps[position].shape == (64, 64)


def test_it_says_what_it_does(result, told):
    assert told == [
        "Learning 18 functional mono cells ...",
        "Scoring 22 cells it has not seen ...",
    ]


def test_the_seed_governs_the_split(few_cells):
    splits = [split_cells(cells_of("mono"), random_state) for random_state in (0, 0, 1)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_polycrystalline_cells_can_be_taken_and_all_of_them_shown():
    def few(kind):
        cells = cells_of(kind)
        return cells[:2] + cells[10:15]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adlib.overlays._demo.elpv_samples", few)
        result = run_demo(small(), kind="poly")
    assert len(result.most) == len(result.least) == len(result.paths) == 4
    assert sorted(result.most) == list(range(4))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="one of 'mono', 'poly'; got 'wafer'"):
        run_demo(small(), kind="wafer")
