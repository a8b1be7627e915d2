"""Which images of a class are for training, validation and testing, and their file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adlib._files import replacing
from adlib._validation import check_int, check_ratio
from adlib.datasets._samples import ANOMALOUS, NORMAL, Sample, path_in

VERSION = 1
PARTS = ("train", "val", "test")
RATIOS = ("train_ratio", "val_anomaly_ratio")  # of a clean split
DIGESTS = "sha256"  # of a shifted set's files


@dataclass(frozen=True)
class ClassSplit:
    """The split of a class."""

    class_name: str
    seed: int  # what it was drawn with
    train: tuple[Sample, ...]  # normal images to train on
    val: tuple[Sample, ...]  # normal and anomalous images to set thresholds with
    test: tuple[Sample, ...]  # all others
    train_ratio: float | None = None  # as asked for; None: the split was not drawn
    val_anomaly_ratio: float | None = None  # likewise

    def parts(self) -> dict[str, tuple[Sample, ...]]:
        """Return the samples by the name of their part, "train", "val" and "test"."""
        return {part: getattr(self, part) for part in PARTS}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many images of each defect type every part has."""
        return {
            part: dict(Counter(sample.defect_type for sample in samples))
            for part, samples in self.parts().items()
        }


def create_clean_split(
    samples: Iterable[Sample],
    class_name: str,
    *,
    train_ratio: float = 0.8,
    val_anomaly_ratio: float = 0.3,
    random_state: int = 42,
) -> ClassSplit:
    """Draw the split of one class; nothing is moved or written.

    Args:
        samples: The data set, as ``read_samples`` gave it.
        class_name: The class.
        train_ratio: Share of the training images to train on, in (0, 1); the others are
            for validation. Where the data set has no normal test images, half of the
            others are for testing instead.
        val_anomaly_ratio: Share of the anomalous test images for validation, in (0, 1),
            of each defect type; at least one of each, and one is left.
        random_state: Of the draw, at least 0; the study's is 42.

    Returns:
        The split: tuples of samples ``train``, ``val`` and ``test`` in the order of
        paths, which share no image, and ``counts()`` of them by defect type.

    Raises:
        TypeError: A ratio or ``random_state`` is no number.
        ValueError: A ratio is not as stated, or the class has too few images for it.

    Note:
        The draw depends on the paths, not on the order of ``samples``.

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
    check_int(random_state, "random_state", owner, low=0)
    own = _by_path(s for s in samples if s.class_name == class_name)
    rng = np.random.default_rng(random_state)
    trainable = [s for s in own if s.split == "train" and s.label == NORMAL]
    if len(trainable) < 2:  # noqa: PLR2004 - one to train on, one to validate
        raise ValueError(
            f"The class {class_name!r} must have at least 2 normal training images to "
            f"split; it has {len(trainable)}."
        )
    train, val = _drawn(trainable, train_ratio, rng)
    test = [s for s in own if s.split != "train" and s.label == NORMAL]
    if not test:
        val, test = _drawn(val, 0.5, rng) if len(val) > 1 else (val, [])
    anomalous = [s for s in own if s.label == ANOMALOUS]
    for defect_type in sorted({s.defect_type for s in anomalous}):
        alike = [s for s in anomalous if s.defect_type == defect_type]
        if len(alike) == 1:  # nothing to divide: it is for testing
            test += alike
            continue
        chosen, others = _drawn(alike, val_anomaly_ratio, rng)
        val += chosen
        test += others
    return ClassSplit(
        class_name,
        random_state,
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
    path: str | Path, splits: Sequence[ClassSplit], root: str | Path
) -> None:
    """Add splits to a file, which is made if need be, all of them or none.

    Args:
        path: The JSON file, e.g. ``clean_splits.json``.
        splits: One a class.
        root: The data set's folder; paths are written relative to it.

    Raises:
        FileExistsError: The file holds one of the classes, or it comes twice: a split
            is drawn once.
        ValueError: A sample lies outside ``root``, or the file holds something else.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.datasets import load_clean_splits, save_clean_splits
        >>> with TemporaryDirectory() as folder:
        ...     save_clean_splits(f"{folder}/clean_splits.json", [], folder)
        ...     load_clean_splits(f"{folder}/clean_splits.json", folder)
        {}
    """
    target = Path(path)
    entries = read_entries(target) if target.exists() else {}
    for split in splits:
        if split.class_name in entries:
            raise FileExistsError(
                f"The split of {split.class_name!r} comes twice, or is in "
                f"{str(target)!r} already. Read it with load_clean_splits, or delete "
                "the file to draw another."
            )
        ratios = {key: getattr(split, key) for key in RATIOS}
        entries[split.class_name] = {**ratios, **as_entry(split, Path(root))}
    write_splits(target, entries)


def classes_with_splits(path: str | Path) -> list[str]:
    """Return the classes that a file of splits holds; [] if there is no such file."""
    return list(read_entries(Path(path))) if Path(path).exists() else []


def load_clean_splits(
    path: str | Path, root: str | Path, classes: Sequence[str] | None = None
) -> dict[str, ClassSplit]:
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
        >>> from adlib.datasets import load_clean_splits, save_clean_splits
        >>> with TemporaryDirectory() as folder:
        ...     save_clean_splits(f"{folder}/clean_splits.json", [], folder)
        ...     load_clean_splits(f"{folder}/clean_splits.json", folder)
        {}
    """
    return _read_splits(Path(path), Path(root), classes, RATIOS)


