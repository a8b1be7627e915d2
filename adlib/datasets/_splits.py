"""The study's split of each class: drawn once, kept in a file, and read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adlib._validation import check_int, check_ratio
from adlib.datasets._class_split import (
    ClassSplit,
    read_entries,
    read_splits,
    write_splits,
)
from adlib.datasets._samples import ANOMALOUS, NORMAL, Sample


@dataclass(frozen=True)
class CleanSplit(ClassSplit):
    """A split of a data set as it was published.

    Attributes:
        class_name: The class.
        seed: What it was drawn with.
        train: Normal images to learn from.
        val: Normal and anomalous images to set thresholds with.
        test: All others, to report on.
        train_ratio: Share of ``train/good`` that is learned.
        val_anomaly_ratio: Share of each defect type that sets thresholds.

    Example:
        >>> from adlib.datasets import CleanSplit
        >>> split = CleanSplit("part", 42, (), (), (), 0.8, 0.3)
        >>> sorted(split.parts())
        ['test', 'train', 'val']
    """

    train_ratio: float
    val_anomaly_ratio: float

    def as_json(self, root: Path) -> dict[str, Any]:
        """Return the split as JSON has it.

        Args:
            root: The data set's folder; paths become relative to it.

        Returns:
            What ``ClassSplit.as_json`` gives, and both ratios.

        Raises:
            ValueError: A path lies outside ``root``.
        """
        ratios = {
            "train_ratio": self.train_ratio,
            "val_anomaly_ratio": self.val_anomaly_ratio,
        }
        return {**ratios, **super().as_json(root)}


def create_clean_split(
    samples: Iterable[Sample],
    class_name: str,
    *,
    train_ratio: float = 0.8,
    val_anomaly_ratio: float = 0.3,
    seed: int = 42,
) -> CleanSplit:
    """Draw the split of one class; nothing is moved or written.

    Args:
        samples: The data set, as ``read_samples`` gave it.
        class_name: The class.
        train_ratio: Share of the training images to learn, (0, 1); the others set
            thresholds. Where the publisher kept no normal images to test with, every
            second one of the others is reported on instead.
        val_anomaly_ratio: Share of the anomalous test images to set thresholds with,
            (0, 1), of each defect type; at least one of each, and one is left.
        seed: Of the draw; the study's is 42.

    Returns:
        The split. Its parts are in the order of paths, and share no image.

    Raises:
        TypeError: A ratio or the seed is no number.
        ValueError: A ratio is not as stated, or the class has too few images for it.

    Note:
        The draw depends on the paths and the seed, not on the order of ``samples``.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample, create_clean_split
        >>> samples = [
        ...     Sample(Path(f"{kind}/{i}.png"), label, kind, None, "part", split)
        ...     for kind, label, split in [("good", 0, "train"), ("crack", 1, "test")]
        ...     for i in range(10)]
        >>> create_clean_split(samples, "part").counts()["train"]
        {'good': 8}
    """
    owner = "create_clean_split"
    check_ratio(train_ratio, "train_ratio", owner, closed=False)
    check_ratio(val_anomaly_ratio, "val_anomaly_ratio", owner, closed=False)
    check_int(seed, "seed", owner, low=0)
    own = _by_path(s for s in samples if s.class_name == class_name)
    rng = np.random.default_rng(seed)
    learnable = [s for s in own if s.split == "train" and s.label == NORMAL]
    if len(learnable) < 2:  # noqa: PLR2004 - one to learn, one to set a threshold with
        raise ValueError(
            f"The class {class_name!r} must have at least 2 normal training images to "
            f"split; it has {len(learnable)}."
        )
    train, val = _drawn(learnable, train_ratio, rng)
    test = [s for s in own if s.split != "train" and s.label == NORMAL]
    if not test:
        val, test = _drawn(val, 0.5, rng) if len(val) > 1 else (val, [])
    anomalous = [s for s in own if s.label == ANOMALOUS]
    for defect_type in sorted({s.defect_type for s in anomalous}):
        alike = [s for s in anomalous if s.defect_type == defect_type]
        if len(alike) == 1:  # nothing to divide: it is reported
            test += alike
            continue
        chosen, others = _drawn(alike, val_anomaly_ratio, rng)
        val += chosen
        test += others
    return CleanSplit(
        class_name,
        seed,
        tuple(_by_path(train)),
        tuple(_by_path(val)),
        tuple(_by_path(test)),
        train_ratio,
        val_anomaly_ratio,
    )


def _by_path(samples: Iterable[Sample]) -> list[Sample]:
    """Sort by path, so that the draw does not depend on the order given."""
    return sorted(samples, key=lambda sample: sample.image_path.as_posix())


def _drawn(
    samples: Sequence[Sample], ratio: float, rng: np.random.Generator
) -> tuple[list[Sample], list[Sample]]:
    """Return a share of the samples, at least one and not all, and the others."""
    n_drawn = min(max(round(ratio * len(samples)), 1), len(samples) - 1)
    drawn = set(rng.permutation(len(samples))[:n_drawn].tolist())
    chosen = [sample for i, sample in enumerate(samples) if i in drawn]
    return chosen, [sample for i, sample in enumerate(samples) if i not in drawn]


def save_clean_splits(
    path: str | Path, splits: Sequence[CleanSplit], root: str | Path
) -> None:
    """Add splits to a file, which is made if need be, all of them or none.

    Args:
        path: The JSON file, e.g. ``clean_splits.json``.
        splits: One a class.
        root: The data set's folder; paths are written relative to it.

    Raises:
        FileExistsError: The file holds one of the classes: a split is drawn once.
            Delete the file to draw anew.
        ValueError: A sample lies outside ``root``, a class comes twice, or the file
            holds something else.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.datasets import (
        ...     CleanSplit, classes_with_splits, save_clean_splits)
        >>> split = CleanSplit("part", 42, (), (), (), 0.8, 0.3)
        >>> with TemporaryDirectory() as folder:
        ...     save_clean_splits(f"{folder}/clean_splits.json", [split], folder)
        ...     classes_with_splits(f"{folder}/clean_splits.json")
        ['part']
    """
    target = Path(path)
    names = [split.class_name for split in splits]
    if len(set(names)) != len(names):
        raise ValueError(f"Each class must come once; got {', '.join(names)}.")
    entries = read_entries(target) if target.exists() else {}
    held = [name for name in names if name in entries]
    if held:
        raise FileExistsError(
            f"{str(target)!r} holds splits of {', '.join(held)} already. Read them "
            "with load_clean_splits, or delete the file to draw them anew."
        )
    added = {split.class_name: split.as_json(Path(root)) for split in splits}
    write_splits(target, entries | added)


def classes_with_splits(path: str | Path) -> list[str]:
    """Return the classes that a file of splits holds.

    Args:
        path: The JSON file that ``save_clean_splits`` wrote.

    Returns:
        Their names, in the file's order; [] if there is no such file.

    Raises:
        ValueError: It is not what ``save_clean_splits`` writes.

    Example:
        >>> from adlib.datasets import classes_with_splits
        >>> classes_with_splits("no-such-file.json")
        []
    """
    return list(read_entries(Path(path))) if Path(path).exists() else []


def load_clean_splits(
    path: str | Path, root: str | Path, classes: Sequence[str] | None = None
) -> dict[str, CleanSplit]:
    """Read splits back, by class.

    Args:
        path: The JSON file.
        root: Where the data set's folder is now.
        classes: Which classes; None: all in the file.

    Returns:
        The splits by class, with paths in ``root``.

    Raises:
        FileNotFoundError: There is no such file, or no image that it names.
        ValueError: It is not what ``save_clean_splits`` writes, or lacks a class.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.datasets import CleanSplit, load_clean_splits, save_clean_splits
        >>> split = CleanSplit("part", 42, (), (), (), 0.8, 0.3)
        >>> with TemporaryDirectory() as folder:
        ...     save_clean_splits(f"{folder}/clean_splits.json", [split], folder)
        ...     found = load_clean_splits(f"{folder}/clean_splits.json", folder)
        >>> found == {"part": split}
        True
    """

    def build(fields: dict[str, Any], entry: Mapping[str, Any]) -> CleanSplit:
        return CleanSplit(
            **fields,
            train_ratio=float(entry["train_ratio"]),
            val_anomaly_ratio=float(entry["val_anomaly_ratio"]),
        )

    return read_splits(Path(path), Path(root), build, classes)
