"""The data of the study: its images, its splits, and their shifted twins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adlib.datasets import (
    Sample,
    create_clean_split,
    demo_root,
    generate_shifted_set,
    load_clean_splits,
    read_samples,
    save_clean_splits,
)
from adlib.datasets._layouts import class_names
from adlib.datasets._shifted_splits import ShiftedSplit
from adlib.datasets._splits import CleanSplit, classes_with_splits

if TYPE_CHECKING:
    from adlib.study._config import Config


def data_root(config: Config) -> Path:
    """Return the data set's folder.

    Args:
        config: The study's. Where it names no folder, the demo set is made.

    Returns:
        The folder; whether there is one is not asked.

    Raises:
        ImportError: The demo set is still to be made and scikit-image is not installed.

    Example:
        >>> from adlib.study import Config, data_root
        >>> data_root(Config.from_dict({"data": {"root": "parts"}})).name
        'parts'
    """
    return demo_root() if config.data.root is None else config.data.root


def samples_of(config: Config) -> list[Sample]:
    """Return the images that a configuration names.

    Args:
        config: The study's.

    Returns:
        The samples, as ``adlib.datasets.read_samples`` gives them.

    Raises:
        FileNotFoundError: There is no such folder or class.
        ValueError: No layout fits the folder.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import Config, samples_of
        >>> with TemporaryDirectory() as folder:
        ...     Path(folder, "good").mkdir()
        ...     Path(folder, "good", "0.png").touch()
        ...     len(samples_of(Config.from_dict({"data": {"root": folder}})))
        1
    """
    return read_samples(data_root(config), config.data.classes)


def clean_splits(config: Config) -> dict[str, CleanSplit]:
    """Return the split of each class, drawn once and then read from its file.

    Args:
        config: The study's: data set, seed, ratios and folder of the file.

    Returns:
        The splits by class.

    Raises:
        ValueError: The file holds a split that was drawn with another seed or ratio
            than the configuration states, or a class has too few images to split.
        FileNotFoundError: The file names images that are not in the data set.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import changed_config, clean_splits
        >>> with TemporaryDirectory() as folder:
        ...     Path(folder, "parts", "good").mkdir(parents=True)
        ...     for i in range(10):
        ...         Path(folder, "parts", "good", f"{i}.png").touch()
        ...     config = changed_config({}, data=f"{folder}/parts", work=Path(folder))
        ...     clean_splits(config)["parts"].counts()
        {'train': {'good': 8}, 'val': {'good': 1}, 'test': {'good': 1}}
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
            random_state=config.seed,
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
    """Return the shifted twin of each class's split, written where it is not yet.

    Args:
        config: The study's: data set, seed, shift and folders.
        n_workers: Threads; None: one a core.
        progress: Show a bar on a terminal.

    Returns:
        The splits of the shifted set, by class.

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
        random_state=config.seed,
        n_workers=n_workers,
        progress=progress,
    )
