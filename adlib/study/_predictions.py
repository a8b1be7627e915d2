"""What a model says about the images of a data set, kept to be measured."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from adlib._typing import AnyArray, BoolArray, Float32Array, Float64Array
from adlib._validation import describe, refusal
from adlib.datasets import ANOMALOUS, Sample, read_mask
from adlib.estimators import AnomalyDetector, PatchCore
from adlib.neighbors._bank import Neighbours


@dataclass(frozen=True, eq=False)
class Predictions:
    """Scores of some images, NaN where one was skipped, and their maps, if kept.

    Maps, (n_images, height, width), are in a temporary file: memory stays bounded.
    """

    samples: tuple[Sample, ...]
    scores: Float64Array
    maps: Float32Array | None = None

    @classmethod
    def of(
        cls, model: AnomalyDetector, samples: Sequence[Sample], *, maps: bool = True
    ) -> Self:
        """Let a fitted model look at images in one pass; keep their maps, too."""
        kept = _check_samples(samples)
        found, stored = np.full(len(kept), np.nan), None
        for position, one in enumerate(model.inspect(paths_of(kept))):
            found[position] = one.score
            if maps and one.map is not None:
                if stored is None:
                    stored = _on_disk((len(kept), *one.map.shape), np.float32)
                stored[position] = one.map
        if stored is not None:
            stored[np.isnan(found)] = np.nan
        return cls(kept, found, stored)

    @classmethod
    def from_scores(cls, scores: Any, samples: Sequence[Sample]) -> Self:
        """Take image scores from elsewhere, (n_images,); NaN: an image was skipped."""
        kept, values = _check_samples(samples), np.asarray(scores)
        rule = f"({len(kept)},) numbers, one for each sample"
        text = refusal("scores", "evaluate", rule, describe(values))
        if values.dtype.kind not in "uif":
            raise TypeError(text)
        if values.shape != (len(kept),) or np.isinf(values).any():
            raise ValueError(text)
        return cls(kept, values.astype(np.float64))

    @property
    def usable(self) -> BoolArray:
        """Which images were scored, (n_images,)."""
        return ~np.isnan(self.scores)

    @property
    def anomalous(self) -> BoolArray:
        """Which images are anomalous, (n_images,)."""
        return anomalous_of(self.samples)

    def scored(self) -> tuple[BoolArray, Float64Array]:
        """Return labels and scores of the images that were scored."""
        return self.anomalous[self.usable], self.scores[self.usable]

    def parted(self) -> tuple[Float64Array, Float64Array]:
        """Return the scores of the normal and of the anomalous images."""
        anomalous, scores = self.scored()
        return scores[~anomalous], scores[anomalous]

    def maps_of(self, places: Iterable[int]) -> list[Float32Array]:
        """Return the maps of some images, which stay in their file."""
        maps = self.maps
        return [] if maps is None else [np.asarray(maps[place]) for place in places]

    @cached_property
    def located(self) -> tuple[list[BoolArray], list[Float32Array]] | None:
        """Masks and maps of the images that were scored and are known by pixel.

        An anomalous image without a mask is not. None: there are no maps or no masks.
        Masks are at the size of the maps, read once, in a temporary file.
        """
        known = {
            place: sample
            for place, sample in enumerate(self.samples)
            if self.usable[place] and (sample.mask_path or sample.label != ANOMALOUS)
        }
        if self.maps is None or not any(one.mask_path for one in known.values()):
            return None
        size = (self.maps.shape[1], self.maps.shape[2])
        masks = _on_disk((len(known), *size), np.bool_)
        for number, sample in enumerate(known.values()):
            masks[number] = mask_of(sample, size)
        return [np.asarray(mask) for mask in masks], self.maps_of(known)


def paths_of(samples: Iterable[Sample]) -> list[Path]:
    """Return the files of some images."""
    return [sample.image_path for sample in samples]


def anomalous_of(samples: Iterable[Sample]) -> BoolArray:
    """Return which of some images are anomalous, (n_images,)."""
    return np.array([sample.label == ANOMALOUS for sample in samples])


def looked_up(
    model: PatchCore, samples: Sequence[Sample]
) -> Iterator[tuple[Sample, Float32Array, Neighbours]]:
    """Yield each image, its patches (n_patches, n_features), and what is nearest."""
    for one in model.embeddings(paths_of(samples)):
        queries = one.patches.reshape(-1, one.patches.shape[2])
        yield samples[one.position], queries, model.memory_bank_.kneighbors(queries)


def mask_of(sample: Sample, size: tuple[int, int]) -> BoolArray:
    """Return a sample's mask at a (height, width), all normal where it has none."""
    if sample.mask_path is None:
        return np.zeros(size, np.bool_)
    return resized_mask(read_mask(sample.mask_path), size)


def resized_mask(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """Return a mask at another (height, width).

    A pixel of the smaller mask is anomalous where its nearest pixel in the larger one
    is. A mask that would vanish keeps every pixel that any of its own falls into.
    """
    if mask.shape == size:
        return mask
    places = [
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for old, new in zip(mask.shape, size, strict=True)
    ]
    resized = mask[np.ix_(*places)]
    if mask.any() and not resized.any():
        rows, columns = np.nonzero(mask)
        height, width = mask.shape
        resized[rows * size[0] // height, columns * size[1] // width] = True
    return resized


def _check_samples(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    if not samples:
        raise ValueError(refusal("samples", "evaluate", "at least one image", "none"))
    return tuple(samples)


def _on_disk(shape: tuple[int, ...], dtype: type) -> AnyArray:
    """Return an array in a temporary file without a name."""
    with tempfile.TemporaryFile() as file:  # the array keeps it open
        return np.memmap(file, dtype, "w+", shape=shape)
