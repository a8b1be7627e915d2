"""What can be wrong with images and masks, how bad it is, and the remedy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from adlib._typing import AnyArray
from adlib.datasets._masks import Doubt, read_doubtful_mask
from adlib.datasets._samples import ANOMALOUS, Sample
from adlib.exceptions import ImageError
from adlib.images import read_image

# By kind, the remedy. An error makes a result wrong or impossible.
ERRORS = {
    "no training images": "Put normal images there to train on.",
    "no test images": "Put images there to test with.",
    "anomalous training image": "Move it to the test images.",
    "unreadable image": "Get it again from its publisher, or delete it.",
    "unreadable mask": "Get it again from its publisher.",
    "missing mask": "Get it from the publisher, draw it, or delete the image.",
    "orphan mask": "Restore its image, rename the mask, or delete it.",
    "mask size": "Resize the mask, or save the image upright.",
    "empty mask": "Draw the defect, or move the image to the good ones.",
    "shared by splits": "Keep it in one split: training images give no valid result.",
    "two labels": "Decide which is right and delete the other.",
}
# A warning is worth a look.
WARNINGS = {
    "one-sided test": "Add images of the other kind, or use no metric that needs both.",
    "mostly marked mask": "If normal pixels are the marked ones, invert it.",
    "lossy mask": "Save masks as PNG: lossy formats change the edges of defects.",
    "many-valued mask": "Is it a mask? Then save it as 0 where normal, else 255.",
    "mask without 0": "Save normal pixels as 0.",
    "mask in alpha": "Save it as grey without alpha: 0 where normal, else 255.",
    "duplicate image": "Delete one, unless it counts twice on purpose.",
    "unread image": "Move it into a folder of its kind, such as good, or delete it.",
    "not an image": "Move it out of the images, or delete it.",
    "published counts": "Download the class again, if it should be the published one.",
}
COLOURS = 3  # dimensions of an image with colours
SPLITS = ("train", "validation", "test")  # of equal images, the first is the original


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a data set; ``kind`` has a remedy in this module."""

    class_name: str
    kind: str
    path: Path
    text: str

    @property
    def severity(self) -> Literal["error", "warning"]:
        """Whether it breaks the data set ("error") or not ("warning")."""
        return "error" if self.kind in ERRORS else "warning"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return (ERRORS | WARNINGS)[self.kind]


class Finding(NamedTuple):
    """What is known of a sample once it was read.

    ``size`` is (height, width), None: it is unreadable; ``digest`` is equal for images
    that show the same, whatever the file's format.
    """

    sample: Sample
    size: tuple[int, int] | None
    digest: bytes
    problems: list[Problem]


def examine(sample: Sample, has_masks: bool) -> Finding:
    """Read an image and its mask; ``has_masks``: its class has some."""
    path, mask_path = sample.image_path, sample.mask_path
    found: list[Doubt] = []
    if sample.split == "train" and sample.label == ANOMALOUS:
        found.append(("anomalous training image", path, "is trained on"))
    size, digest = None, b""
    try:
        pixels = read_image(path)
        size, digest = (pixels.shape[0], pixels.shape[1]), _digest(pixels)
    except ImageError as error:
        found.append(("unreadable image", path, str(error)))
    if mask_path is not None:
        found += _mask_doubts(mask_path, size)
    elif sample.label == ANOMALOUS and has_masks and sample.split != "train":
        text = "is anomalous and has no mask, though others of its class have"
        found.append(("missing mask", path, text))
    problems = [Problem(sample.class_name, *doubt) for doubt in found]
    return Finding(sample, size, digest, problems)


def _mask_doubts(path: Path, size: tuple[int, int] | None) -> Iterator[Doubt]:
    """Yield what is wrong with the mask of an image of a size."""
    try:
        mask, doubts = read_doubtful_mask(path)
    except ImageError as error:
        yield "unreadable mask", path, str(error)
        return
    yield from doubts
    if size is not None and mask.shape != size:
        sizes = "is {}x{}, and its image {}x{} (height x width)"
        yield "mask size", path, sizes.format(*mask.shape, *size)
    if not mask.any():
        yield "empty mask", path, "marks no pixel of an anomalous image"


def _digest(pixels: AnyArray) -> bytes:
    """Return a sum of what an image shows, the same for grey and for grey as RGB."""
    if pixels.ndim == COLOURS and (pixels == pixels[:, :, :1]).all():
        pixels = pixels[:, :, 0]
    summed = hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode())
    summed.update(np.ascontiguousarray(pixels).data.cast("B"))
    return summed.digest()


def find_duplicates(findings: Iterable[Finding]) -> Iterator[Problem]:
    """Yield a problem for each image that shows the same as an earlier one."""
    in_class: dict[tuple[str, bytes], Sample] = {}
    in_any: dict[bytes, Sample] = {}
    readable = (found for found in findings if found.size is not None)
    for sample, _, digest, _ in sorted(
        readable, key=lambda found: SPLITS.index(found.sample.split)
    ):
        first = in_class.setdefault((sample.class_name, digest), sample)
        kind = "two labels" if first.label != sample.label else "duplicate image"
        if first.split != sample.split:
            kind = "shared by splits"
        if first is sample:  # of its class, perhaps not of all
            first = in_any.setdefault(digest, sample)
        if first is not sample:
            text = (
                f"({sample.split}, {sample.defect_type}) shows the same, pixel by "
                f"pixel, as {first.image_path} ({first.split}, {first.defect_type})"
            )
            yield Problem(sample.class_name, kind, sample.image_path, text)
