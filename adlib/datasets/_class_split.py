"""Which images of a class are for what, and the file that says so."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from adlib._files import replacing
from adlib.datasets._samples import Sample

VERSION = 1
PARTS = ("train", "val", "test")
AnySplit = TypeVar("AnySplit", bound="ClassSplit")


@dataclass(frozen=True)
class ClassSplit:
    """Which images of a class are learned, set thresholds, and are reported.

    Attributes:
        class_name: The class.
        seed: What it was drawn with.
        train: Normal images to learn from.
        val: Normal and anomalous images to set thresholds with.
        test: All others, to report on.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import ClassSplit, Sample
        >>> sample = Sample(Path("part/0.png"), 0, "good", None, "part", "train")
        >>> split = ClassSplit("part", 42, train=(sample,), val=(), test=())
        >>> split.counts()
        {'train': {'good': 1}, 'val': {}, 'test': {}}
    """

    class_name: str
    seed: int
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]

    def parts(self) -> dict[str, tuple[Sample, ...]]:
        """Return the samples by the name of their part, "train", "val" and "test"."""
        return {part: getattr(self, part) for part in PARTS}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many images of each defect type every part has."""
        return {
            part: dict(Counter(sample.defect_type for sample in samples))
            for part, samples in self.parts().items()
        }

    def as_json(self, root: Path) -> dict[str, Any]:
        """Return the split as JSON has it.

        Args:
            root: The data set's folder; paths become relative to it.

        Returns:
            Seed, counts, and for each part what ``Sample.as_json`` gives.

        Raises:
            ValueError: A path lies outside ``root``.
        """
        parts = {
            part: [sample.as_json(root) for sample in samples]
            for part, samples in self.parts().items()
        }
        return {"seed": self.seed, "counts": self.counts(), **parts}


def write_splits(path: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Write what ``as_json`` gave for each class to one file, whole or not at all."""
    content = {"version": VERSION, "classes": dict(entries)}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_splits(
    path: Path,
    root: Path,
    build: Callable[[dict[str, Any], Mapping[str, Any]], AnySplit],
    classes: Sequence[str] | None = None,
) -> dict[str, AnySplit]:
    """Read splits back, by class.

    Args:
        path: The JSON file.
        root: Where the images' folder is now.
        build: Makes a split of its fields that all splits have, and of its entry.
        classes: Which classes; None: all.

    Raises:
        FileNotFoundError: There is no such file, or no image that it names.
        ValueError: It is not what ``write_splits`` writes, an image comes twice, or a
            class is not there.
    """
    entries = read_entries(path)
    for name in classes or ():
        if name not in entries:
            held = ", ".join(entries) or "none"
            raise ValueError(f"{str(path)!r} has no class {name!r}; it has {held}.")
    try:
        splits = {
            name: build(_fields(name, entry, root), entry)
            for name, entry in entries.items()
            if classes is None or name in classes
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise _foreign(path, error) from error
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error
    for split in splits.values():
        _check_images(split, path)
    return splits


def read_entries(path: Path) -> dict[str, dict[str, Any]]:
    """Return what a file holds for each class, as it stands there.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not what ``write_splits`` writes.
    """
    try:
        content = json.loads(path.read_bytes())  # UTF-8 or UTF-16
        version, entries = content["version"], content["classes"]
        entries = {name: dict(entry) for name, entry in entries.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _foreign(path, error) from error
    if version != VERSION:
        raise ValueError(
            f"{str(path)!r} has version {version!r}; this adlib reads version "
            f"{VERSION}."
        )
    return entries


def _foreign(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{str(path)!r} does not hold splits that adlib wrote: {error!r}")


def _fields(name: str, entry: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Return the fields that every split has, checked against the counts."""
    parts = {
        part: tuple(Sample.from_json(sample, name, root) for sample in entry[part])
        for part in PARTS
    }
    split = ClassSplit(name, int(entry["seed"]), **parts)
    if split.counts() != entry["counts"]:
        raise ValueError(f"The counts of class {name!r} do not fit its images.")
    return {"class_name": name, "seed": split.seed, **parts}


def _check_images(split: ClassSplit, path: Path) -> None:
    """Raise if an image is missing or comes twice."""
    seen: set[Path] = set()
    for samples in split.parts().values():
        for sample in samples:
            if sample.image_path in seen:
                raise ValueError(f"{str(path)!r} has {str(sample.image_path)!r} twice.")
            seen.add(sample.image_path)
            if not sample.image_path.is_file():
                raise FileNotFoundError(
                    f"{str(path)!r} names {str(sample.image_path)!r}, which is not "
                    "there. Pass the root of the data set that was split."
                )
