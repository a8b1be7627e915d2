"""The data of the study: its images, its splits, and their shifted twins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adlib.datasets import (
    CleanSplit,
    Sample,
    ShiftedSplit,
    class_names,
    classes_with_splits,
    create_clean_split,
    demo_root,
    generate_shifted_set,
    load_clean_splits,
    read_samples,
    save_clean_splits,
)

if TYPE_CHECKING:
    from adlib.study._config import Config


def data_root(config: Config) -> Path:
    """Return the data set's folder; where none is named, build the demo set."""
    return demo_root() if config.data.root is None else config.data.root


def samples_of(config: Config) -> list[Sample]:
    """Return the images that a configuration names.

    Raises:
        FileNotFoundError: There is no such folder or class.
        ValueError: No layout fits the folder.
    """
    return read_samples(data_root(config), config.data.classes)


def clean_splits(config: Config) -> dict[str, CleanSplit]:
    """Return the split of each class: read from its file, or drawn once and kept there.

    Raises:
        ValueError: The file holds a split that was drawn with another seed or ratio
            than the configuration states.
        FileNotFoundError: The file names images that are not in the data set.
    """
    path, root = config.paths.clean_splits, data_root(config)
    samples = samples_of(config)
    names = class_names(samples)
    held = set(classes_with_splits(path))
    known = [name for name in names if name in held]
    kept = load_clean_splits(path, root, known) if known else {}
    stated = (config.seed, config.split.train_ratio, config.split.val_anomaly_ratio)
    for name, split in kept.items():
        drawn = (split.seed, split.train_ratio, split.val_anomaly_ratio)
        if drawn != stated:
            raise ValueError(
                f"{str(path)!r} holds a split of {name!r} with seed, train_ratio and "
                f"val_anomaly_ratio {drawn}; the configuration states {stated}. Change "
                "it, name another paths.processed, or delete the file to draw anew."
            )
    new = [
        create_clean_split(
            samples,
            name,
            train_ratio=config.split.train_ratio,
            val_anomaly_ratio=config.split.val_anomaly_ratio,
            seed=config.seed,
        )
        for name in names
        if name not in held
    ]
    if new:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_clean_splits(path, new, root)
    splits = kept | {split.class_name: split for split in new}
    return {name: splits[name] for name in names}


def shifted_splits(
    config: Config, *, n_workers: int | None = None, progress: bool = True
) -> dict[str, ShiftedSplit]:
    """Return the shifted twin of each class's split, written to disk where it is not.

    Raises:
        FileExistsError: The folder holds a set that was shifted otherwise.
        ValueError: As of ``clean_splits``.
    """
    return generate_shifted_set(
        clean_splits(config).values(),
        data_root(config),
        config.paths.shifted,
        config.paths.shifted_splits,
        settings=config.shift,
        seed=config.seed,
        n_workers=n_workers,
        progress=progress,
    )
