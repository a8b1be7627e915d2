"""One image of a data set, and what is known of it."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from adlib._validation import describe, refusal

Split: TypeAlias = Literal["train", "validation", "test"]
NORMAL, ANOMALOUS = 0, 1  # labels, as in scikit-learn's binary metrics
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

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> Sample(Path("good/0.png"), 0, "good", None, "part", "train").split
        'train'
    """

    image_path: Path
    label: int
    defect_type: str
    mask_path: Path | None
    class_name: str
    split: Split


def folder_name(folder: Path) -> str:
    """Return the name of a folder, of "." and ".." as well."""
    return Path(os.path.abspath(folder)).name  # noqa: PTH100 - links keep their names


def path_in(root: Path, text: str, owner: str) -> Path:
    """Return a path that a table or record names, relative to a folder, or raise.

    Backslashes separate as slashes do; the path may not lead out of the folder.
    """
    rule = "a relative path that stays in the data set's folder"
    if not isinstance(text, str):
        raise TypeError(refusal("path", owner, rule, describe(text)))
    path = posixpath.normpath(text.strip().replace("\\", "/"))
    if path.startswith(("/", "../")) or path in (".", "..") or path[1:2] == ":":
        raise ValueError(refusal("path", owner, rule, describe(text)))
    return root / path
