"""The picks of a selection on disk, so that another process can go on from them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from adlib._typing import Int64Array
from adlib._validation import refusal

KIND = "adlib picks 1"


class Picks:
    """A file of one line for what is selected from, and one for each round's picks.

    A line that was not finished when its process was killed does not count.
    """

    def __init__(self, path: str | os.PathLike[str] | None, owner: str) -> None:
        """Take the file's path, or raise; with None nothing is read or written."""
        self._path, self._owner = None if path is None else Path(path), owner
        if self._path is not None and (
            self._path.is_dir() or not self._path.parent.is_dir()
        ):
            rule = "None or a file, in a folder that is there"
            raise ValueError(refusal("picks", owner, rule, repr(str(path))))

    def open(self, fingerprint: str, size: int, seed: int | None) -> Int64Array:
        """Return the picks that are in the file, none where there is none.

        They must be of points with this hash, for a coreset of this size and seed.
        """
        none = np.empty(0, np.int64)
        if self._path is None:
            return none
        header = [KIND, fingerprint, size, seed]
        if not self._path.exists():
            self._path.write_text(json.dumps(header) + "\n")
            return none
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        try:
            found, *lines = [json.loads(line) for line in whole.splitlines()]
            picks = [pick for line in lines for pick in line]
            known = np.array(picks, np.int64)
        except (ValueError, TypeError):
            raise self._refused("other content") from None
        if found != header:
            raise self._refused("the picks of another one")
        if len(whole) < len(content):
            with self._path.open("r+b") as file:
                file.truncate(len(whole))
        return known

    def add(self, picks: Int64Array) -> None:
        """Write the picks of a round."""
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(picks.tolist()) + "\n")

    def remove(self) -> None:
        """Delete the file, which nobody needs once the fit is done."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _refused(self, came: str) -> ValueError:
        rule = "a new file, or one that a fit of the same images and parameters left"
        remedy = "Delete it, or name another one."
        text = f"{str(self._path)!r}, which holds {came}"
        return ValueError(refusal("picks", self._owner, rule, text, remedy))
