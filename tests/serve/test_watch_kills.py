"""A process that is killed loses nothing and does nothing twice."""

from __future__ import annotations

import pytest

from benchmarks import watch_faults

NONE = {"lost": 0, "twice": 0, "of no whole image": 0, "other scores": 0}
NONE |= {"table lacks": 0, "table twice": 0, "webhook lacks": 0}
MOVED = {"moved twice": 0, "left in the folder": 0, "moved elsewhere": 0}


@pytest.mark.slow
@pytest.mark.parametrize("move", [False, True])
def test_twenty_kills_lose_nothing_and_do_nothing_twice(tmp_path, move):
    model = watch_faults.model_in(tmp_path, exported=True)
    line = watch_faults.Line(tmp_path / "line", model)
    found = watch_faults.kills(line, 20, 0, move=move)
    assert found["kills"] > 15
    assert found["judged between kills"] > 20
    wanted = NONE | (MOVED if move else {})
    assert {name: found[name] for name in wanted} == wanted
