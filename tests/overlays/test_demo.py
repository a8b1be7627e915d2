"""The demo on a few real solar cells."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from adlib import PatchCore
from adlib.datasets._elpv import elpv_cells, split_cells
from adlib.overlays._demo import run_demo, write_demo_page

pytestmark = pytest.mark.slow


def cells_of(kind):
    """Thirty functional, ten defective and five doubtful cells."""
    cells = elpv_cells(kind)
    doubtful = [c for c in cells if c.defect_probability not in {0.0, 1.0}]
    functional = [c for c in cells if c.defect_probability == 0.0]
    defective = [c for c in cells if c.defect_probability == 1.0]
    return doubtful[:5] + defective[:10] + functional[:30]


def small():
    return PatchCore(image_size=64, coreset=0.02, progress=False)


@pytest.fixture(scope="module")
def few_cells():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adlib.overlays._demo.elpv_cells", cells_of)
        yield


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def result(few_cells, told):
    return run_demo(small(), n_training=20, n_shown=4, say=told.append)


def test_it_scores_what_it_did_not_learn(result):
    learned = set(result.model.training_images_)
    assert (len(learned), result.n_training) == (20, 20)
    assert len(result.paths) == 20
    assert not learned & set(result.paths)
    doubtful = {str(cell.path) for cell in cells_of("mono")[:5]}
    assert not doubtful & (learned | set(result.paths))


def test_its_labels_are_the_experts(result):
    defective = {str(c.path) for c in cells_of("mono") if c.defect_probability == 1.0}
    assert result.defective.tolist() == [path in defective for path in result.paths]
    assert int(result.defective.sum()) == 10


def test_its_numbers_fit_its_scores(result):
    np.testing.assert_array_equal(result.scores, result.model.score(result.paths))
    assert result.auroc == roc_auc_score(result.defective, result.scores)
    assert result.fit_seconds > 0
    assert result.score_seconds > 0


def test_it_keeps_the_most_and_the_least_anomalous(result):
    ranked = np.argsort(result.scores, kind="stable").tolist()
    assert result.least == ranked[:4]
    assert result.most == ranked[::-1][:4]
    shown = {*result.most, *result.least}
    assert result.maps.keys() == result.explanations.keys() == shown
    for position in shown:
        assert result.explanations[position].path == result.paths[position]
        assert result.maps[position].shape == (64, 64)


def test_it_says_what_it_does(result, told):
    assert told == [
        "Learning 20 functional mono cells ...",
        "Scoring 20 cells it has not seen ...",
    ]


def test_the_seed_governs_the_split(few_cells):
    splits = [
        split_cells(cells_of("mono"), n_training=20, random_state=random_state)
        for random_state in (0, 0, 1)
    ]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_sixty_percent_are_learned_unless_told_otherwise():
    training, held_out = split_cells(cells_of("mono"), random_state=0)
    assert (len(training), len(held_out)) == (18, 12 + 10)


def test_polycrystalline_cells_can_be_taken_and_all_of_them_shown(few_cells, tmp_path):
    result = run_demo(small(), kind="poly", n_training=25, n_shown=50)
    assert len(result.most) == len(result.least) == len(result.paths) == 15
    assert sorted(result.most) == list(range(15))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="one of 'mono', 'poly'; got 'wafer'"):
        run_demo(small(), kind="wafer")


def test_its_result_makes_a_page(result, tmp_path):
    text = write_demo_page(result, tmp_path).read_text("utf-8")
    assert "20 photographs of functional cells" in text
    assert "nan" not in text.lower()
