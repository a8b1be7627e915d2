"""Decode one image and its mask, and tell what is wrong with them."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

from adlib._typing import AnyArray
from adlib.datasets._masks import read_doubtful_mask
from adlib.datasets._problems import Problem
from adlib.datasets._samples import ANOMALOUS, Sample
from adlib.exceptions import ImageError
from adlib.images import read_image

COLOURS = 3  # dimensions of an image with colours


class Finding(NamedTuple):
    """What is known of a sample once it was read.

    Attributes:
        sample: The sample.
        size: Its (height, width) in pixels; None: it is unreadable.
        digest: The same for images that show the same, whatever the file's format.
        problems: What is wrong with the image and its mask.
    """

    sample: Sample
    size: tuple[int, int] | None
    digest: bytes
    problems: list[Problem]


def examine(sample: Sample, *, has_masks: bool) -> Finding:
    """Read an image and its mask; ``has_masks``: its class has some."""
    problems: list[Problem] = []
    size, digest = None, b""
    try:
        pixels = read_image(sample.image_path)
    except ImageError as error:
        problems.append(
            Problem(
                sample.class_name, "unreadable image", sample.image_path, str(error)
            )
        )
    else:
        size = (pixels.shape[0], pixels.shape[1])
        digest = _digest(pixels)
    if sample.mask_path is not None:
        problems += _mask_problems(sample, size)
    elif sample.label == ANOMALOUS and has_masks and sample.split != "train":
        text = "is anomalous and has no mask, though others of its class have"
        problems.append(
            Problem(sample.class_name, "missing mask", sample.image_path, text)
        )
    return Finding(sample, size, digest, problems)


def _mask_problems(sample: Sample, size: tuple[int, int] | None) -> list[Problem]:
    path = sample.mask_path
    assert path is not None
    name = sample.class_name
    try:
        mask, doubts = read_doubtful_mask(path)
    except ImageError as error:
        return [Problem(name, "unreadable mask", path, str(error))]
    problems = [Problem(name, kind, path, text) for kind, text in doubts]
    if size is not None and mask.shape != size:
        text = "is {}x{}, and its image {}x{} (height x width)".format(
            *mask.shape, *size
        )
        problems.append(Problem(name, "mask size", path, text))
    if not mask.any():
        text = "marks no pixel of an anomalous image"
        problems.append(Problem(name, "empty mask", path, text))
    return problems


def _digest(pixels: AnyArray) -> bytes:
    """Return a sum of what an image shows, the same for grey and for grey as RGB."""
    if pixels.ndim == COLOURS:
        grey = pixels[:, :, 0]
        if all(np.array_equal(grey, pixels[:, :, i]) for i in (1, 2)):
            pixels = grey
    summed = hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode())
    summed.update(np.ascontiguousarray(pixels).data.cast("B"))
    return summed.digest()
