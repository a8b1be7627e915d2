"""The record of a shifted data set: what is in it, where from, and if it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adlib._progress import ProgressBar
from adlib.datasets._samples import path_in
from adlib.datasets._shift_settings import ShiftSettings
from adlib.datasets._splits import ClassSplit, read_entries, read_splits
from adlib.images._folders import is_hidden


@dataclass(frozen=True)
class ShiftedSplit(ClassSplit):
    """The shifted copy of a class's split, on disk.

    Attributes:
        settings: What the shifts were drawn from.
        sources: Of each image, its original's path relative to the data set's folder.
        digests: SHA-256 of each file, images and masks.
    """

    settings: ShiftSettings
    sources: Mapping[Path, str]
    digests: Mapping[Path, str]

    def as_json(self, root: Path) -> dict[str, Any]:
        """Return the split as JSON has it, with paths relative to ``root``."""

        def relative(texts: Mapping[Path, str]) -> dict[str, str]:
            return {p.relative_to(root).as_posix(): text for p, text in texts.items()}

        return {
            "settings": self.settings.as_dict(),
            **super().as_json(root),
            "sources": relative(self.sources),
            "sha256": relative(self.digests),
        }


def load_shifted_splits(
    path: str | Path, root: str | Path, classes: Sequence[str] | None = None
) -> dict[str, ShiftedSplit]:
    """Read the record of a shifted data set back, by class.

    Args:
        path: ``shifted_splits.json``.
        root: Where the shifted set is now.
        classes: Which classes; None: all in the file.

    Returns:
        The splits by class, with paths in ``root``. Digests are not compared; see
        ``check_shifted_set``.

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
    folder = Path(root)

    def build(fields: dict[str, Any], entry: Mapping[str, Any]) -> ShiftedSplit:
        return ShiftedSplit(
            **fields,
            settings=ShiftSettings(**entry["settings"]),
            sources=_by_path(folder, entry["sources"]),
            digests=_by_path(folder, entry["sha256"]),
        )

    return read_splits(Path(path), folder, build, classes)


def check_shifted_set(
    path: str | Path, root: str | Path, *, progress: bool = True
) -> list[str]:
    """Look for what is wrong with a shifted set on disk.

    Args:
        path: ``shifted_splits.json``.
        root: Where the shifted set is.
        progress: Show a bar on a terminal.

    Returns:
        A line for each thing that is wrong; [] if the set is whole.

    Raises:
        FileNotFoundError: There is no such record.
        ValueError: It is not what ``generate_shifted_set`` writes.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.datasets import check_shifted_set
        >>> with TemporaryDirectory() as folder:
        ...     record = Path(folder, "shifted_splits.json")
        ...     _ = record.write_text('{"version": 1, "classes": {}}')
        ...     check_shifted_set(record, folder)
        []
    """
    folder = Path(root)
    entries = read_entries(Path(path))
    wrong: list[str] = []
    n_files = sum(len(entry["sha256"]) for entry in entries.values())
    with ProgressBar("Checking", n_files, enabled=progress) as bar:
        for name, entry in entries.items():
            digests = _by_path(folder, entry["sha256"])
            for file, recorded in digests.items():
                if not file.is_file():
                    wrong.append(f"{file} is missing. Generate the set again.")
                elif digest(file.read_bytes()) != recorded:
                    wrong.append(
                        f"{file} was changed. Delete it and generate the set again."
                    )
                bar.advance()
            wrong += [
                f"{file} is not in the record. Delete it."
                for file in sorted((folder / name).glob("*/*/*"))
                if file not in digests and not is_hidden(file.relative_to(folder))
            ]
    if not wrong:  # the record itself: counts, and no image twice
        load_shifted_splits(path, root)
    return wrong


def _by_path(folder: Path, texts: Mapping[str, str]) -> dict[Path, str]:
    """Return texts by the paths in a folder that a record names."""
    return {path_in(folder, name, "the record"): text for name, text in texts.items()}


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()
