"""One thing that people do to adlib, and what comes of it.

A situation *works* (what it does returns something true, and nothing warns), is
*refused* (one error that says what to do), or is *warned* of (one warning that says it,
and the work goes on). Each module ``test_*.py`` beside this one has a table of them,
``SITUATIONS``; ``python -m tests.situations`` lists all.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import pytest
from PIL import Image

from adlib import PatchCore
from adlib.cli import main
from adlib.exceptions import InputWarning

Outcome: TypeAlias = Literal["works", "refused", "warned"]
OUTCOMES = get_args(Outcome)


class RefusedError(Exception):
    """A command ended with an error; the text is what it printed."""


class Output(NamedTuple):
    """What a command printed."""

    out: str
    err: str


class Place:
    """What a situation may use.

    Attributes:
        folder: An empty folder of its own.
        good: Six good images, (6, 64, 64) uint8.
        model: A fitted PatchCore without a threshold, which may be changed.
    """

    def __init__(self, folder: Path, good: np.ndarray, fitted: PatchCore, capture: Any):
        self.folder, self.good, self.model = folder, good, copy.copy(fitted)
        self._capture = capture

    def write(self, name: str, image: np.ndarray, **options: Any) -> Path:
        """Write an image below the folder, by Pillow, as its suffix says."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, **options)
        return path

    def write_good(self, name: str = "good") -> Path:
        """Write the good images as PNG into a folder below the folder."""
        for number, image in enumerate(self.good):
            self.write(f"{name}/{number}.png", image)
        return self.folder / name

    def run(self, *words: object) -> Output:
        """Run ``adlib`` with these words.

        An error is raised as ``RefusedError``, a warning line comes as a warning.
        """
        self._capture.readouterr()
        code = main([str(word) for word in words])
        output = Output(*self._capture.readouterr())
        lines = output.err.splitlines()
        errors = [line for line in lines if line.lower().startswith("error")]
        assert "Traceback" not in output.err
        if code not in (0, 3):
            raise RefusedError(output.err + output.out)
        assert not errors
        for line in lines:
            if line.startswith("warning: "):
                warnings.warn(line, InputWarning, stacklevel=2)
        return output


class Situation(NamedTuple):
    """What somebody does, what comes of it, and what the error or warning says."""

    does: Callable[[Place], Any]
    outcome: Outcome
    says: str = ""


def works(does: Callable[[Place], Any]) -> Situation:
    """Return a situation that goes well; ``does`` returns whether it did."""
    return Situation(does, "works")


def refused(does: Callable[[Place], Any], says: str) -> Situation:
    """Return a situation that is an error; ``says`` is a pattern of its message."""
    return Situation(does, "refused", says)


def warned(does: Callable[[Place], Any], says: str) -> Situation:
    """Return a situation that goes on with one warning; ``says`` is its pattern."""
    return Situation(does, "warned", says)


def check(situation: Situation, place: Place) -> None:
    """Do what a situation does, and fail unless what comes of it is as stated."""
    if situation.outcome == "refused":
        with pytest.raises(Exception, match=situation.says) as caught:
            situation.does(place)
        kinds = (ValueError, TypeError, OSError, RuntimeError, ImportError)
        assert isinstance(caught.value, (RefusedError, *kinds))
        assert not isinstance(caught.value, NotImplementedError)
    elif situation.outcome == "warned":
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert situation.does(place)
        told = [str(warning.message) for warning in caught]
        assert len(told) == 1, told
        assert issubclass(caught[0].category, InputWarning)
        assert re.search(situation.says, told[0], re.DOTALL), told[0]
    else:
        assert situation.does(place)
