"""One image of a data set, and what is known of it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

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
        >>> root = Path("parts")
        >>> sample = Sample(root / "good" / "0.png", 0, "good", None, "part", "train")
        >>> sample.as_json(root)["image_path"]
        'good/0.png'
        >>> Sample.from_json(sample.as_json(root), "part", root) == sample
        True
    """

    image_path: Path
    label: int
    defect_type: str
    mask_path: Path | None
    class_name: str
    split: Split

    def as_json(self, root: Path) -> dict[str, Any]:
        """Return all but the class as JSON has it, with paths relative to ``root``.

        Args:
            root: The data set's folder.

        Returns:
            "image_path", "mask_path", "label", "defect_type" and "split".

        Raises:
            ValueError: A path lies outside ``root``.
        """
        mask = self.mask_path
        return {
            "image_path": self.image_path.relative_to(root).as_posix(),
            "mask_path": None if mask is None else mask.relative_to(root).as_posix(),
            "label": self.label,
            "defect_type": self.defect_type,
            "split": self.split,
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], class_name: str, root: Path) -> Self:
        """Undo ``as_json``.

        Args:
            entry: What ``as_json`` gave.
            class_name: What the image shows.
            root: Where the data set's folder is now.

        Returns:
            The sample, with paths in ``root``, which are not opened.

        Raises:
            KeyError: An entry is missing.
            TypeError: A path is none.
            ValueError: A path leads out of ``root``.
        """
        mask, owner = entry["mask_path"], "Sample.from_json"
        return cls(
            image_path=path_in(root, entry["image_path"], owner),
            label=entry["label"],
            defect_type=entry["defect_type"],
            mask_path=None if mask is None else path_in(root, mask, owner),
            class_name=class_name,
            split=entry["split"],
        )


def path_in(root: Path, text: str, owner: str) -> Path:
    """Return a path in a folder that a table or record names, or raise.

    ``text`` is relative to the folder, with slashes, or backslashes as on Windows; it
    may not lead out of it.
    """
    rule = "a relative path that stays in the data set's folder"
    if not isinstance(text, str):
        raise TypeError(refusal("path", owner, rule, describe(text)))
    path = posixpath.normpath(text.strip().replace("\\", "/"))
    if path.startswith(("/", "../")) or path in (".", "..") or path[1:2] == ":":
        raise ValueError(refusal("path", owner, rule, describe(text)))
    return root / path
