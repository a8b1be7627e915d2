"""Each stage's seconds are those between its two looks at the clock."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sklearn.exceptions import NotFittedError

from adlib import PatchCore
from adlib.estimators import _stage_times, stage_seconds
from adlib.estimators._stage_times import STAGES


def test_each_stage_has_the_time_between_its_ends(monkeypatch, fitted, folder):
    ticks = iter([0.0, 1.0, 3.0, 7.0, 15.0, 31.0, *range(100, 106)])
    clock = SimpleNamespace(perf_counter=lambda: next(ticks))
    monkeypatch.setattr(_stage_times, "time", clock)
    found = list(stage_seconds(fitted, [folder / "0.png", folder / "1.png"]))
    assert [tuple(times) for times in found] == [STAGES, STAGES]
    assert list(found[0].values()) == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert list(found[1].values()) == [1.0] * 5


def test_before_fit_there_is_nothing_to_time(folder):
    with pytest.raises(NotFittedError):
        next(stage_seconds(PatchCore(), [folder / "0.png"]))
