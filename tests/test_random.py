"""The generators that libraries share are seeded for a block, and put back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adlib._random import numpy_seeded, torch_seeded

SEEDED = {
    "torch": (torch_seeded, lambda: torch.rand(3).tolist()),
    "numpy": (numpy_seeded, lambda: np.random.random(3).tolist()),  # noqa: NPY002
}


@pytest.mark.parametrize("library", list(SEEDED))
def test_a_seed_decides_what_is_drawn(library):
    seeded, draw = SEEDED[library]
    drawn = []
    for seed in (0, 0, 1, None, None, 2):
        with seeded(seed):
            drawn.append(draw())
    assert drawn[0] == drawn[1]
    assert len(set(map(tuple, drawn))) == 5


@pytest.mark.parametrize("library", list(SEEDED))
def test_the_callers_generator_is_put_back(library):
    seeded, draw = SEEDED[library]
    with seeded(3):
        expected = [draw(), draw()]
    with seeded(3):
        found = [draw()]
        with pytest.raises(ZeroDivisionError), seeded(None):
            1 / len(draw()[3:])
        found.append(draw())
    assert found == expected
