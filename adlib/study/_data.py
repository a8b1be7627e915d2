"""The data of the study: its images, its splits, and their shifted twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from adlib._progress import ProgressBar
from adlib.datasets import (
    Sample,
    create_clean_split,
    demo_root,
    generate_shifted_set,
    load_clean_splits,
    read_mask,
    read_samples,
    save_clean_splits,
)
from adlib.datasets._layouts import class_names
from adlib.datasets._splits import ClassSplit, classes_with_splits
from adlib.study import _names as names
from adlib.study._config import Config
from adlib.study._tables import Rows, figures, row


def data_root(config: Config) -> Path:
    """Return the data set's folder; where none is named, the demo set is made."""
    return demo_root() if config.data.root is None else config.data.root


def samples_of(config: Config) -> list[Sample]:
    """Return the images that a configuration names."""
    samples = read_samples(data_root(config), config.data.classes)
    if names.MEAN in class_names(samples):
        raise ValueError(
            f"classes of the data set must not be called {names.MEAN!r}, which stands "
            "for the mean over classes in the study's tables. Rename its folder."
        )
    return samples


def clean_splits(config: Config) -> dict[str, ClassSplit]:
    """Return the split of each class, drawn once and then read from its file."""
    path, root = config.paths.clean_splits, data_root(config)
    samples = samples_of(config)
    classes = class_names(samples)
    held = set(classes_with_splits(path))
    known = [name for name in classes if name in held]
    splits = load_clean_splits(path, root, known) if known else {}
    ratios = config.split.model_dump()
    stated = (config.seed, *ratios.values())
    for name, split in splits.items():
        drawn = (split.seed, split.train_ratio, split.val_anomaly_ratio)
        if drawn != stated:
            raise ValueError(
                f"{str(path)!r} holds a split of {name!r} with seed, train_ratio and "
                f"val_anomaly_ratio {drawn}; the configuration states {stated}. Change "
                "it, name another paths.processed, or delete the file to draw it again."
            )
    new = [
        create_clean_split(samples, name, **ratios, random_state=config.seed)
        for name in classes
        if name not in held
    ]
    if new:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_clean_splits(path, new, root)
    splits |= {split.class_name: split for split in new}
    return {name: splits[name] for name in classes}


def shifted_splits(config: Config) -> dict[str, ClassSplit]:
    """Return the shifted twin of each class's split, written where it is not yet."""
    return generate_shifted_set(
        clean_splits(config).values(),
        data_root(config),
        config.paths.shifted,
        config.paths.shifted_splits,
        settings=config.shift,
        random_state=config.seed,
    )


def some_of(split: ClassSplit, n_training: int, n_judged: int) -> ClassSplit:
    """Return a split of at most so many images a part, evenly from first to last.

    Samples are in order of defect type, so that every type keeps its share.
    """

    def evenly(samples: Sequence[Sample], most: int) -> tuple[Sample, ...]:
        places = np.linspace(0, len(samples) - 1, min(most, len(samples)))
        return tuple(samples[place] for place in places.round().astype(int))

    train, val, test = split.train, split.val, split.test
    parts = evenly(train, n_training), evenly(val, n_judged), evenly(test, n_judged)
    return ClassSplit(split.class_name, split.seed, *parts)


def image_table(samples: Sequence[Sample]) -> pd.DataFrame:
    """Look into every image; return a row for each.

    Columns: class, split (the publisher's), defect_type, label, height, width, mode
    (Pillow's), defect_area (share of the image that the mask marks; NaN without one).
    """
    rows = Rows()
    with ProgressBar("Looking", len(samples)) as bar:
        for sample in samples:
            area = float("nan")
            if sample.label and sample.mask_path is not None:
                area = float(np.mean(read_mask(sample.mask_path)))
            known: dict[str, Any] = {"class": sample.class_name, "split": sample.split}
            known |= {"defect_type": sample.defect_type, "label": sample.label}
            with Image.open(sample.image_path) as image:
                known |= {"height": image.height, "width": image.width}
                rows.append({**known, "mode": image.mode, "defect_area": area})
            bar.advance()
    return pd.DataFrame(rows)


def counts(images: pd.DataFrame, splits: Mapping[str, ClassSplit]) -> pd.DataFrame:
    """Return figures of what is in a data set, from ``image_table`` and its splits."""
    sides = images["height"].astype(str) + "x" + images["width"].astype(str)
    kinds = (
        "published " + images["split"] + " " + images["defect_type"],
        "pixels " + sides,
        "mode " + images["mode"],
    )
    by_kind = [images.groupby(["class", kind], sort=False).size() for kind in kinds]
    found = [(*key, n) for sizes in by_kind for key, n in sizes.items()]
    found += [
        (name, f"{part} {kind}", n)
        for name, split in splits.items()
        for part, types in split.counts().items()
        for kind, n in types.items()
    ]
    rows = [row("n_images", n, n=n, setting=s, **{"class": c}) for c, s, n in found]
    masked = images.dropna(subset="defect_area")
    for (name, kind), areas in masked.groupby(["class", "defect_type"])["defect_area"]:
        keys = {"class": name, "setting": f"defect {kind}", "n": len(areas)}
        rows.append(row("defect_area", float(areas.median()), **keys))
    return figures(rows, condition=names.CLEAN)