def load_shifted_splits(
    path: str | Path, root: str | Path, classes: Sequence[str] | None = None
) -> dict[str, ClassSplit]:
    """Read the record of a shifted data set back, by class.

    Args:
        path: ``shifted_splits.json``.
        root: Where the shifted set is now.
        classes: Which classes; None: all in the file.

    Returns:
        The splits by class, with paths in ``root``. Whether files were changed is told
        by ``check_shifted_set``.

    Raises:
        FileNotFoundError: There is no such file, or no image that it names.
        ValueError: It is not what ``generate_shifted_set`` writes, or lacks a class.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.datasets import load_shifted_splits
        >>> with TemporaryDirectory() as folder:
        ...     record = Path(folder, "shifted_splits.json")
        ...     _ = record.write_text('{"version": 1, "classes": {}}')
        ...     load_shifted_splits(record, folder)
        {}
    """
    return _read_splits(Path(path), Path(root), classes, [DIGESTS])


def write_splits(path: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the entries of all classes to one file, whole or not at all."""
    content = {"version": VERSION, "classes": dict(entries)}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_entries(path: Path, keys: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Return what a file holds for each class; raise unless that has some keys."""
    with _refusing_others(path):
        content = json.loads(path.read_bytes())  # UTF-8 or UTF-16
        if content["version"] != VERSION:
            raise ValueError(f"it has version {content['version']}, not {VERSION}")
        entries = {name: dict(entry) for name, entry in content["classes"].items()}
        for key in keys:
            for name, entry in entries.items():
                if key not in entry:
                    raise ValueError(f"class {name!r} has no {key!r}")
    return entries


def _read_splits(
    path: Path, root: Path, classes: Sequence[str] | None, keys: Iterable[str]
) -> dict[str, ClassSplit]:
    entries = read_entries(path, keys)
    for name in classes or ():
        if name not in entries:
            held = ", ".join(entries) or "none"
            raise ValueError(f"{str(path)!r} has no class {name!r}; it has {held}.")
    with _refusing_others(path):
        return {
            name: _split(name, entry, root)
            for name, entry in entries.items()
            if classes is None or name in classes
        }


@contextmanager
def _refusing_others(path: Path) -> Iterator[None]:
    """Raise a ValueError that names the file for whatever does not fit in it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{str(path)!r} does not hold splits that this adlib wrote: {error!r}"
        ) from error


def as_entry(split: ClassSplit, root: Path) -> dict[str, Any]:
    """Return a split as JSON has it, with paths relative to ``root``."""
    parts = {
        part: [
            {
                "image_path": relative(sample.image_path, root),
                "mask_path": sample.mask_path and relative(sample.mask_path, root),
                "label": sample.label,
                "defect_type": sample.defect_type,
                "split": sample.split,
            }
            for sample in samples
        ]
        for part, samples in split.parts().items()
    }
    return {"seed": split.seed, "counts": split.counts(), **parts}


def relative(path: Path, root: Path) -> str:
    """Return a path as files have it; a ValueError: it lies outside ``root``."""
    return path.relative_to(root).as_posix()


def _split(name: str, entry: Mapping[str, Any], root: Path) -> ClassSplit:
    """Undo ``as_entry``; raise unless counts are right and all images are there."""
    train, val, test = (
        tuple(_sample(sample, name, root) for sample in entry[part]) for part in PARTS
    )
    ratios = (entry.get(key) for key in RATIOS)
    split = ClassSplit(name, int(entry["seed"]), train, val, test, *ratios)
    if split.counts() != entry["counts"]:
        raise ValueError(f"the counts of class {name!r} do not fit its images")
    images = Counter(sample.image_path for sample in (*train, *val, *test))
    for image, count in images.items():
        if count > 1:
            raise ValueError(f"{str(image)!r} comes twice")
        if not image.is_file():
            raise FileNotFoundError(
                f"The image {str(image)!r} of class {name!r} is not there. Pass the "
                "root of the data set that was split."
            )
    return split


def _sample(entry: Mapping[str, Any], class_name: str, root: Path) -> Sample:
    mask = entry["mask_path"]
    return Sample(
        path_in(root, entry["image_path"], "the file"),
        entry["label"],
        entry["defect_type"],
        None if mask is None else path_in(root, mask, "the file"),
        class_name,
        entry["split"],
    )
