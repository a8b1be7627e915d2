"""What is in a data set: counts, sizes, defects and how much of an image they take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from adlib._progress import ProgressBar
from adlib.datasets import ANOMALOUS, NORMAL, Sample, read_mask
from adlib.datasets._layouts import class_names


@dataclass(frozen=True)
class ClassSummary:
    """What is in a class.

    Attributes:
        class_name: The class.
        counts: Images of each publisher's split and defect type.
        sizes: How many images have each (height, width).
        modes: How many images have each of Pillow's modes, "L" grey and "RGB" colour.
        n_anomalous: Anomalous images.
        n_masks: Anomalous images with a mask.
        defect_ratios: By defect type, the share of the image that each mask marks.
    """

    class_name: str
    counts: dict[str, dict[str, int]]
    sizes: dict[tuple[int, int], int]
    modes: dict[str, int]
    n_anomalous: int
    n_masks: int
    defect_ratios: dict[str, list[float]]

    def size_text(self) -> str:
        """Return the sizes in a few words."""
        heights, widths = zip(*self.sizes, strict=True)
        if len(self.sizes) == 1:
            return f"{heights[0]}x{widths[0]} pixels"
        return (
            f"{min(heights)} to {max(heights)} pixels high, {min(widths)} to "
            f"{max(widths)} wide ({len(self.sizes):,} sizes)"
        )


def summarise(
    samples: Iterable[Sample], *, progress: bool = True
) -> dict[str, ClassSummary]:
    """Look into every image of a data set and say what is there, by class.

    Args:
        samples: The data set, as ``read_samples`` gives it.
        progress: Show a bar on a terminal.

    Returns:
        Counts, sizes, modes and shares of defects of each class.

    Raises:
        ImageError: A mask is unusable.
        OSError: An image is unreadable.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from adlib.datasets import Sample
        >>> from adlib.study import summarise
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (8, 6)).save(Path(folder, "0.png"))
        ...     sample = Sample(Path(folder, "0.png"), 0, "good", None, "part", "train")
        ...     summarise([sample])["part"].size_text()
        '6x8 pixels'
    """
    listed = list(samples)
    with ProgressBar("Looking", len(listed), enabled=progress) as bar:
        return {
            name: _summary(name, [s for s in listed if s.class_name == name], bar)
            for name in class_names(listed)
        }


def _summary(name: str, samples: list[Sample], bar: ProgressBar) -> ClassSummary:
    counts: dict[str, Counter[str]] = {}
    sizes: Counter[tuple[int, int]] = Counter()
    modes: Counter[str] = Counter()
    ratios: dict[str, list[float]] = {}
    for sample in samples:
        counts.setdefault(sample.split, Counter())[sample.defect_type] += 1
        with Image.open(sample.image_path) as image:
            sizes[image.height, image.width] += 1
            modes[image.mode] += 1
        if sample.label != NORMAL and sample.mask_path is not None:
            share = float(np.mean(read_mask(sample.mask_path)))
            ratios.setdefault(sample.defect_type, []).append(share)
        bar.advance()
    return ClassSummary(
        class_name=name,
        counts={split: dict(found) for split, found in counts.items()},
        sizes=dict(sizes),
        modes=dict(modes),
        n_anomalous=sum(sample.label == ANOMALOUS for sample in samples),
        n_masks=sum(map(len, ratios.values())),
        defect_ratios=ratios,
    )
