"""Images and tables that several tests of the study look at."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from adlib.datasets import Sample
from adlib.datasets._splits import ClassSplit
from tests.conftest import scratched, texture


def sample_of(folder, number, part, label, *, name="plate", brightness=1.0, faint=1.0):
    """Write a texture, scratched or not, with a mask of the scratch."""
    pixels, mask_path = texture(number), None
    if label:
        scratch = scratched(number)
        mask_path = folder / f"{number}_mask.png"
        Image.fromarray(255 * (scratch == 255).astype(np.uint8)).save(mask_path)
        pixels = (1 - faint) * pixels + faint * scratch
    path = folder / f"{number}.png"
    Image.fromarray((brightness * pixels).astype(np.uint8)).save(path)
    return Sample(path, label, "scratch" if label else "good", mask_path, name, part)


def split_of(folder, **options):
    """Return a split: 8 images to train on, 12 and 12 of both kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"train": range(8), "val": range(10, 22), "test": range(30, 42)}
    train, val, test = (
        tuple(
            sample_of(folder, n, part, 0 if part == "train" else n % 2, **options)
            for n in numbers
        )
        for part, numbers in parts.items()
    )
    return ClassSplit(options.get("name", "plate"), 0, train, val, test)


@pytest.fixture(scope="session")
def split(tmp_path_factory):
    """A class of plates, some with a scratch that is hardly to be seen."""
    return split_of(tmp_path_factory.mktemp("split"), faint=0.1)


def scored(scores, threshold, y, **known):
    """Return a table of scores."""
    values = np.asarray(scores, np.float64)
    kinds = np.where(np.asarray(y) == 1, "crack", "good")
    stated = {"condition": "clean", "method": "PaDiM", "class": "nut", "split": "test"}
    stated |= {"image": [f"{i:03}.png" for i in range(len(values))]}
    stated |= {"label": np.asarray(y, np.int64), "defect_type": kinds, "score": values}
    verdicts = pd.array(np.where(values > threshold, -1, 1), dtype="Int64")
    verdicts[np.isnan(values)] = pd.NA
    return pd.DataFrame(
        {**stated, "threshold": threshold, "verdict": verdicts, **known}
    )


def value(figures, metric, column="value", **keys):
    """Return the one number that a table has of a metric."""
    chosen = figures[figures["metric"] == metric]
    for name, text in {"setting": "", "versus": "", **keys}.items():
        chosen = chosen[chosen[name.rstrip("_")] == text]
    (found,) = chosen[column]
    return found
