"""One image of a data set, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["train", "validation", "test"]
NORMAL, ANOMALOUS = 0, 1
GOOD = "good"  # the defect type of normal images


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a data set.

    Attributes:
        image_path: The image.
        label: 0 normal, 1 anomalous.
        defect_type: "good" for normal images, else as the data set names it.
        mask_path: The mask of the anomalous pixels; a folder of masks that count
            together (MVTec LOCO); or None: a normal image, or a set without masks.
        class_name: What the image shows.
        split: In which split its publisher put it.
    """

    image_path: Path
    label: int
    defect_type: str
    mask_path: Path | None
    class_name: str
    split: Split
