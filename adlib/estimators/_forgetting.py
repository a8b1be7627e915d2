"""Which training images are to be forgotten."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np

from adlib._typing import BoolArray
from adlib._validation import describe, refusal


def check_names(value: object, known: Iterable[str], owner: str) -> set[str]:
    """Return names that are all known, at least one, or raise."""
    rule = "a list of at least one name of training_images_"
    if isinstance(value, str | os.PathLike) or not isinstance(value, Iterable):
        remedy = "Pass a list, of one name too."
        raise TypeError(refusal("names", owner, rule, describe(value), remedy))
    names = list(value)
    for name in names:
        if not isinstance(name, str | os.PathLike):
            raise TypeError(refusal("names", owner, rule, f"{describe(name)} in it"))
    asked = {str(os.fspath(name)) for name in names}
    listed = list(known)
    unknown = sorted(asked.difference(listed))
    if unknown or not asked:
        came = f"{unknown[0]!r}, of which nothing is stored" if unknown else "none"
        if len(unknown) > 1:
            came = f"{came}, and {len(unknown) - 1} more such"
        remedy = f"Names are written as {listed[0]!r}." if listed else ""
        raise ValueError(refusal("names", owner, rule, came, remedy))
    return asked


def to_forget(asked: set[str], images: list[str], digests: list[str]) -> BoolArray:
    """Return which images are asked for, or copies of such, (n_images,)."""
    pairs = list(zip(images, digests, strict=True))
    copied = {digest for name, digest in pairs if digest and name in asked}
    return np.array([name in asked or digest in copied for name, digest in pairs])
