"""What a data set does to image and mask before they are handed out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch.nn import functional as F

from adlib._validation import check_bool, check_image_size
from adlib.images._pixels import resize

Transform: TypeAlias = Callable[
    [torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]
]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@runtime_checkable
class IndexedTransform(Protocol):
    """A transform that depends on the image's number, such as a shift."""

    def at(self, index: int) -> Transform:
        """Return the transform of one image."""
        ...


class CleanTransform:
    """Resizes image and mask and changes nothing else; see ``get_clean_transforms``."""

    def __init__(
        self, image_size: int | tuple[int, int] = 320, *, normalize: bool = False
    ) -> None:
        owner = "get_clean_transforms"
        self.image_size = check_image_size(image_size, "image_size", owner)
        self.normalize = check_bool(normalize, "normalize", owner)

    def __call__(
        self, image: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return image (channels, height, width) and mask (1, height, width)."""
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        grey = pixels.shape[2] == 1
        resized = resize(pixels[:, :, 0] if grey else pixels, self.image_size)
        shaped = resized[None] if grey else resized.transpose(2, 0, 1)
        image = torch.from_numpy(np.array(shaped))
        if self.normalize:
            mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
            image = (image - mean[:, None, None]) / std[:, None, None]
        mask = F.interpolate(mask[None], self.image_size, mode="nearest-exact")[0]
        return image, mask


def at(transform: Transform | IndexedTransform, index: int) -> Transform:
    """Return what a transform does to the image of a number."""
    if isinstance(transform, IndexedTransform):
        return transform.at(index)
    return transform


def get_clean_transforms(
    image_size: int | tuple[int, int] = 320, *, normalize: bool = False
) -> CleanTransform:
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
    return CleanTransform(image_size, normalize=normalize)
