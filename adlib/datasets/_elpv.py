"""Solar cells of the elpv-dataset package: real photographs that come with pip."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np

from adlib._validation import check_option
from adlib.datasets._samples import ANOMALOUS, GOOD, NORMAL, Sample, Split

CellKind: TypeAlias = Literal["mono", "poly"]
TRAINING_RATIO = 0.6  # of the functional cells; the others are held out
# What experts were sure of, by the probability of a defect: label, type and split.
SURE: dict[float, tuple[int, str, Split]] = {
    0.0: (NORMAL, GOOD, "train"),
    1.0: (ANOMALOUS, "defective", "test"),
}


def elpv_samples(kind: CellKind) -> list[Sample]:
    """Return photographs of solar cells on which experts were sure, as samples.

    There are no masks and no published split: functional cells are for training,
    defective ones for testing, and ``create_clean_split`` holds functional ones out.

    Args:
        kind: "mono" (monocrystalline) or "poly" (polycrystalline).

    Returns:
        The samples in the order of the data set, of a class "elpv-mono" or "elpv-poly".

    Raises:
        ImportError: The package elpv-dataset is not installed.
        ValueError: ``kind`` is neither "mono" nor "poly".

    References:
        1. S. Deitsch et al., "Segmentation of photovoltaic module cells in uncalibrated
           electroluminescence images", Machine Vision and Applications 32, 2021. The
           images are under CC BY-NC-SA 4.0.

    Example:
        >>> from adlib.datasets import elpv_samples
        >>> sorted({sample.defect_type for sample in elpv_samples("mono")})
        ['defective', 'good']
    """
    check_option(kind, "kind", "elpv_samples", get_args(CellKind))
    try:
        import elpv_dataset  # noqa: PLC0415 - optional
    except ImportError:
        raise ImportError(
            "The solar cells need the package elpv-dataset. "
            'Run: pip install "adlib-vision[demo]"'
        ) from None
    root, class_name = Path(elpv_dataset.__file__).parent / "data", f"elpv-{kind}"
    samples = []
    with (root / "labels.csv").open(newline="") as file:
        rows = csv.reader(file, delimiter=" ", skipinitialspace=True)
        for name, probability, cell_kind in rows:
            if cell_kind == kind and float(probability) in SURE:
                label, defect_type, split = SURE[float(probability)]
                samples.append(
                    Sample(root / name, label, defect_type, None, class_name, split)
                )
    return samples


def split_cells(
    samples: Sequence[Sample], random_state: int = 42
) -> tuple[list[Sample], list[Sample]]:
    """Return cells to train with, 60 % of the functional ones, drawn; and the others.

    The others are to test with: functional cells, then defective ones.
    """
    functional = [sample for sample in samples if sample.label == NORMAL]
    n_training = int(len(functional) * TRAINING_RATIO)
    drawn = np.random.default_rng(random_state).permutation(len(functional))
    training = [functional[i] for i in sorted(drawn[:n_training])]
    held_out = [functional[i] for i in sorted(drawn[n_training:])]
    return training, held_out + [s for s in samples if s.label == ANOMALOUS]
