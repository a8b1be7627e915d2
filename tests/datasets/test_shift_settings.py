"""Settings state what a shift draws from, and refuse what it could not."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from adlib.datasets import ShiftSettings
from adlib.datasets._shift_settings import GEOMETRIC, PARTS


def off(settings):
    return {part for part in PARTS if getattr(settings, part) is None}


def test_the_defaults_are_the_studys():
    assert asdict(ShiftSettings()) == {
        "rotation": (-10, 10),
        "crop": (0.9, 1.0),
        "translation": (-0.03, 0.03),
        "colour": (0.7, 1.3),
        "illumination": (0.4, 0.7),
        "illumination_ratio": 0.5,
        "blur": (3, 5),
        "noise": (0.01, 0.05),
        "backend": "torchvision",
    }


def test_settings_come_back_from_what_json_has_of_them():
    settings = ShiftSettings(rotation=None, noise=(0.0, 0.1))
    kept = json.loads(json.dumps(asdict(settings)))
    assert ShiftSettings(**kept) == settings


def test_parts_are_switched_off_by_name():
    settings = ShiftSettings()
    assert off(settings.only(*GEOMETRIC)) == set(PARTS) - set(GEOMETRIC)
    with pytest.raises(ValueError, match="parts of only must be one of 'rotation'"):
        settings.only("hue")


def test_severity_stretches_every_range_from_where_it_changes_nothing():
    mild, severe = (ShiftSettings().scaled(name) for name in ("mild", "severe"))
    assert mild.rotation == (-5, 5)
    assert mild.crop == (0.95, 1.0)
    assert mild.colour == pytest.approx((0.85, 1.15))
    assert mild.blur == (2, 3)
    assert severe.noise == pytest.approx((0.015, 0.075))
    assert severe.illumination == pytest.approx((0.6, 0.95))  # 1.05 is cut
    assert ShiftSettings().scaled("moderate") == ShiftSettings()
    assert ShiftSettings(noise=None).scaled(3.0).noise is None


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"rotation": 10}, TypeError, "rotation of ShiftSettings must be two numbers"),
        ({"crop": (0.9, 1.1)}, ValueError, r"crop of ShiftSettings must be .*\[0.1, 1"),
        ({"noise": (0.5, 0.1)}, ValueError, "the lower one first"),
        ({"blur": (3, 4, 5)}, ValueError, "blur of ShiftSettings"),
        ({"colour": ("a", "b")}, TypeError, "colour of ShiftSettings"),
        ({"illumination_ratio": 1.5}, ValueError, "illumination_ratio"),
    ],
)
def test_an_impossible_range_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        ShiftSettings(**given)


def test_an_impossible_severity_is_refused():
    with pytest.raises(ValueError, match="severity of scaled must be one of 'mild'"):
        ShiftSettings().scaled("extreme")
    with pytest.raises(ValueError, match="severity of scaled must be a finite number"):
        ShiftSettings().scaled(0.0)
