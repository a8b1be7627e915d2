"""Images and masks as a torch Dataset, for DataLoaders with workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import (
    Any,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    TypeAlias,
    runtime_checkable,
)

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision import tv_tensors

from adlib._typing import AnyArray
from adlib._validation import (
    check_bool,
    check_image_size,
    check_option,
    describe,
    refusal,
)
from adlib.datasets._masks import read_mask
from adlib.datasets._samples import ANOMALOUS, NORMAL, Sample
from adlib.exceptions import ImageError
from adlib.images import read_image
from adlib.images._pixels import as_pixels, resize

Phase: TypeAlias = Literal["train", "val", "test"]
PHASES: tuple[Phase, ...] = ("train", "val", "test")
OWNER = "MVTecDataset"
V2 = "torchvision.transforms.v2"
UNKNOWN = 255  # pixels of an anomalous image without a mask
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Transform: TypeAlias = Callable[..., Any]  # (image, mask) -> (image, mask), and others


@runtime_checkable
class IndexedTransform(Protocol):
    """A transform that depends on the image's number, such as a shift."""

    def at(self, index: int) -> Transform:
        """Return the transform of one image."""
        ...


class Entry(NamedTuple):
    """What the data set gives for one image."""

    image: torch.Tensor  # (3, height, width) float32 in [0, 1], grey repeated
    mask: torch.Tensor  # (1, height, width) uint8: 0 normal, 1 anomalous, 255 unknown
    label: int  # 0 normal, 1 anomalous
    image_path: str


class MVTecDataset(Dataset[Entry]):
    """Images with masks, labels and paths; estimators take it as a source.

    Args:
        image_paths: The images.
        mask_paths: The mask of each, None where it has none; None: there are no masks.
        transform: Applied to image (1 or 3, height, width) float32 and mask: any of
            albumentations, any of ``torchvision.transforms.v2``, or a function (image,
            mask) -> (image, mask). One with a method ``at``, such as
            ``ShiftDomainTransform``, depends on the image's position in
            ``image_paths``. None: images keep their sizes, and a DataLoader can only
            batch them if these are equal.
        phase: "train" keeps the normal images alone; "val" and "test" keep all.
        labels: 0 normal, 1 anomalous, for each image. None: in training all are normal;
            else those with a mask are anomalous.

    Raises:
        TypeError: The transform is no function.
        ValueError: There are no images, lengths differ, a label is neither 0 nor 1, or
            labels cannot be known: no masks, and not in training.
        ImageError: When an image is asked for: it or its mask is unusable, or they
            differ in size.
        TypeError, ValueError: When an image is asked for: the transform returns
            anything but an image and a mask of one size.

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
        n_images = len(image_paths)
        if isinstance(image_paths, str) or not n_images:
            rule, came = "a list of paths, not empty", describe(image_paths)
            raise ValueError(refusal("image_paths", owner, rule, came))
        if mask_paths is None and labels is None and phase != "train":
            remedy = "Without masks pass labels, 0 normal and 1 anomalous."
            raise ValueError(refusal("labels", owner, "given", "None", remedy))
        if not (transform is None or callable(transform) or hasattr(transform, "at")):
            rule, came = "None or a function (image, mask)", describe(transform)
            raise TypeError(refusal("transform", owner, rule, came))
        masks = [None] * n_images if mask_paths is None else mask_paths
        if labels is None:
            labels = [NORMAL if mask is None else ANOMALOUS for mask in masks]
        for name, values in (("mask_paths", masks), ("labels", labels)):
            if len(values) != n_images:
                rule = f"as long as image_paths ({n_images})"
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
        """Return the data set of some samples, with their own labels.

        Args:
            samples: As ``read_samples`` gave them, in the order to keep.
            transform: As the constructor takes it.
            phase: As the constructor takes it.

        Returns:
            The data set.

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
        index, path, mask_path, label = self._entries[position]
        image, mask = read_image_and_mask(path, mask_path, label)
        transform = self.transform
        if isinstance(transform, IndexedTransform):
            transform = transform.at(index)
        if transform is not None:
            image, mask = applied(transform, image, mask)
        if len(image) == 1:  # at last, so that transforms have less to do
            image = image.expand(3, -1, -1).contiguous()
        return Entry(image, mask, label, str(path))


