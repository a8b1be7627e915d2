"""The study's split of each class: drawn once, kept in a file, and read back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adlib._files import replacing
from adlib._validation import check_int, check_ratio
from adlib.datasets._samples import ANOMALOUS, NORMAL, Sample

VERSION = 1
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class CleanSplit:
    """Which images of a class are learned, set thresholds, and are reported.

    Attributes:
        class_name: The class.
        seed: What the split was drawn with.
        train_ratio: Share of ``train/good`` that is learned.
        val_anomaly_ratio: Share of each defect type that sets thresholds.
        train: Normal images to learn from.
        val: Normal and anomalous images to set thresholds with.
        test: All others, to report on.
    """

    class_name: str
    seed: int
    train_ratio: float
    val_anomaly_ratio: float
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many images of each defect type every part has."""
        return {
            part: dict(Counter(s.defect_type for s in getattr(self, part)))
            for part in PARTS
        }


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
        ValueError: A ratio is not as stated, or the class has too few images for it.
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
        train_ratio,
        val_anomaly_ratio,
        tuple(_by_path(train)),
        tuple(_by_path(val)),
        tuple(_by_path(test)),
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
    """Write splits to a file that does not exist yet, whole or not at all.

    Args:
        path: The JSON file, e.g. ``clean_splits.json``.
        splits: One a class.
        root: The data set's folder; paths are written relative to it.

    Raises:
        FileExistsError: The file exists: a split is drawn once. Delete it to draw anew.
        ValueError: A sample lies outside ``root``, or a class comes twice.
    """
    target = Path(path)
    if target.exists():
        raise FileExistsError(
            f"{str(target)!r} holds splits already. Read them with load_clean_splits, "
            "or delete the file to draw them anew."
        )
    names = [split.class_name for split in splits]
    if len(set(names)) != len(names):
        raise ValueError(f"Each class must come once; got {', '.join(names)}.")
    content = {
        "version": VERSION,
        "classes": {split.class_name: _as_json(split, Path(root)) for split in splits},
    }
    with replacing(target) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load_clean_splits(path: str | Path, root: str | Path) -> dict[str, CleanSplit]:
    """Read splits back, by class.

    Args:
        path: The JSON file.
        root: Where the data set's folder is now.

    Raises:
        FileNotFoundError: There is no such file, or no image that it names.
        ValueError: It is not what ``save_clean_splits`` writes.
    """
    source = Path(path)
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise ValueError(
                f"{str(source)!r} has version {content['version']!r}; this adlib reads "
                f"version {VERSION}."
            )
        splits = {
            name: _from_json(name, entry, Path(root))
            for name, entry in content["classes"].items()
        }
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{str(source)!r} does not hold splits that adlib wrote: {error!r}."
        ) from error
    for split in splits.values():
        _check(split, source)
    return splits


def _check(split: CleanSplit, source: Path) -> None:
    """Raise if an image is missing or in two parts."""
    seen: set[Path] = set()
    for part in PARTS:
        for sample in getattr(split, part):
            if sample.image_path in seen:
                raise ValueError(
                    f"{str(source)!r} has {str(sample.image_path)!r} twice."
                )
            seen.add(sample.image_path)
            if not sample.image_path.is_file():
                raise FileNotFoundError(
                    f"{str(source)!r} names {str(sample.image_path)!r}, which is not "
                    "there. Pass the root of the data set that was split."
                )


def _as_json(split: CleanSplit, root: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "seed": split.seed,
        "train_ratio": split.train_ratio,
        "val_anomaly_ratio": split.val_anomaly_ratio,
        "counts": split.counts(),
    }
    for part in PARTS:
        entry[part] = [_sample_json(s, root) for s in getattr(split, part)]
    return entry


def _sample_json(sample: Sample, root: Path) -> dict[str, Any]:
    entry = asdict(sample)
    del entry["class_name"]
    for name in ("image_path", "mask_path"):
        if entry[name] is not None:
            entry[name] = entry[name].relative_to(root).as_posix()
    return entry


def _from_json(name: str, entry: Mapping[str, Any], root: Path) -> CleanSplit:
    parts = {}
    for part in PARTS:
        samples = []
        for given in entry[part]:
            mask = given["mask_path"]
            changed = {
                "image_path": root / given["image_path"],
                "mask_path": None if mask is None else root / mask,
                "class_name": name,
            }
            samples.append(Sample(**{**given, **changed}))
        parts[part] = tuple(samples)
    split = CleanSplit(
        name,
        int(entry["seed"]),
        float(entry["train_ratio"]),
        float(entry["val_anomaly_ratio"]),
        **parts,
    )
    if split.counts() != entry["counts"]:
        raise ValueError(f"The counts of class {name!r} do not fit its images.")
    return split
