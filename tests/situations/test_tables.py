"""The tables of situations as a whole."""

from __future__ import annotations

from tests.situations.__main__ import tables
from tests.situations.situation import OUTCOMES


def test_there_are_many_situations_of_every_outcome():
    found = [one for table in tables().values() for one in table.values()]
    assert len(found) >= 400
    assert {one.outcome for one in found} == set(OUTCOMES)


def test_what_is_refused_or_warned_of_says_something():
    for table in tables().values():
        for name, one in table.items():
            assert bool(one.says) == (one.outcome != "works"), name
