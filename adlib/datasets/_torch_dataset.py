"""Images and masks as a torch Dataset, for DataLoaders with workers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self, TypeAlias

import numpy as np
import torch
from torch.utils.data import Dataset

from adlib._validation import check_option, describe, refusal
from adlib.datasets._masks import read_mask
from adlib.datasets._samples import ANOMALOUS, NORMAL, Sample
from adlib.datasets._transforms import IndexedTransform, Transform, at
from adlib.exceptions import ImageError
from adlib.images import read_image
from adlib.images._pixels import as_pixels

Phase: TypeAlias = Literal["train", "val", "test"]
PHASES: tuple[Phase, ...] = ("train", "val", "test")
UNKNOWN = 255  # pixels of an anomalous image without a mask


class Entry(NamedTuple):
    """What the data set gives for one image.

    Attributes:
        image: (3, height, width) float32 in [0, 1], grey repeated.
        mask: (1, height, width) uint8: 0 normal, 1 anomalous, 255 unknown, because the
            image is anomalous and has no mask.
        label: 0 normal, 1 anomalous.
        image_path: Where the image is.
    """

    image: torch.Tensor
    mask: torch.Tensor
    label: int
    image_path: str


class MVTecDataset(Dataset[Entry]):
    """Images with masks, labels and paths; estimators take it as a source.

    Args:
        image_paths: The images.
        mask_paths: The mask of each, None where it has none; None: there are no masks.
        transform: Applied to image (1 or 3, height, width) and mask, (image, mask) ->
            (image, mask); one with a method ``at``, such as ``ShiftDomainTransform``,
            depends on the image's position in ``image_paths``. None: images keep their
            sizes, and a DataLoader can only batch them if these are equal.
        phase: "train" keeps the normal images alone; "val" and "test" keep all.
        labels: 0 normal, 1 anomalous, for each image. None: in training all are normal;
            else those with a mask are anomalous.

    Raises:
        ValueError: There are no images, lengths differ, a label is neither 0 nor 1, or
            labels cannot be known: no masks, and not in training.
        ImageError: When an image is asked for: it or its mask is unusable, or they
            differ in size.

    Note:
        It holds only paths, so that workers start quickly; ``pin_memory`` works.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> from adlib.datasets import MVTecDataset, get_clean_transforms
        >>> def loader(paths):
        ...     dataset = MVTecDataset(paths, None, get_clean_transforms(320), "train")
        ...     return DataLoader(dataset, 16, num_workers=2, pin_memory=True)
    """

    def __init__(
        self,
        image_paths: Sequence[str | os.PathLike[str]],
        mask_paths: Sequence[str | os.PathLike[str] | None] | None = None,
        transform: Transform | IndexedTransform | None = None,
        phase: Phase = "test",
        *,
        labels: Sequence[int] | None = None,
    ) -> None:
        owner = type(self).__name__
        check_option(phase, "phase", owner, PHASES)
        if isinstance(image_paths, str) or not len(image_paths):
            rule = "a list of paths, not empty"
            came = describe(image_paths)
            raise ValueError(refusal("image_paths", owner, rule, came))
        if mask_paths is None and labels is None and phase != "train":
            remedy = "Without masks pass labels, 0 normal and 1 anomalous."
            raise ValueError(refusal("labels", owner, "given", "None", remedy))
        masks = [None] * len(image_paths) if mask_paths is None else mask_paths
        if labels is None:
            labels = [NORMAL if mask is None else ANOMALOUS for mask in masks]
        for name, values in (("mask_paths", masks), ("labels", labels)):
            if len(values) != len(image_paths):
                rule = f"as long as image_paths ({len(image_paths)})"
                raise ValueError(refusal(name, owner, rule, f"{len(values)}"))
        if any(label not in (NORMAL, ANOMALOUS) for label in labels):
            rule = "0 (normal) or 1 (anomalous) for each image"
            raise ValueError(refusal("labels", owner, rule, describe(labels)))
        self.transform = transform
        self.phase = phase
        self._entries = [
            (index, Path(image), None if mask is None else Path(mask), int(label))
            for index, (image, mask, label) in enumerate(
                zip(image_paths, masks, labels, strict=True)
            )
            if phase != "train" or label == NORMAL
        ]
        if not self._entries:
            rule = 'normal for at least one image in phase "train"'
            raise ValueError(refusal("labels", owner, rule, describe(labels)))

    @classmethod
    def from_samples(
        cls,
        samples: Iterable[Sample],
        transform: Transform | IndexedTransform | None = None,
        phase: Phase = "test",
    ) -> Self:
        """Return the data set of some samples, e.g. of a part of a split.

        Args:
            samples: As ``read_samples`` gave them, in the order to keep.
            transform: As the constructor takes it.
            phase: "train" keeps the normal samples alone; "val" and "test" keep all.

        Returns:
            The data set, with the samples' own labels.

        Raises:
            ValueError: There are no samples, or no normal one in training.
        """
        listed = list(samples)
        return cls(
            [sample.image_path for sample in listed],
            [sample.mask_path for sample in listed],
            transform,
            phase,
            labels=[sample.label for sample in listed],
        )

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, position: int) -> Entry:
        """Return image, mask, label and path."""
        index, image_path, mask_path, label = self._entries[position]
        pixels = as_pixels(read_image(image_path), str(image_path))
        grey = pixels.ndim == 2  # noqa: PLR2004 - dimensions
        planes = pixels[None] if grey else pixels.transpose(2, 0, 1)
        image = torch.from_numpy(np.ascontiguousarray(planes))
        mask = torch.from_numpy(_mask(mask_path, label, pixels.shape[:2], image_path))
        if self.transform is not None:
            image, mask = at(self.transform, index)(image, mask)
        if len(image) == 1:  # at last, so that transforms have less to do
            image = image.expand(3, -1, -1).contiguous()
        return Entry(image, mask, label, str(image_path))


def _mask(
    path: Path | None, label: int, size: tuple[int, ...], image_path: Path
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the mask of an image of a size, (1, height, width) uint8."""
    if path is None:
        value = NORMAL if label == NORMAL else UNKNOWN
        return np.full((1, *size), value, np.uint8)
    mask = read_mask(path)
    if mask.shape != size:
        raise ImageError(
            f"{path} must be as large as its image {image_path}, {size[0]}x{size[1]} "
            f"(height x width); it is {mask.shape[0]}x{mask.shape[1]}."
        )
    return mask[None].astype(np.uint8)