def applied(
    transform: Callable[..., Any], image: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply a transform as its library wants it.

    Args:
        transform: Of albumentations, which is called with ``image=`` and ``mask=``,
            arrays whose channels are last; of torchvision's v2, which tells masks by
            their type; or any function (image, mask) -> (image, mask).
        image: (1 or 3, height, width) float32.
        mask: (1, height, width) uint8.

    Returns:
        Both, with channels first and the mask's dtype as it was.

    Raises:
        TypeError: The transform is one of torchvision's first ones, which know no
            masks, or does not return two tensors.
        ValueError: What it returns has other dimensions, or differs in size.
    """
    own = type(transform).__module__
    if own.startswith("torchvision.") and not own.startswith(V2):
        remedy = f"Those of the same names in {V2} do."
        rule = "one that takes masks along"
        raise TypeError(refusal("transform", OWNER, rule, describe(transform), remedy))
    kinds = {kind.__module__.partition(".")[0] for kind in type(transform).__mro__}
    if "albumentations" in kinds:
        array = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        found = transform(image=array, mask=mask[0].numpy())
        changed = _planes(found["image"]), _planes(found["mask"]).to(mask.dtype)
    elif "torchvision" in kinds:
        changed = transform(tv_tensors.Image(image), tv_tensors.Mask(mask))
    else:
        changed = transform(image, mask)
    return _checked_pair(changed)


def _checked_pair(changed: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a transform made of image and mask, if it is both, or raise."""
    rule = "a function that returns two tensors, image and mask, of one size, (channels"
    rule += ", height, width) and (1, height, width)"
    fits = isinstance(changed, tuple | list) and len(changed) == 2  # noqa: PLR2004 - both
    if not fits or not all(isinstance(one, torch.Tensor) for one in changed):
        came = f"one that returns {describe(changed)}"
        raise TypeError(refusal("transform", OWNER, rule, came))
    image, mask = (one.as_subclass(torch.Tensor) for one in changed)
    if image.ndim != 3 or mask.shape != (1, *image.shape[1:]):  # noqa: PLR2004 - as stated
        came = f"one that returns {tuple(image.shape)} and {tuple(mask.shape)}"
        raise ValueError(refusal("transform", OWNER, rule, came))
    return image, mask


def _planes(values: AnyArray | torch.Tensor) -> torch.Tensor:
    """Return what albumentations made, or its ToTensorV2, with channels first."""
    if isinstance(values, torch.Tensor):
        return values.reshape(-1, *values.shape[-2:])
    planes = np.atleast_3d(values).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes))


def read_image_and_mask(
    path: Path, mask_path: Path | None, label: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (1 or 3, height, width) float32 in [0, 1], and the mask of ``Entry``."""
    pixels = as_pixels(read_image(path), str(path))
    grey = pixels.ndim == 2  # noqa: PLR2004 - dimensions
    planes = pixels[None] if grey else pixels.transpose(2, 0, 1)
    size = pixels.shape[:2]
    if mask_path is None:
        mask = np.full(size, NORMAL if label == NORMAL else UNKNOWN, np.uint8)
    else:
        mask = read_mask(mask_path).astype(np.uint8)
    if mask.shape != size:
        raise ImageError(
            f"{mask_path} must be as large as its image {path}, "
            "{}x{} (height x width); it is {}x{}.".format(*size, *mask.shape)
        )
    image = torch.from_numpy(np.ascontiguousarray(planes))
    return image, torch.from_numpy(mask)[None]


def get_clean_transforms(
    image_size: int | tuple[int, int] = 320, *, normalize: bool = False
) -> Transform:
    """Return the transform of clean images, the same in training and testing.

    The image is resized as estimators resize it, so that they score the same; the mask
    takes the nearest pixel and stays as it is otherwise.

    Args:
        image_size: Side in pixels, or (height, width).
        normalize: Subtract ImageNet's mean and divide by its standard deviation, for a
            network of your own. adlib's estimators do so themselves and refuse images
            that are normalised already.

    Returns:
        A function of image, (1 or 3, height, width) float32 in [0, 1], and mask, (1,
        height, width) uint8, that returns both in the new size.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: A side is below 16 pixels, or ``image_size`` is no pair.

    Example:
        >>> import torch
        >>> from adlib.datasets import get_clean_transforms
        >>> transform = get_clean_transforms(32)
        >>> image, mask = torch.zeros(1, 64, 48), torch.zeros(1, 64, 48).byte()
        >>> [tuple(changed.shape) for changed in transform(image, mask)]
        [(1, 32, 32), (1, 32, 32)]
    """
    owner = "get_clean_transforms"
    size = check_image_size(image_size, "image_size", owner)
    check_bool(normalize, "normalize", owner)
    return partial(_clean, size=size, normalize=normalize)  # workers can load it


def _clean(
    image: torch.Tensor, mask: torch.Tensor, size: tuple[int, int], normalize: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Resize image and mask, and normalise the image if asked to."""
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    grey = pixels.shape[2] == 1
    resized = resize(pixels[:, :, 0] if grey else pixels, size)
    image = torch.from_numpy(
        np.array(resized[None] if grey else resized.transpose(2, 0, 1))
    )
    if normalize:
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        image = (image - mean[:, None, None]) / std[:, None, None]
    return image, F.interpolate(mask[None], size, mode="nearest-exact")[0]
