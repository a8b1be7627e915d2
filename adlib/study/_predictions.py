"""What a model says about the images of a data set, kept to be measured."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from adlib._typing import AnyArray, BoolArray, Float32Array, Float64Array
from adlib._validation import describe, refusal
from adlib.datasets import ANOMALOUS, Sample, read_mask
from adlib.estimators import AnomalyDetector


@dataclass(frozen=True, eq=False)
class Predictions:
    """Scores of some images, and their maps where there are any.

    Attributes:
        samples: The images.
        scores: Image scores, (n_images,) float64; NaN where an image was skipped.
        maps: Anomaly maps, (n_images, height, width) float32, in a file that goes when
            they do; NaN where an image was skipped. None: there are only scores.
        skipped: Why images were skipped, by position.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.study import Predictions
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "good", None, "part", "test")
        ...     for i in range(3)]
        >>> found = Predictions.from_scores([0.1, 0.9, float("nan")], samples)
        >>> found.usable.tolist(), found.skipped
        ([True, True, False], {2: 'no score'})
    """

    samples: tuple[Sample, ...]
    scores: Float64Array
    maps: Float32Array | None
    skipped: dict[int, str]

    @classmethod
    def of(
        cls, model: AnomalyDetector, samples: Sequence[Sample], *, maps: bool = True
    ) -> Self:
        """Let a fitted model look at some images, in one pass.

        Args:
            model: Which one; whether it skips unusable images is its ``on_error``.
            samples: The images, at least one.
            maps: Keep the anomaly maps too. They go to a temporary file, 4 bytes a
                pixel at the model's ``image_size``, so that memory stays bounded.

        Returns:
            Scores, maps on demand, and what was skipped.

        Raises:
            ValueError: There are no samples.
            ImageError: An image is unusable and the model does not skip it.
            NotFittedError: The model was not fitted.
            OSError: There is no room for the temporary file.
        """
        kept = _check_samples(samples, "Predictions.of")
        scores = np.full(len(kept), np.nan)
        skipped: dict[int, str] = {}
        stored: Float32Array | None = None
        paths = [sample.image_path for sample in kept]
        for position, result in enumerate(model.inspect(paths)):
            scores[position] = result.score
            if result.map is None:
                skipped[position] = result.error or "unusable"
                continue
            if maps and stored is None:
                stored = _on_disk((len(kept), *result.map.shape), np.float32)
            if stored is not None:
                stored[position] = result.map
        if stored is not None:
            stored[list(skipped)] = np.nan
        return cls(kept, scores, stored, skipped)

    @classmethod
    def from_scores(cls, scores: Any, samples: Sequence[Sample]) -> Self:
        """Take image scores from elsewhere; NaN means that an image was skipped.

        Args:
            scores: (n_images,) numbers, higher = more anomalous.
            samples: The images, in the same order.

        Returns:
            Scores without maps.

        Raises:
            TypeError: Scores are not numbers.
            ValueError: They are not one for each image, or infinite; or there are none.
        """
        owner = "Predictions.from_scores"
        kept = _check_samples(samples, owner)
        values = np.asarray(scores)
        rule = f"({len(kept)},) numbers, one for each sample"
        if values.dtype.kind not in "uif":
            raise TypeError(refusal("scores", owner, rule, describe(values)))
        if values.shape != (len(kept),) or np.isinf(values).any():
            raise ValueError(refusal("scores", owner, rule, describe(values)))
        numbers = values.astype(np.float64)
        missing = np.flatnonzero(np.isnan(numbers)).tolist()
        return cls(kept, numbers, None, dict.fromkeys(missing, "no score"))

    @property
    def usable(self) -> BoolArray:
        """Which images were scored, (n_images,)."""
        return ~np.isnan(self.scores)

    @property
    def anomalous(self) -> BoolArray:
        """Which images are anomalous, (n_images,)."""
        return np.array([sample.label == ANOMALOUS for sample in self.samples])

    @cached_property
    def masks(self) -> BoolArray | None:
        """The masks at the size of the maps, (n_images, height, width), or None.

        They are read once, and like the maps they wait in a temporary file. Images
        without a mask are normal all over.

        Raises:
            ImageError: A mask is unusable.
        """
        if self.maps is None:
            return None
        size = (self.maps.shape[1], self.maps.shape[2])
        stored = _on_disk((len(self.samples), *size), np.bool_)
        for position, mask in enumerate(Masks(self.samples, size)):
            stored[position] = mask
        return stored

    def parted(self) -> tuple[Float64Array, Float64Array]:
        """Return the scores of the normal and of the anomalous images that were scored.

        Returns:
            (n_normal,) and (n_anomalous,), in the order of the images.
        """
        scored, anomalous = self.usable, self.anomalous
        return self.scores[scored & ~anomalous], self.scores[scored & anomalous]

    def masked(self) -> list[int]:
        """Return the positions whose pixels can be judged: scored, and known by pixel.

        An anomalous image without a mask is not.
        """
        known = [
            sample.label != ANOMALOUS or sample.mask_path is not None
            for sample in self.samples
        ]
        return np.flatnonzero(self.usable & np.array(known)).tolist()


class Masks:
    """The masks of some images at one size, each read when it is asked for.

    A pixel of the smaller mask is anomalous where its nearest pixel in the larger one
    is. A mask that would vanish keeps every pixel that any of its own falls into.

    Args:
        samples: The images; without a mask a sample is normal all over.
        size: (height, width) to return.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.study import Masks
        >>> sample = Sample(Path("0.png"), 0, "good", None, "part", "test")
        >>> [mask.shape for mask in Masks([sample], (20, 30))]
        [(20, 30)]
    """

    def __init__(self, samples: Sequence[Sample], size: tuple[int, int]) -> None:
        self.samples, self._size = samples, size

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> BoolArray:
        """Return one mask, (height, width) bool, or raise ImageError."""
        path = self.samples[position].mask_path
        if path is None:
            return np.zeros(self._size, np.bool_)
        return resized_mask(read_mask(path), self._size)

    def __iter__(self) -> Iterator[BoolArray]:
        """Yield the masks in order."""
        return (self[position] for position in range(len(self)))


class Chosen:
    """Some of an array's entries, in order, without copying them."""

    def __init__(self, entries: AnyArray, positions: Sequence[int]) -> None:
        self._entries, self._positions = entries, positions

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, position: int) -> AnyArray:
        """Return one entry."""
        return np.asarray(self._entries[self._positions[position]])

    def __iter__(self) -> Iterator[AnyArray]:
        """Yield the entries in order."""
        return (self[position] for position in range(len(self)))


