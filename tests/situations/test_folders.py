"""What people call a folder of images."""

from __future__ import annotations

import pytest

from tests.situations.situation import check, works

SITUATIONS = {
    "hidden files lie beside the images": works(
        lambda place: (
            place.write("new/a.png", place.good[0]),
            place.write("new/._a.png", place.good[1]),
            len(place.model.score(place.folder / "new")) == 1,
        )[-1]
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    check(SITUATIONS[name], place)