def resized_mask(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """Return a mask at another size; see ``Masks``.

    Args:
        mask: (height, width).
        size: (height, width) to return.

    Returns:
        ``size``, as a shape; ``mask`` itself where it has that size.

    Example:
        >>> import numpy as np
        >>> from adlib.study import resized_mask
        >>> mask = np.zeros((8, 8), np.bool_)
        >>> mask[0, 0] = True  # no pixel of the smaller mask is nearest to it
        >>> resized_mask(mask, (2, 2)).tolist()
        [[True, False], [False, False]]
    """
    if mask.shape == size:
        return mask
    places = [
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for old, new in zip(mask.shape, size, strict=True)
    ]
    resized = mask[np.ix_(*places)]
    if resized.any() or not mask.any():
        return resized
    rows, columns = np.nonzero(mask)
    resized[rows * size[0] // mask.shape[0], columns * size[1] // mask.shape[1]] = True
    return resized


def _check_samples(samples: Sequence[Sample], owner: str) -> tuple[Sample, ...]:
    kept = tuple(samples)
    if not kept:
        raise ValueError(refusal("samples", owner, "at least one image", "none"))
    return kept


def _on_disk(shape: tuple[int, ...], dtype: type) -> AnyArray:
    """Return an array in a temporary file without a name."""
    with tempfile.TemporaryFile() as file:  # the array keeps it open
        return np.memmap(file, dtype, "w+", shape=shape)
